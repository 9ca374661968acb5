"""Adder trees that add two sets of numbers per cycle."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import MacroConfig
from .staged_sum import Register, add_in_stages

__all__ = ["PumpedTree"]


class PumpedTree(wiring.Component):
    """A `PipelinedTree` of half the size, used in both halves of a cycle.

    Its registers belong to ``fast``, two for each one of `PipelinedTree`: at the end of a cycle, the later of a pair
    holds what came from the first half and the earlier what came from the second. So all cycles are those of a
    `PipelinedTree` for both halves, while a stage has half a cycle and there are twice as many.

    A pair moves on at the middle and at the end of a cycle, and so does what follows it. When only one of them moves,
    what the later register takes is not looked at.

    Parameters
    ----------
    config : MacroConfig
    words : int
        Independent sums in each half of a cycle.
    bits : int
        Bits of each number.

    Members
    -------
    enable : In(pipeline + 1)
        Bit s: pair s takes new sums in this cycle; the last bit: ``o`` is taken at its end.
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
                "enable": In(config.pipeline + 1),
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
        # In front of the earlier of a pair is what enters, in front of the later one what enters or leaves.
        registers = []
        for pair in range(self.latency):
            registers.append(Register("fast", self.enable[pair]))
            registers.append(Register("fast", self.enable[pair : pair + 2].any()))
        now = add_in_stages(m, self.config, self.i, words=self.words, bits=self.bits, registers=registers)
        early = Signal(len(now), reset_less=True)
        m.d.fast += early.eq(now)
        halves = [half.word_select(bit, self.words) for bit in range(len(now) // self.words) for half in (early, now)]
        m.d.comb += self.o.eq(Cat(halves))
        return m
