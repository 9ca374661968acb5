"""Products with the transposed weights."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import MacroConfig
from .back_ends import adder_tree
from .format import FormatLayout
from .shift_accumulator import ShiftAccumulator

__all__ = ["RowProduct"]


class RowProduct(wiring.Component):
    """``y[i] = sum(x[j] * w[i, j])``: the cells of one row times bit planes of an activation per weight.

    One adder tree per place in a column group adds the cells there, those sums are shifted to the place of their column
    in the weight, and added. Signed weights are stored with ``2**(bits - 1)`` added, which is taken off for every one
    in the plane. The row's planes are accumulated like those of a column.

    Parameters
    ----------
    config : MacroConfig

    Members
    -------
    step, first, negative : In(1)
        As in `ShiftAccumulator`; planes come without a gap and most significant first.
    cells : In(cell_bits).array(words)
        The row.
    columns : In(data.ArrayLayout(words, planes_per_cycle))
        Bit j of a plane belongs to weight j.
    format : In(FormatLayout(config))
        Of the row.
    ones : Out(...).array(planes_per_cycle)
        Ones in each plane, among as many bits as there are weights.
    capture : In(1)
        The accumulated product enters ``y`` at the end of this cycle.
    y : Out(signed(result_bits)).array(rows)
        The last ``rows`` products, the oldest first.
    """

    #: Cycles from the last planes of the last row to ``y``.
    latency = ShiftAccumulator.latency + 1

    def __init__(self, config: MacroConfig):
        self.config = config
        super().__init__(
            {
                "step": In(1),
                "first": In(1),
                "negative": In(1),
                "cells": In(config.cell_bits).array(config.words),
                "columns": In(data.ArrayLayout(config.words, config.planes_per_cycle)),
                "format": In(FormatLayout(config)),
                "ones": Out(range(config.words + 1)).array(config.planes_per_cycle),
                "capture": In(1),
                "y": Out(signed(config.result_bits)).array(config.rows),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        planes, width = config.planes_per_cycle, self.format.width
        widths = range(len(config.weight_widths))
        spread = Signal(data.ArrayLayout(config.words, planes))
        lowest = Signal(config.words)
        m.d.comb += lowest.eq(
            Array(sum(1 << word for word in range(0, config.words, 2**level)) for level in widths)[width]
        )
        for p in range(planes):
            choices = [Cat(self.columns[p][word >> level] for word in range(config.words)) for level in widths]
            m.d.comb += spread[p].eq(Array(choices)[width])

        m.submodules.counter = counter = adder_tree(config, rows=config.words, words=planes, bits=1)
        m.d.comb += counter.i.eq(
            Cat(spread[p][word] & lowest[word] for word in range(config.words) for p in range(planes))
        )
        m.d.comb += [ones.eq(counter.o[p::planes]) for p, ones in enumerate(self.ones)]

        # The largest total is that of the widest weights.
        total_bits = (config.groups * (2**config.max_weight_bits - 1)).bit_length()
        m.submodules.accumulator = accumulator = ShiftAccumulator(total_bits + 1, config.result_bits, planes)
        totals: list[Value] = [self._excess(p) for p in range(planes)]
        for place in range(config.group_words):
            tree = adder_tree(config, rows=config.groups, words=planes, bits=config.cell_bits)
            m.submodules[f"tree_{place}"] = tree
            m.d.comb += tree.i.eq(
                Cat(
                    self.cells[word][bit] & spread[p][word]
                    for word in range(place, config.words, config.group_words)
                    for bit in range(config.cell_bits)
                    for p in range(planes)
                )
            )
            for p in range(planes):
                shifts = [tree.o[p::planes] << config.cell_bits * (place & 2**level - 1) for level in widths]
                totals[p] += Array(shifts)[width]
        m.d.comb += [
            accumulator.step.eq(self.step),
            accumulator.first.eq(self.first),
            accumulator.negative.eq(self.negative),
            accumulator.shift.eq(1),
            *(i.eq(total) for i, total in zip(accumulator.i, totals, strict=True)),
        ]
        with m.If(self.capture):
            m.d.sync += [y.eq(newer) for y, newer in zip(self.y, [*list(self.y)[1:], accumulator.acc], strict=True)]
        return m

    def _excess(self, p: int) -> Value:
        """What the offset of signed weights has to be corrected by."""
        shifts = Array(self.ones[p] << bits - 1 for bits in self.config.weight_widths)
        return -Mux(self.format.signed, shifts[self.format.width], 0)
