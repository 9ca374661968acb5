"""Adder trees with registers inside."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import MacroConfig
from .back_ends import adder_tree

__all__ = ["PipelinedTree"]


class PipelinedTree(wiring.Component):
    """Adds the numbers of a row group through ``pipeline`` registers, between as many and one levels of smaller trees.

    The sums of one level lie in planes as the numbers of the next one do, so levels are ordinary adder trees, in any
    back-end. Their fan-in is as even as the number of rows allows. The last level is combinational.

    Parameters
    ----------
    config : MacroConfig
    words : int
        Independent sums.
    bits : int
        Bits of each number.

    Members
    -------
    enable : In
        Bit s: register s takes new sums at the end of this cycle.
    i : In(group_rows * bits * words)
    o : Out(out_bits * words)
        As in `AdderTree`.
    """

    def __init__(self, config: MacroConfig, *, words: int, bits: int):
        self.config = config
        self.words = words
        self.bits = bits
        super().__init__(
            {
                "enable": In(max(1, config.pipeline)),
                "i": In(config.group_rows * bits * words),
                "o": Out((config.group_rows * (2**bits - 1)).bit_length() * words),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from the products to their sums."""
        return self.config.pipeline

    def elaborate(self, platform) -> Module:
        m = Module()
        numbers: Value = self.i
        count, bits = self.config.group_rows, self.bits
        for level in range(self.latency + 1):
            left = self.latency + 1 - level
            fan_in = next(fan_in for fan_in in range(1, count + 1) if fan_in**left >= count)
            trees = []
            for first in range(0, count, fan_in):
                rows = min(fan_in, count - first)
                tree = adder_tree(self.config, rows=rows, words=self.words, bits=bits)
                m.submodules[f"level_{level}_tree_{len(trees)}"] = tree
                m.d.comb += tree.i.eq(numbers[first * bits * self.words : (first + rows) * bits * self.words])
                trees.append(tree)
            count, bits = len(trees), trees[0].out_bits
            if left == 1:
                m.d.comb += self.o.eq(trees[0].o)
            else:
                sums = Signal(count * bits * self.words, name=f"sums_{level}")
                with m.If(self.enable[level]):
                    for index, tree in enumerate(trees):
                        m.d.sync += sums.word_select(index, bits * self.words).eq(tree.o)
                numbers = sums
        return m
