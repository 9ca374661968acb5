"""Cuts of adder trees: complete, equally deep, and no adder more than without registers."""

import pytest
from cimarron.macro.carry_save import Reduction
from cimarron.macro.staged_sum import adder_stages, fan_ins


@pytest.mark.parametrize("registers", range(5))
@pytest.mark.parametrize(("rows", "bits"), [(2, 1), (3, 4), (9, 2), (16, 1), (64, 1), (64, 4), (144, 2)])
def test_no_stage_has_more_than_its_share_of_adders_in_a_row(rows, bits, registers):
    reduction = Reduction(rows, bits)
    stages = adder_stages(rows, bits, registers)
    assert len(stages) == len(reduction.adders)
    assert set(stages) <= set(range(registers + 1))
    # Adders in a row up to each plane, in the whole tree and since the last register.
    whole, within, born = ([0] * (rows * bits) for _ in range(3))
    for adder, stage in zip(reduction.adders, stages, strict=True):
        assert all(born[plane] <= stage for plane in adder.inputs), "nothing is used before it is there"
        whole += [1 + max(whole[plane] for plane in adder.inputs)] * 2
        within += [1 + max(within[plane] if born[plane] == stage else 0 for plane in adder.inputs)] * 2
        born += [stage] * 2
    assert max(within) <= -(-max(whole) // (registers + 1))


@pytest.mark.parametrize("registers", range(5))
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 9, 16, 33, 64])
def test_levels_of_trees_add_every_number_once(rows, registers):
    cut = fan_ins(rows, registers)
    assert len(cut) == registers + 1
    for level in cut:
        assert sum(level) == rows
        assert level[-1] <= level[0]
        assert set(level[:-1]) <= {level[0]}
        rows = len(level)
    assert rows == 1
