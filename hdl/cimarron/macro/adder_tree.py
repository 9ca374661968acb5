"""Sums of the products of all rows: what every back-end does, and its pins."""

from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["AdderTree"]


class AdderTree(wiring.Component):
    """Adds numbers that lie in bit planes, for all words at once.

    The base of the back-ends, which differ in area and speed, never in a bit. Combinational.

    Parameters
    ----------
    rows : int
        Numbers to add, at least 1.
    words : int
        Independent sums.
    bits : int
        Bits of each number.

    Members
    -------
    i : In(rows * bits * words)
        Planes side by side: bit k of word j of row r at ``(r * bits + k) * words + j``.
    o : Out(out_bits * words)
        Bit k of the sum of word j at ``k * words + j``.

    Raises
    ------
    ValueError
        If a parameter is not a positive integer.
    """

    #: Cycles from the products to their sums.
    latency = 0

    def __init__(self, *, rows: int, words: int, bits: int):
        for name, value in (("rows", rows), ("words", words), ("bits", bits)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"AdderTree {name} must be a positive integer, not {value!r}")
        self.rows = rows
        self.words = words
        self.bits = bits
        super().__init__(
            {
                "i": In(rows * bits * words),
                "o": Out(self.out_bits * words),
            }
        )

    @property
    def out_bits(self) -> int:
        """Bits of a sum: 0 to ``rows * (2**bits - 1)``."""
        return (self.rows * (2**self.bits - 1)).bit_length()

    @property
    def planes(self) -> list[Value]:
        """The planes of the input: bit k of row r is number ``r * bits + k``."""
        return [self.i.word_select(plane, self.words) for plane in range(self.rows * self.bits)]
