"""Adder trees that add two sets of numbers per cycle."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import MacroConfig
from .pipelined_tree import level_trees, levels

__all__ = ["PumpedTree"]


class PumpedTree(wiring.Component):
    """A `PipelinedTree` of half the size, used in both halves of a cycle.

    Every level adds the numbers of the first half, keeps their sums in a register of ``fast`` at the middle of the
    cycle, and adds those of the second half; at its end both enter the registers of ``sync`` between the levels. So all
    cycles are those of a `PipelinedTree` for both, while every level has half a cycle.

    Parameters
    ----------
    config : MacroConfig
    words : int
        Independent sums in each half of a cycle.
    bits : int
        Bits of each number.

    Members
    -------
    second : In(1)
        See `HalfCycle`.
    enable : In
        Bit s: register s takes new sums at the end of this cycle.
    i : In(group_rows * bits * words)
        As in `AdderTree`; it changes at the middle of the cycle.
    o : Out(out_bits * 2 * words)
        At the end of the cycle, as in an `AdderTree` of twice the words: those of the first half are the lower ones.
    """

    def __init__(self, config: MacroConfig, *, words: int, bits: int):
        self.config = config
        self.words = words
        self.bits = bits
        super().__init__(
            {
                "second": In(1),
                "enable": In(max(1, config.pipeline)),
                "i": In(config.group_rows * bits * words),
                "o": Out((config.group_rows * (2**bits - 1)).bit_length() * 2 * words),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from the products to their sums."""
        return self.config.pipeline

    def elaborate(self, platform) -> Module:
        m = Module()
        numbers: Value = self.i
        bits = self.bits
        for level, fan_ins in enumerate(levels(self.config)):
            trees = level_trees(m, self.config, level, fan_ins, numbers, words=self.words, bits=bits)
            bits = trees[0].out_bits
            width = len(trees) * bits * self.words
            now, early = Signal(width, name=f"now_{level}"), Signal(width, name=f"early_{level}", reset_less=True)
            for index, tree in enumerate(trees):
                m.d.comb += now.word_select(index, bits * self.words).eq(tree.o)
            with m.If(~self.second):
                m.d.fast += early.eq(now)
            if level == self.latency:
                halves = [half.word_select(bit, self.words) for bit in range(bits) for half in (early, now)]
                m.d.comb += self.o.eq(Cat(halves))
            else:
                sums = [Signal(width, name=f"sums_{level}_{half}") for half in range(2)]
                with m.If(self.enable[level]):
                    m.d.sync += [sums[0].eq(early), sums[1].eq(now)]
                numbers = Signal(width, name=f"numbers_{level + 1}")
                m.d.comb += numbers.eq(Mux(self.second, sums[1], sums[0]))
        return m
