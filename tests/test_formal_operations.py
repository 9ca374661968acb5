# amaranth: UnusedElaboratable=no
"""Proofs of the operations beyond multiply-accumulate, and for each a mutant that the same property must refute."""

from typing import Any

import pytest
from cimarron.config import MacroConfig
from cimarron.macro.macro import Macro
from cimarron.macro.parity_tree import ParityTree
from cimarron.macro.ports import Operation
from formal.handshake import MacroHandshake
from formal.operations import OperationResult, ParityOfRows
from test_formal import Fault, check, faulty

pytestmark = [pytest.mark.formal, pytest.mark.slow]


def forgets_a_row(m, tree):
    """The last row's bit does not count."""
    m.d.comb += tree.o[-1].eq(tree.i[tree.row_bits - 1])


@pytest.mark.parametrize("pipeline", [0, 1])
def test_parity_tree_is_the_parity_of_its_rows(request, pipeline):
    config = MacroConfig(rows=8, words=1, cell_bits=2, max_weight_bits=2, pipeline=pipeline, carryless=True)
    check(request, ParityOfRows(ParityTree(config)), ParityOfRows(faulty(ParityTree, forgets_a_row)(config)))


def misses_the_complements(m, macro):
    """Cells that are 0 never answer."""
    m.d.comb += m.submodules.array.x_bar.eq(0)


def enables_every_bit(m, macro):
    """All bits of a cell meet each plane."""
    m.d.comb += m.submodules.array.bits.eq(-1)


def loses_a_parity(m, macro):
    """The lowest bit of column 0 is 0."""
    m.d.comb += m.submodules.group_0.parities[0][0].eq(0)


def rows_of_unsigned_weights(m, macro):
    """Nothing is taken off for the offset of signed weights."""
    m.d.comb += m.submodules.row_product.format.signed.eq(0)


BITWISE = [Operation.AND, Operation.XOR, Operation.XNOR]
CELLS_OF_1_BIT = dict(rows=2, words=2, cell_bits=1, max_weight_bits=2, max_act_bits=2, weight_sets=1)
CELLS_OF_2_BITS = dict(rows=2, words=2, cell_bits=2, max_weight_bits=2, max_act_bits=2, weight_sets=1)
RESULTS: dict[str, tuple[dict[str, Any], list[Operation], Fault]] = {
    "bitwise-1-bit": (CELLS_OF_1_BIT | dict(bitwise=True), BITWISE, misses_the_complements),
    "bitwise-2-bits": (CELLS_OF_2_BITS | dict(bitwise=True), BITWISE, enables_every_bit),
    "carryless-1-bit": (CELLS_OF_1_BIT | dict(carryless=True), [Operation.CARRYLESS], loses_a_parity),
    "carryless-2-bits": (CELLS_OF_2_BITS | dict(carryless=True), [Operation.CARRYLESS], loses_a_parity),
    "transposed": (CELLS_OF_1_BIT | dict(transposed=True), [Operation.TRANSPOSED], rows_of_unsigned_weights),
}


@pytest.mark.parametrize("case", RESULTS)
def test_operations_answer_as_they_are_defined(request, case):
    parameters, operations, fault = RESULTS[case]
    config = MacroConfig(**parameters)
    genuine = OperationResult(Macro(config), operations)
    mutant = OperationResult(faulty(Macro, fault)(config), operations)
    check(request, genuine, mutant, bound=genuine.cycles + 1)


def answers_what_it_lacks(m, macro):
    """A code that means nothing passes for a MAC."""
    with m.If(macro.i_stream.payload.operation == 7):
        m.d.comb += m.submodules.driver.i_stream.payload.operation.eq(Operation.MAC)


def overtakes_the_rows(m, macro):
    """An operation enters while rows are still being read."""
    m.d.comb += m.submodules.driver.i_stream.valid.eq(
        macro.i_stream.valid & (macro.i_stream.payload.operation != Operation.TRANSPOSED)
    )


TRAFFIC = dict(rows=2, words=1, cell_bits=1, max_weight_bits=1, weight_sets=2, max_act_bits=2)
HANDSHAKES: dict[str, tuple[dict[str, Any], list[Operation], Fault]] = {
    "columns": (
        TRAFFIC | dict(bitwise=True, carryless=True, planes_per_cycle=2),
        [Operation.MAC, *BITWISE, Operation.CARRYLESS],
        answers_what_it_lacks,
    ),
    "rows": (
        TRAFFIC | dict(transposed=True, max_act_bits=1),
        [Operation.MAC, Operation.TRANSPOSED],
        overtakes_the_rows,
    ),
}


@pytest.mark.parametrize("case", HANDSHAKES)
def test_operations_are_never_dropped_repeated_or_hanging(request, case):
    parameters, codes, fault = HANDSHAKES[case]
    config = MacroConfig(**parameters)
    check(request, MacroHandshake(Macro(config), codes), MacroHandshake(faulty(Macro, fault)(config), codes))
