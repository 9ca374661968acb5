"""The adder tree that everybody writes first: the baseline."""

from amaranth.hdl import Cat, Const, Module, Signal, Value
from cimarron.macro.adder_tree import AdderTree

__all__ = ["NaiveTree"]


class NaiveTree(AdderTree):
    """``sum()`` over the rows of each word; what becomes of it is the synthesiser's choice."""

    def elaborate(self, platform) -> Module:
        m = Module()
        sums = [Signal(self.out_bits, name=f"sum_{word}") for word in range(self.words)]
        for word, total in enumerate(sums):
            bits = [plane[word] for plane in self.planes]
            rows = [Value.cast(Cat(bits[start : start + self.bits])) for start in range(0, len(bits), self.bits)]
            m.d.comb += total.eq(sum(rows, Const(0)))
        m.d.comb += self.o.eq(Cat(total[bit] for bit in range(self.out_bits) for total in sums))
        return m
