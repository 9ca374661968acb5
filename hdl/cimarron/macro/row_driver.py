"""From vectors of activations to reads of one row after the other."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import MacroConfig
from .input_driver import PlaneLayout
from .ports import Operation, OperationLayout

__all__ = ["RowDriver"]


class RowDriver(wiring.Component):
    """Reads the rows through the array while bit planes of the activations wait behind the adder trees.

    A word line alone makes the trees' sums the cells of its row, so the array needs no second port. Rows come from the
    first to the last; during each, planes come from the most significant place to the least, ``first`` and ``last``
    delimit the row, and ``final`` marks the last row. It takes possible operations only, and the next one in the cycle
    in which the last planes of the present one leave.

    Parameters
    ----------
    config : MacroConfig

    Members
    -------
    i_stream : In(stream.Signature(OperationLayout(config)))
    o_stream : Out(stream.Signature(PlaneLayout(config)))
    """

    #: Cycles from the transfer of a vector to its first planes.
    latency = 1

    def __init__(self, config: MacroConfig):
        self.config = config
        super().__init__(
            {
                "i_stream": In(stream.Signature(OperationLayout(config))),
                "o_stream": Out(stream.Signature(PlaneLayout(config))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        operation = self.i_stream.payload
        plane = self.o_stream.payload
        planes = config.planes_per_cycle
        load, leaves = Signal(), Signal()

        # Planes above the activations' own are sign or zero extension.
        layout = data.ArrayLayout(data.ArrayLayout(config.words, planes), config.plane_groups)
        incoming, held = Signal(layout), Signal(layout, reset_less=True)
        fill = Signal(config.words)
        with m.If(operation.signed), m.Switch(operation.bits):
            for bits in range(1, config.max_act_bits + 1):
                with m.Case(bits):
                    m.d.comb += fill.eq(Cat(operation.x[word][bits - 1] for word in range(config.words)))
        for place in range(config.plane_groups):
            for p in range(planes):
                bit = place * planes + p
                target = incoming[place][p]
                if bit < config.max_act_bits:
                    own = Cat(operation.x[word][bit] for word in range(config.words))
                    m.d.comb += target.eq(Mux(operation.bits > bit, own, fill))
                else:
                    m.d.comb += target.eq(fill)

        top, place = Signal.like(plane.place), Signal.like(plane.place)
        row, row_group = Signal(config.group_rows, init=1), Signal.like(plane.row_group)
        weight_set, is_signed = Signal.like(plane.set), Signal()
        first, last, final = Signal(), Signal(), Signal()
        m.d.comb += [
            leaves.eq(self.o_stream.valid & self.o_stream.ready),
            self.i_stream.ready.eq(~self.o_stream.valid | (leaves & last & final)),
            load.eq(self.i_stream.valid & self.i_stream.ready),
            plane.x[0].eq(row),
            plane.row_group.eq(row_group),
            plane.place.eq(place),
            plane.shift.eq(1),
            first.eq(place == top),
            last.eq(place == 0),
            final.eq(row[-1] & (row_group == config.row_groups - 1)),
            plane.first.eq(first),
            plane.last.eq(last),
            plane.final.eq(final),
            plane.negative.eq(is_signed & first),
            plane.set.eq(weight_set),
            plane.operation.eq(Operation.TRANSPOSED),
            plane.columns.eq(Array(held[place] for place in range(config.plane_groups))[place]),
        ]
        if config.gating:
            for source in plane.source:
                m.d.comb += [source.set.eq(weight_set), source.row_group.eq(row_group)]
        with m.If(leaves):
            m.d.sync += place.eq(Mux(last, top, place - 1))
            with m.If(last):
                m.d.sync += [row.eq(row.rotate_left(1)), self.o_stream.valid.eq(~final)]
                with m.If(row[-1]):
                    m.d.sync += row_group.eq(Mux(final, 0, row_group + 1))
        highest = (operation.bits - 1)[: len(operation.bits)] >> planes.bit_length() - 1
        with m.If(load):
            m.d.sync += [
                self.o_stream.valid.eq(1),
                top.eq(highest),
                place.eq(highest),
                held.eq(incoming),
                weight_set.eq(operation.set),
                is_signed.eq(operation.signed),
            ]
        return m
