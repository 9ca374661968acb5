"""Adder trees with registers inside."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import MacroConfig
from .staged_sum import Register, add_in_stages

__all__ = ["PipelinedTree"]


class PipelinedTree(wiring.Component):
    """Adds the numbers of a row group through ``pipeline`` registers, which lie as `add_in_stages` says.

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
        registers = [Register("sync", self.enable[stage]) for stage in range(self.latency)]
        m.d.comb += self.o.eq(
            add_in_stages(m, self.config, self.i, words=self.words, bits=self.bits, registers=registers)
        )
        return m
