# amaranth: UnusedElaboratable=no
"""Proofs that idle column groups stand still, and for each a mutant that the same property must refute."""

from dataclasses import replace

import pytest
from cimarron.config import MacroConfig
from cimarron.macro.macro import Macro
from formal.idle_groups import PARTS, IdleGroups
from test_formal import Fault, check, faulty

pytestmark = [pytest.mark.formal, pytest.mark.slow]

#: Two column groups of two columns, which fuse.
GROUPS = MacroConfig(rows=2, words=4, cell_bits=1, max_weight_bits=2, weight_sets=1, max_act_bits=2)
DIALS = {
    "bit-serial": GROUPS,
    "two-planes": replace(GROUPS, planes_per_cycle=2, max_act_bits=3),
    "row-groups-skipped": replace(GROUPS, row_groups=2, plane_skipping=True),
}


def raises_every_word_line(m, macro):
    """Word lines rise in idle groups, too."""
    m.d.comb += m.submodules.array.idle.eq(0)


def forgets_who_is_idle(m, macro):
    """The driver hears that all groups are used."""
    m.d.comb += m.submodules.driver.i_stream.payload.idle.eq(0)


def accumulates_in_every_group(m, macro):
    """Group 1 takes its sums whenever there are any."""
    m.d.comb += m.submodules.group_1.step.eq(m.submodules.input_sum.step)


def answers_with_every_group(m, macro):
    """Group 1 shows its totals whatever the operation, and of columns that do not fuse if it is idle."""
    m.d.comb += m.submodules.group_1.capture.eq(1)


FAULTS: dict[str, Fault] = dict(
    zip(
        PARTS,
        (raises_every_word_line, forgets_who_is_idle, accumulates_in_every_group, answers_with_every_group),
        strict=True,
    )
)


@pytest.mark.parametrize("dial", DIALS)
@pytest.mark.parametrize("part", PARTS)
def test_idle_column_groups_stand_still(request, part, dial):
    config = DIALS[dial]
    mutant = faulty(Macro, FAULTS[part])(config)
    check(request, IdleGroups(Macro(config), part), IdleGroups(mutant, part))
