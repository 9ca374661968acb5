"""Columns that fuse into wider weights."""

from collections.abc import Iterable

from amaranth.hdl import Cat, Module, Mux, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out

from ..config import MacroConfig
from .bit_counter import BitCounter
from .carryless_group import CarrylessGroup
from .ports import OPERATION_BITS, Operation, WriteLayout
from .shift_accumulator import ShiftAccumulator

__all__ = ["ColumnGroup"]


class ColumnGroup(wiring.Component):
    """Totals of the columns that fuse into one weight of ``max_weight_bits``.

    Cells are unsigned numbers; the top cells of signed weights are stored with ``2**(cell_bits - 1)`` added, so a plane
    with ``count`` ones has ``count * 2**(cell_bits - 1)`` too much there, which is taken off before accumulation. Every
    column accumulates on its own. At the end neighbours fuse in pairs, then pairs of pairs, as far as the weight width
    goes: ``low + high * 2**(bits of low)``. The sum lies in the lower column's place, the upper's becomes 0.

    Bitwise and carry-less operations count and multiply beside the accumulators, with the same latency.

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
    operation : In(OPERATION_BITS)
        What was accumulated; only if there are bitwise or carry-less operations.
    used, bit_place, sums_width : In
        As ``used``, ``place`` and ``sums_width`` in `BitCounter`; only if there are bitwise operations.
    parities : In(cell_bits).array(planes_per_cycle, group_words)
        As in `CarrylessGroup`; only if there are carry-less operations.
    """

    #: Cycles from the sums of the last plane to ``y``: into the accumulator, then out through fusion.
    latency = ShiftAccumulator.latency + 1

    def __init__(self, config: MacroConfig):
        self.config = config
        width = WriteLayout(config)["width"].shape
        beside: dict[str, Member] = {}
        if config.bitwise or config.carryless:
            beside["operation"] = In(OPERATION_BITS)
        if config.bitwise:
            beside["used"] = In(config.planes_per_cycle)
            beside["bit_place"] = In(range(max(2, config.plane_groups)))
            beside["sums_width"] = In(width)
        if config.carryless:
            beside["parities"] = In(config.cell_bits).array(config.planes_per_cycle, config.group_words)
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
                "width": In(width),
                "y": Out(signed(config.result_bits)).array(config.group_words),
                **beside,
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
        results = self._fused(totals)
        if config.bitwise:
            counts = self._counts(m)
            bitwise = Cat(self.operation == code for code in (Operation.AND, Operation.XOR, Operation.XNOR)).any()
            results = [Mux(bitwise, count, y) for count, y in zip(counts, results, strict=True)]
        if config.carryless:
            products = self._carryless_products(m)
            carryless = self.operation == Operation.CARRYLESS
            results = [Mux(carryless, product, y) for product, y in zip(products, results, strict=True)]
        with m.If(self.capture):
            m.d.sync += [y.eq(result) for y, result in zip(self.y, results, strict=True)]
        return m

    def _counts(self, m: Module) -> Iterable[Value]:
        m.submodules.counter = counter = BitCounter(self.config)
        m.d.comb += [
            counter.step.eq(self.step),
            counter.first.eq(self.first),
            counter.place.eq(self.bit_place),
            counter.used.eq(self.used),
            counter.sums_width.eq(self.sums_width),
            counter.width.eq(self.width),
        ]
        for planes, sums in zip(counter.sums, self.sums, strict=True):
            m.d.comb += [i.eq(o) for i, o in zip(planes, sums, strict=True)]
        return counter.y

    def _carryless_products(self, m: Module) -> Iterable[Value]:
        m.submodules.carryless = carryless = CarrylessGroup(self.config)
        m.d.comb += [
            carryless.step.eq(self.step),
            carryless.first.eq(self.first),
            carryless.shift.eq(self.shift),
            carryless.place.eq(self.place),
            carryless.odd.eq(Cat(count[0] for count in self.count)),
            carryless.tops.eq(self.tops),
            carryless.width.eq(self.width),
        ]
        for planes, parities in zip(carryless.parities, self.parities, strict=True):
            m.d.comb += [i.eq(o) for i, o in zip(planes, parities, strict=True)]
        return carryless.y
