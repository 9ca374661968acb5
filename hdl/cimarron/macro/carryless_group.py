"""Carry-less products of the columns that fuse."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import MacroConfig
from .ports import WriteLayout

__all__ = ["CarrylessGroup"]


class CarrylessGroup(wiring.Component):
    """Sums of products over GF(2) of the columns that fuse into one weight of ``max_weight_bits``.

    As in `ColumnGroup`, with XOR for every addition: parities take the place of sums, Horner's rule or places weigh
    those of the planes, and columns fuse as ``low ^ high * 2**(bits of low)``. The top bit of signed weights is stored
    inverted, so its parity is wrong wherever the plane has an odd number of ones.

    Parameters
    ----------
    config : MacroConfig

    Members
    -------
    step, first, shift, place : In
        As in `ShiftAccumulator`.
    parities : In(cell_bits).array(planes_per_cycle, group_words)
        Parity of each bit of each column, by plane.
    odd : In(planes_per_cycle)
        Parity of the ones in each plane.
    tops : In(group_words)
        Columns that hold the top cell of a signed weight.
    width : In
        Index of the weights' width to fuse to.
    y : Out(carryless_bits).array(group_words)
        Products of the operation; combinational after the accumulators.
    """

    #: Cycles from the parities of the last plane to ``y``.
    latency = 1

    def __init__(self, config: MacroConfig):
        self.config = config
        super().__init__(
            {
                "step": In(1),
                "first": In(1),
                "shift": In(1),
                "place": In(range(max(2, config.accumulator_places))),
                "parities": In(config.cell_bits).array(config.planes_per_cycle, config.group_words),
                "odd": In(config.planes_per_cycle),
                "tops": In(config.group_words),
                "width": In(WriteLayout(config)["width"].shape),
                "y": Out(config.carryless_bits).array(config.group_words),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        planes = config.planes_per_cycle
        totals: list[Value] = []
        for column in range(config.group_words):
            total = Signal(config.max_act_bits + config.cell_bits - 1, name=f"total_{column}")
            term = Signal(planes + config.cell_bits - 1, name=f"term_{column}")
            wrong = self.odd & self.tops[column].replicate(planes)
            value: Value = self.parities[0][column] ^ (wrong[0] << config.cell_bits - 1)
            for p in range(1, planes):
                value ^= (self.parities[p][column] ^ (wrong[p] << config.cell_bits - 1)) << p
            m.d.comb += term.eq(value)
            if config.accumulator_places > 1:
                kept: Value = total
                shifts = [term << place * planes for place in range(config.accumulator_places)]
                placed = Signal.like(total, name=f"placed_{column}")
                with m.Switch(self.place):
                    for place, shifted in enumerate(shifts):
                        with m.Case(place):
                            m.d.comb += placed.eq(shifted)
                term = placed
            else:
                kept = Mux(self.shift, total << planes, total)
            with m.If(self.step):
                m.d.sync += total.eq(Mux(self.first, 0, kept) ^ term)
            totals.append(total)
        for level, bits in enumerate(config.weight_widths[:-1]):
            for low in range(0, len(totals), 2 << level):
                high = low + (1 << level)
                totals[low] ^= Mux(self.width > level, totals[high], 0) << bits
                totals[high] = Mux(self.width > level, 0, totals[high])
        m.d.comb += [y.eq(total) for y, total in zip(self.y, totals, strict=True)]
        return m
