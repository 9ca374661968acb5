"""Counts of ones, for bitwise operations."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import MacroConfig
from .ports import WriteLayout

__all__ = ["BitCounter"]


class BitCounter(wiring.Component):
    """Ones among the bits of the words of a column group, counted over the bit planes of an operation.

    A plane of bit b meets bit b of each weight alone: `WordLines` enables it in every column, and its sum comes weighed
    by its place in the cell, which is undone. Of the columns that fuse into one weight, the one that holds bit b
    counts. At the end neighbours fuse as in `ColumnGroup`, but by plain addition. Bits from ``used`` and from the
    weights' width up count nothing.

    Parameters
    ----------
    config : MacroConfig

    Members
    -------
    step : In(1)
        Planes are counted at the end of this cycle.
    first : In(1)
        Counts begin with these planes.
    place : In
        The planes are bits ``place * planes_per_cycle`` and up.
    used : In(planes_per_cycle)
        Planes that belong to the operation.
    sums : In(column_bits).array(planes_per_cycle, group_words)
        Each plane's sum in each column.
    sums_width : In
        Index of the weights' width under the planes.
    width : In
        Index of the weights' width to fuse to.
    y : Out(distance_bits).array(group_words)
        Counts of the operation; combinational after the accumulators.
    """

    #: Cycles from the sums of the last plane to ``y``.
    latency = 1

    def __init__(self, config: MacroConfig):
        self.config = config
        width = WriteLayout(config)["width"].shape
        super().__init__(
            {
                "step": In(1),
                "first": In(1),
                "place": In(range(max(2, config.plane_groups))),
                "used": In(config.planes_per_cycle),
                "sums": In(config.column_bits).array(config.planes_per_cycle, config.group_words),
                "sums_width": In(width),
                "width": In(width),
                "y": Out(config.distance_bits).array(config.group_words),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        cell_places = config.cell_bits.bit_length() - 1
        reach = Signal(range(config.group_words + 1))
        m.d.comb += reach.eq(Array(2**width - 1 for width in range(len(config.weight_widths)))[self.sums_width])
        bits = [Cat(Const(p, config.planes_per_cycle.bit_length() - 1), self.place) for p in range(len(self.used))]
        totals: list[Value] = []
        for column in range(config.group_words):
            counts = []
            for p, bit in enumerate(bits):
                count = Signal(config.count_bits, name=f"count_{p}_{column}")
                shifted = self.sums[p][column] >> bit[:cell_places]
                with m.If(self.used[p] & (bit[cell_places:] == (reach & column))):
                    m.d.comb += count.eq(shifted)
                counts.append(count)
            total = Signal((config.rows * config.cell_bits).bit_length(), name=f"total_{column}")
            with m.If(self.step):
                m.d.sync += total.eq(Mux(self.first, 0, total) + sum(counts[1:], start=counts[0]))
            totals.append(total)
        for level in range(len(config.weight_widths) - 1):
            for low in range(0, len(totals), 2 << level):
                high = low + (1 << level)
                totals[low] += Mux(self.width > level, totals[high], 0)
                totals[high] = Mux(self.width > level, 0, totals[high])
        m.d.comb += [y.eq(total) for y, total in zip(self.y, totals, strict=True)]
        return m
