"""Parities of the products of all rows."""

from functools import reduce
from operator import xor

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import MacroConfig

__all__ = ["ParityTree"]


class ParityTree(wiring.Component):
    """XOR of the products of a row group, through as many registers as `PipelinedTree`, so that both arrive together.

    The parity of one-bit numbers is the low bit of their sum; only wider cells, whose sums carry, need this tree.

    Parameters
    ----------
    config : MacroConfig

    Members
    -------
    enable : In
        Bit s: register s takes new parities at the end of this cycle.
    i : In(group_rows * row_bits * planes_per_cycle)
        Row after row.
    o : Out(row_bits * planes_per_cycle)
    """

    def __init__(self, config: MacroConfig):
        self.config = config
        self.row_bits = config.row_bits * config.planes_per_cycle
        super().__init__(
            {
                "enable": In(max(1, config.pipeline)),
                "i": In(config.group_rows * self.row_bits),
                "o": Out(self.row_bits),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from the products to their parities."""
        return self.config.pipeline

    def elaborate(self, platform) -> Module:
        m = Module()
        rows = [self.i.word_select(row, self.row_bits) for row in range(self.config.group_rows)]
        for level in range(self.latency + 1):
            left = self.latency + 1 - level
            fan_in = next(fan_in for fan_in in range(1, len(rows) + 1) if fan_in**left >= len(rows))
            parities = [reduce(xor, rows[first : first + fan_in]) for first in range(0, len(rows), fan_in)]
            if left == 1:
                m.d.comb += self.o.eq(parities[0])
            else:
                kept = Signal(len(parities) * self.row_bits, name=f"parities_{level}")
                with m.If(self.enable[level]):
                    m.d.sync += kept.eq(Cat(parities))
                rows = [kept.word_select(index, self.row_bits) for index in range(len(parities))]
        return m
