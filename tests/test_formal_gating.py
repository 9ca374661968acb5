# amaranth: UnusedElaboratable=no
"""Proofs that idle column groups stand still, and for each a mutant that the same property must refute."""

from dataclasses import replace

import pytest
from cimarron.config import MacroConfig
from cimarron.macro.macro import Macro
from formal.idle_groups import IdleBest, IdleGroups, opened
from test_formal import Fault, check, faulty

pytestmark = [pytest.mark.formal, pytest.mark.slow]


def raises_every_word_line(m, macro):
    """Word lines rise in idle groups, too."""
    m.d.comb += m.submodules.array.idle.eq(0)


def stops_the_trees(m, macro):
    """The first register of the trees is not clocked while a group is idle, so it keeps what it held."""
    with m.If(m.submodules.driver.o_stream.payload.idle.any()):
        m.d.comb += m.submodules.tree.enable[0].eq(0)


def stops_the_parities(m, macro):
    """The same of the trees of parities."""
    with m.If(m.submodules.driver.o_stream.payload.idle.any()):
        m.d.comb += m.submodules.parity_tree.enable[0].eq(0)


def forgets_who_is_idle(m, macro):
    """The driver hears that all groups are used."""
    m.d.comb += m.submodules.driver.i_stream.payload.idle.eq(0)


def accumulates_in_every_group(m, macro):
    """Group 1 takes its sums whenever there are any."""
    m.d.comb += m.submodules.group_1.step.eq(m.submodules.input_sum.step)


def _begins_inside_of_group_1(m, name: str) -> None:
    every, part = m.submodules.input_sum, getattr(opened(m.submodules.group_1, None).submodules, name)
    m.submodules.group_1.elaborate(None).d.comb += [part.step.eq(every.step), part.first.eq(every.first)]


def counts_in_every_group(m, macro):
    """Group 1 begins to count with every operation, but does not accumulate."""
    _begins_inside_of_group_1(m, "counter")


def multiplies_in_every_group(m, macro):
    """Group 1 begins a carry-less product with every operation, but does not accumulate."""
    _begins_inside_of_group_1(m, "carryless")


def answers_with_every_group(m, macro):
    """Group 1 shows its totals whatever the operation, and of columns that do not fuse if it is idle."""
    m.d.comb += m.submodules.group_1.capture.eq(1)


def answers_columns_with_rows(m, macro):
    """Group 1 shows its totals when a product with the transposed weights is done."""
    m.d.comb += m.submodules.group_1.capture.eq(m.submodules.row_product.capture)


def searches_every_group(m, macro):
    """Idle groups take part in the search for the best match."""
    m.d.comb += m.submodules.best_match.idle.eq(0)


#: Two column groups of two columns, which fuse.
GROUPS = MacroConfig(rows=2, words=4, cell_bits=1, max_weight_bits=2, weight_sets=1, max_act_bits=2)
PLAIN: dict[str, Fault] = {
    "products": raises_every_word_line,
    "sums": forgets_who_is_idle,
    "accumulators": accumulates_in_every_group,
    "results": answers_with_every_group,
}
CASES: dict[str, tuple[MacroConfig, dict[str, Fault]]] = {
    "bit-serial": (GROUPS, PLAIN),
    "two-planes": (replace(GROUPS, planes_per_cycle=2, max_act_bits=3), PLAIN),
    "row-groups-skipped": (replace(GROUPS, row_groups=2, plane_skipping=True), PLAIN),
    "pipeline": (replace(GROUPS, rows=4, pipeline=1), PLAIN | {"trees": stops_the_trees}),
    "ripple-pipeline": (replace(GROUPS, rows=8, pipeline=2, adder="ripple"), PLAIN | {"trees": stops_the_trees}),
    "bitwise": (replace(GROUPS, bitwise=True), PLAIN | {"accumulators": counts_in_every_group}),
    "carryless": (replace(GROUPS, carryless=True), PLAIN | {"accumulators": multiplies_in_every_group}),
    "carryless-parities": (
        replace(GROUPS, rows=4, cell_bits=2, words=2, pipeline=1, carryless=True),
        PLAIN | {"trees": stops_the_parities, "accumulators": multiplies_in_every_group},
    ),
    "transposed": (replace(GROUPS, transposed=True), PLAIN | {"results": answers_columns_with_rows}),
    "together": (
        replace(
            GROUPS, rows=16, cell_bits=2, max_weight_bits=4, words=6, weight_sets=2, max_act_bits=3,
            planes_per_cycle=2, row_groups=2, plane_skipping=True, pipeline=2,
            bitwise=True, best_match=True, carryless=True, transposed=True,
        ),
        PLAIN | {"trees": stops_the_trees, "results": answers_columns_with_rows},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("case", "part"), [(case, part) for case, (_, faults) in CASES.items() for part in faults])
def test_idle_column_groups_stand_still(request, case, part):
    config, faults = CASES[case]
    mutant = faulty(Macro, faults[part])(config)
    check(request, IdleGroups(Macro(config), part), IdleGroups(mutant, part))


def test_idle_column_groups_are_never_the_best_match(request):
    config = replace(GROUPS, rows=4, words=6, weight_sets=2, pipeline=1, bitwise=True, best_match=True)
    check(request, IdleBest(Macro(config)), IdleBest(faulty(Macro, searches_every_group)(config)))
