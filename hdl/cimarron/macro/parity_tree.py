"""Parities of the products of all rows."""

from functools import reduce
from itertools import islice
from operator import xor

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import MacroConfig
from .staged_sum import fan_ins

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
        # The last level is a single XOR of what is left.
        for level, sizes in enumerate(fan_ins(len(rows), self.latency)[:-1]):
            left = iter(rows)
            parities = [reduce(xor, islice(left, size)) for size in sizes]
            kept = Signal(len(parities) * self.row_bits, name=f"parities_{level}")
            with m.If(self.enable[level]):
                m.d.sync += kept.eq(Cat(parities))
            rows = [kept.word_select(index, self.row_bits) for index in range(len(parities))]
        m.d.comb += self.o.eq(reduce(xor, rows))
        return m
