"""Columns that fuse into wider weights."""

from amaranth.hdl import Module, Mux, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import MacroConfig
from .ports import WriteLayout
from .shift_accumulator import ShiftAccumulator

__all__ = ["ColumnGroup"]


class ColumnGroup(wiring.Component):
    """Totals of the columns that fuse into one weight of ``max_weight_bits``.

    Cells are unsigned numbers; the top cells of signed weights are stored with ``2**(cell_bits - 1)`` added, so a plane
    with ``count`` ones has ``count * 2**(cell_bits - 1)`` too much there, which is taken off before accumulation. Every
    column accumulates on its own. At the end neighbours fuse in pairs, then pairs of pairs, as far as the weight width
    goes: ``low + high * 2**(bits of low)``. The sum lies in the lower column's place, the upper's becomes 0.

    Parameters
    ----------
    config : MacroConfig

    Members
    -------
    step : In(1)
        Planes are accumulated at the end of this cycle.
    first, negative, shift, place : In
        As in `ShiftAccumulator`.
    sums : In(column_bits).array(planes_per_cycle, group_words)
        Each plane's sum in each column.
    count : In(count_bits).array(planes_per_cycle)
        Ones in each plane.
    tops : In(group_words)
        Columns that hold the top cell of a signed weight.
    capture : In(1)
        The accumulated totals are fused and replace ``y`` at the end of this cycle.
    width : In(range(len(weight_widths)))
        Index of the weight width to fuse to.
    y : Out(signed(result_bits)).array(group_words)
    """

    #: Cycles from the sums of the last plane to ``y``: into the accumulator, then out through fusion.
    latency = ShiftAccumulator.latency + 1

    def __init__(self, config: MacroConfig):
        self.config = config
        super().__init__(
            {
                "step": In(1),
                "first": In(1),
                "negative": In(1),
                "shift": In(1),
                "place": In(range(max(2, config.accumulator_places))),
                "sums": In(config.column_bits).array(config.planes_per_cycle, config.group_words),
                "count": In(config.count_bits).array(config.planes_per_cycle),
                "tops": In(config.group_words),
                "capture": In(1),
                "width": In(WriteLayout(config)["width"].shape),
                "y": Out(signed(config.result_bits)).array(config.group_words),
            }
        )

    def _fused(self, totals: list[Value]) -> list[Value]:
        fused = list(totals)
        for level, bits in enumerate(self.config.weight_widths[:-1]):
            reach = 2**level
            fuses = self.width > level
            for low in range(0, len(fused), 2 * reach):
                high = low + reach
                fused[low] += Mux(fuses, fused[high], 0) << bits
                fused[high] = Mux(fuses, 0, fused[high])
        return fused

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        totals = []
        for column in range(config.group_words):
            accumulator = ShiftAccumulator(
                config.column_bits + 1,
                config.result_bits_for(config.cell_bits),
                config.planes_per_cycle,
                config.accumulator_places,
            )
            m.submodules[f"column_{column}"] = accumulator
            for i, sums, count in zip(accumulator.i, self.sums, self.count, strict=True):
                excess = Mux(self.tops[column], count, 0)
                m.d.comb += i.eq(sums[column] - (excess << config.cell_bits - 1))
            m.d.comb += [
                accumulator.step.eq(self.step),
                accumulator.first.eq(self.first),
                accumulator.negative.eq(self.negative),
                accumulator.shift.eq(self.shift),
                accumulator.place.eq(self.place),
            ]
            totals.append(accumulator.acc)
        with m.If(self.capture):
            m.d.sync += [y.eq(total) for y, total in zip(self.y, self._fused(totals), strict=True)]
        return m
