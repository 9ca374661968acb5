"""Carry-save reduction: adders of bit planes, for gates."""

import heapq
from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Signal, Value

from .adder_tree import AdderTree

__all__ = ["Adder", "CarrySaveTree", "Reduction", "add_planes", "reduce_planes"]


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


def add_planes(m: Module, adder: Adder, inputs: list[Value], prefix: str = "") -> tuple[Value, Value]:
    """Add an adder to a module.

    Parameters
    ----------
    m : Module
    adder : Adder
    inputs : list of Value
        What its inputs are, all of one width: the adder is that wide.
    prefix : str
        What the names of signals begin with.

    Returns
    -------
    tuple of Value
        Sum and carry.
    """
    width = len(inputs[0])
    half = Signal(width, name=f"{prefix}half_{adder.sum}")
    carry = Signal(width, name=f"{prefix}carry_{adder.sum}")
    a, b, *late = inputs
    m.d.comb += half.eq(a ^ b)
    if not late:
        m.d.comb += carry.eq(a & b)
        return half, carry
    total = Signal(width, name=f"{prefix}sum_{adder.sum}")
    m.d.comb += [total.eq(half ^ late[0]), carry.eq((a & b) | (half & late[0]))]
    return total, carry


def reduce_planes(m: Module, reduction: Reduction, planes: list[Value], prefix: str = "") -> list[Value]:
    """Add the adders of a reduction to a module.

    Parameters
    ----------
    m : Module
    reduction : Reduction
    planes : list of Value
        The planes of the rows, all of one width.
    prefix : str
        What the names of signals begin with.

    Returns
    -------
    list of Value
        The sum: one plane per bit, the least significant first.
    """
    planes = list(planes)
    for adder in reduction.adders:
        planes += add_planes(m, adder, [planes[plane] for plane in adder.inputs], prefix)
    return [planes[plane] for plane in reduction.outputs]


class CarrySaveTree(AdderTree):
    """Full and half adders as wide as all words: the fewest gates.

    A plane holds one bit of every word, so one adder is five lines of logic however many words there are.

    One-bit rows take ``rows - popcount(rows)`` adders, the proven minimum. In general a full adder makes two planes of
    three, so ``rows * bits - out_bits`` full adders are unavoidable and met exactly; a half adder comes on top at
    every position that holds an even number of planes.
    """

    def elaborate(self, platform) -> Module:
        m = Module()
        planes = reduce_planes(m, Reduction(self.rows, self.bits), self.planes)
        m.d.comb += self.o.eq(Cat(planes))
        return m
