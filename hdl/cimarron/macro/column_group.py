"""Columns that fuse into wider weights."""

from amaranth.hdl import Module, Mux, Signal, Value, signed
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
        A plane is accumulated at the end of this cycle.
    first, negative : In(1)
        The plane is an operation's first; it is the sign plane.
    sums : In(column_bits).array(group_words)
        The plane's sum in each column.
    count : In(count_bits)
        Ones in the plane.
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
                "sums": In(config.column_bits).array(config.group_words),
                "count": In(config.count_bits),
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
            accumulator = ShiftAccumulator(config.column_bits + 1, config.result_bits_for(config.cell_bits))
            m.submodules[f"column_{column}"] = accumulator
            excess = Signal(config.count_bits, name=f"excess_{column}")
            m.d.comb += [
                excess.eq(Mux(self.tops[column], self.count, 0)),
                accumulator.i.eq(self.sums[column] - (excess << config.cell_bits - 1)),
                accumulator.step.eq(self.step),
                accumulator.first.eq(self.first),
                accumulator.negative.eq(self.negative),
            ]
            totals.append(accumulator.acc)
        with m.If(self.capture):
            m.d.sync += [y.eq(total) for y, total in zip(self.y, self._fused(totals), strict=True)]
        return m
