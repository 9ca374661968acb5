"""Adders on carry chains, for FPGAs."""

from collections import deque

from amaranth.hdl import Cat, Module, Signal, Value

from .adder_tree import AdderTree
from .carry_save import Reduction, reduce_planes

__all__ = ["CounterTree", "RippleTree", "add_numbers"]


def add_numbers(m: Module, a: Value, b: Value, bits: int, name: str) -> Signal:
    """Add one carry chain to a module, and return the sum, which fits ``bits``."""
    total = Signal(bits, name=name, attrs={"keep": 1})
    m.d.comb += total.eq(a + b)
    return total


class RippleTree(AdderTree):
    """Numbers added in pairs, then pairs of pairs; each sum is one carry chain.

    A logic cell of an FPGA adds one bit on its carry chain, but takes two look-up tables for a full adder beside it.
    Every sum is marked ``keep``: a synthesiser that may look through the tree merges it into one addition of many
    operands, builds that from full adders in look-up tables, and the chains are lost.
    """

    #: Rows that are added in look-up tables before the first chain.
    leaf_rows = 1

    def elaborate(self, platform) -> Module:
        m = Module()
        # An entry is (rows in the sum, the planes of the sum).
        leaves = []
        for start in range(0, self.rows, self.leaf_rows):
            planes = self.planes[start * self.bits : (start + self.leaf_rows) * self.bits]
            rows = len(planes) // self.bits
            leaves.append((rows, reduce_planes(m, Reduction(rows, self.bits), planes, f"leaf_{start}_")))
        sums = []
        for word in range(self.words):
            numbers = deque((rows, Cat(plane[word] for plane in planes)) for rows, planes in leaves)
            while len(numbers) > 1:
                (rows_a, a), (rows_b, b) = numbers.popleft(), numbers.popleft()
                rows = rows_a + rows_b
                bits = (rows * (2**self.bits - 1)).bit_length()
                numbers.append((rows, add_numbers(m, a, b, bits, f"word_{word}_sum_{rows}")))
            sums.append(numbers[0][1])
        m.d.comb += self.o.eq(Cat(total[bit] for bit in range(self.out_bits) for total in sums))
        return m


class CounterTree(RippleTree):
    """Carry chains that begin at sums of seven rows.

    A chain spends one cell on its carry out, which is dear while numbers are narrow: adding two one-bit numbers takes
    two cells to get rid of nothing. Carry-save counters of seven rows come first; of one-bit rows they make three bits.
    """

    leaf_rows = 7
