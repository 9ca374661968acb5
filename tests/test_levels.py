"""Cuts of adder trees: complete, and none is shallower or, at that depth, smaller."""

from collections.abc import Iterator, Sequence
from functools import cache

import pytest
from cimarron.macro.carry_save import Reduction
from cimarron.macro.levels import levels


@cache
def tree(rows: int, bits: int) -> tuple[int, int, int]:
    reduction = Reduction(rows, bits)
    return reduction.depth, len(reduction.adders), len(reduction.outputs)


def every_cut(rows: int, count: int) -> Iterator[list[list[int]]]:
    """All ways to cut the sum into levels whose trees are equal but for the last."""
    for fan_in in [rows] if count == 1 else range(1, rows + 1):
        level = [min(fan_in, rows - first) for first in range(0, rows, fan_in)]
        if count == 1:
            yield [level]
        else:
            yield from ([level, *rest] for rest in every_cut(len(level), count - 1))


def cost(cut: Sequence[Sequence[int]], bits: int) -> tuple[int, int]:
    """Depth of the deepest tree, adders."""
    depth, adders = 0, 0
    for level in cut:
        found = [tree(rows, bits) for rows in level]
        depth = max(depth, found[0][0])
        adders += sum(count for _, count, _ in found)
        bits = found[0][2]
    return depth, adders


@pytest.mark.parametrize("registers", range(4))
@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 9, 16, 20, 33, 64, 144])
def test_every_number_is_added_once(rows, bits, registers):
    cut = levels(rows, bits, registers)
    assert len(cut) == registers + 1
    for level in cut:
        assert sum(level) == rows
        assert len(set(level[:-1])) <= 1
        assert level[-1] <= level[0]
        rows = len(level)
    assert rows == 1


@pytest.mark.parametrize(
    ("rows", "bits", "registers"), [(9, 1, 1), (16, 1, 2), (18, 2, 2), (31, 1, 1), (32, 1, 2), (64, 1, 1)]
)
def test_no_cut_is_shallower_and_none_as_deep_takes_fewer_adders(rows, bits, registers):
    depth, adders = cost(levels(rows, bits, registers), bits)
    costs = [cost(cut, bits) for cut in every_cut(rows, registers + 1)]
    assert depth == min(cost[0] for cost in costs)
    assert adders == min(cost[1] for cost in costs if cost[0] == depth)


def test_sums_fill_their_bits_where_that_is_as_shallow():
    assert levels(64, 1, 1) == ((15, 15, 15, 15, 4), (5,))
