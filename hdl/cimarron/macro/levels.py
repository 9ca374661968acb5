"""Where registers cut an adder tree into levels of smaller ones."""

from functools import cache
from itertools import count

from .carry_save import Reduction

__all__ = ["levels"]


@cache
def _tree(rows: int, bits: int) -> tuple[int, int, int]:
    """Depth, adders and bits of the sum of one tree."""
    reduction = Reduction(rows, bits)
    return reduction.depth, len(reduction.adders), len(reduction.outputs)


def _fan_ins(rows: int) -> list[int]:
    """The fan-ins worth a look: the least for each number of trees, and those whose sums fill their bits."""
    even = {-(-rows // trees) for trees in range(1, rows + 1)}
    full = {2**bits - 1 for bits in range(1, rows.bit_length())}
    return sorted(even | full)


@cache
def _cheapest(rows: int, bits: int, left: int, depth: int) -> tuple[int, int, tuple[int, ...]] | None:
    """Adders, register bits and fan-ins of the cheapest ``left`` levels none of which is deeper than ``depth``."""
    if left == 1:
        deep, adders, _ = _tree(rows, bits)
        return (adders, 0, (rows,)) if deep <= depth else None
    found = []
    for fan_in in _fan_ins(rows):
        deep, adders, out_bits = _tree(fan_in, bits)
        trees, last = divmod(rows, fan_in)
        rest = _cheapest(trees + bool(last), out_bits, left - 1, depth) if deep <= depth else None
        if rest:
            _, last_adders, last_bits = _tree(last, bits) if last else (0, 0, 0)
            adders, registers = trees * adders + last_adders, trees * out_bits + last_bits
            found.append((adders + rest[0], registers + rest[1], (fan_in, *rest[2])))
    return min(found, default=None)


@cache
def levels(rows: int, bits: int, registers: int) -> tuple[tuple[int, ...], ...]:
    """How the sum of ``rows`` numbers is cut by registers: per level, how many numbers each of its trees adds.

    Each level adds the sums of the one before. The deepest level has the fewest gates in a row that are possible, the
    levels together the fewest adders that this leaves, and the registers between them the fewest bits, all counted for
    carry-save trees (`Reduction`). Sums that fill their bits save half adders, so 64 rows are 15, 15, 15, 15 and 4.

    Parameters
    ----------
    rows : int
        Numbers to add.
    bits : int
        Bits of each number.
    registers : int
        At least 0. Levels of one row, which add nothing, take those that are too many.

    Returns
    -------
    tuple of tuple of int
        One more level than registers. All trees of a level but the last one add equally many numbers.
    """
    cheapest = next(found for depth in count() if (found := _cheapest(rows, bits, registers + 1, depth)))
    cut = []
    for fan_in in cheapest[2]:
        cut.append(tuple(min(fan_in, rows - first) for first in range(0, rows, fan_in)))
        rows = len(cut[-1])
    return tuple(cut)
