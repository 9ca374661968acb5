"""Sums of the products of all rows."""

import heapq
from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Adder", "AdderTree", "Reduction"]


@dataclass(frozen=True)
class Adder:
    """A full adder of three planes, or a half adder of two.

    ``inputs`` and the outputs ``sum`` and ``carry`` are numbers of planes. The last input is the latest to arrive.
    """

    inputs: tuple[int, ...]
    sum: int
    carry: int


class Reduction:
    """Which planes to add, in which order, until one is left per bit position.

    Planes are numbered: bit k of row r is plane ``r * bits + k``, adders append theirs. Per position, from the least
    significant, full adders take the three planes that arrive first (the three-greedy method of Stelling, Martel,
    Oklobdzija and Ravi, "Optimal circuits for parallel multipliers", IEEE Transactions on Computers 47(3), 1998),
    and if two are left, a half adder takes them.

    Parameters
    ----------
    rows : int
        Numbers to add.
    bits : int
        Bits of each number.

    Attributes
    ----------
    adders : list of Adder
        In an order in which every input exists before it is used.
    outputs : list of int
        The plane left at each position.
    depth : int
        Two-input gates on the longest path.
    """

    def __init__(self, rows: int, bits: int):
        self.adders: list[Adder] = []
        self.outputs: list[int] = []
        self.depth = 0
        planes = rows * bits
        position = [(0, row * bits) for row in range(rows)]
        while position:
            bit = len(self.outputs)
            # An entry is (arrival in gates, plane).
            carries = [(0, row * bits + bit + 1) for row in range(rows)] if bit + 1 < bits else []
            while len(position) > 1:
                taken = [heapq.heappop(position) for _ in range(min(3, len(position)))]
                ready = max(taken[-2][0] + len(taken) - 2, taken[-1][0]) + 1
                heapq.heappush(position, (ready, planes))
                heapq.heappush(carries, (ready + len(taken) - 2, planes + 1))
                self.adders.append(Adder(tuple(plane for _, plane in taken), planes, planes + 1))
                planes += 2
            arrival, plane = position[0]
            self.outputs.append(plane)
            self.depth = max(self.depth, arrival)
            position = carries

    @property
    def full_adders(self) -> int:
        """Full adders used."""
        return sum(len(adder.inputs) == 3 for adder in self.adders)

    @property
    def half_adders(self) -> int:
        """Half adders used."""
        return len(self.adders) - self.full_adders


class AdderTree(wiring.Component):
    """Adds numbers that lie in bit planes, for all words at once; carry-save, for gates.

    A plane holds one bit of every word, so one adder here is five lines of logic however many words there are.

    One-bit rows take ``rows - popcount(rows)`` adders, the proven minimum. In general a full adder makes two planes of
    three, so ``rows * bits - out_bits`` full adders are unavoidable and met exactly; a half adder comes on top at
    every position that holds an even number of planes.

    Combinational.

    Parameters
    ----------
    rows : int
        Numbers to add, at least 1.
    words : int
        Independent sums.
    bits : int
        Bits of each number.

    Attributes
    ----------
    reduction : Reduction
        The adders, each as wide as ``words``.

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
        self.reduction = Reduction(rows, bits)
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

    def elaborate(self, platform) -> Module:
        m = Module()
        planes: list[Value] = [self.i.word_select(plane, self.words) for plane in range(self.rows * self.bits)]
        for adder in self.reduction.adders:
            half = Signal(self.words, name=f"half_{adder.sum}")
            carry = Signal(self.words, name=f"carry_{adder.sum}")
            a, b, *late = (planes[plane] for plane in adder.inputs)
            m.d.comb += half.eq(a ^ b)
            if late:
                total = Signal(self.words, name=f"sum_{adder.sum}")
                m.d.comb += [total.eq(half ^ late[0]), carry.eq((a & b) | (half & late[0]))]
            else:
                total = half
                m.d.comb += carry.eq(a & b)
            planes += [total, carry]
        m.d.comb += self.o.eq(Cat(planes[plane] for plane in self.reduction.outputs))
        return m
