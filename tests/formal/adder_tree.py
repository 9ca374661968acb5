"""An adder tree adds."""

from amaranth.asserts import AnyConst
from amaranth.hdl import Assert, Cat, Module, Signal
from amaranth.lib import wiring

__all__ = ["SumOfRows"]


class SumOfRows(wiring.Component):
    """Every word of the output is the sum of that word over all rows, ``latency`` cycles after its rows arrived.

    Parameters
    ----------
    tree : AdderTree
        Or any component with the same members.
    """

    def __init__(self, tree):
        self.tree = tree
        super().__init__({})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.tree = tree = self.tree
        planes = AnyConst(len(tree.i))
        elapsed = Signal(range(tree.latency + 1))
        m.d.comb += tree.i.eq(planes)
        with m.If(elapsed != tree.latency):
            m.d.sync += elapsed.eq(elapsed + 1)
        with m.Else():
            for word in range(tree.words):
                rows = (
                    Cat(planes[(row * tree.bits + bit) * tree.words + word] for bit in range(tree.bits))
                    for row in range(tree.rows)
                )
                m.d.comb += Assert(tree.o[word :: tree.words] == sum(rows))
        return m
