"""From vectors of activations to bit planes."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import MacroConfig
from .ports import OperationLayout

__all__ = ["InputDriver", "PlaneLayout"]


class PlaneLayout(data.StructLayout):
    """What drives the word lines for one cycle: ``planes_per_cycle`` neighbouring bits of one row group.

    ``x[p]`` holds plane p of the group, least significant first, and ``row_group`` says whose rows these are. The
    planes weigh ``2**(place * planes_per_cycle + p)``. ``shift`` marks the first row group of a place. ``first`` and
    ``last`` delimit an operation. In a ``negative`` group, the upper plane is the sign. ``error`` marks the only,
    empty group of an operation that asked for a width or a set that does not exist.
    """

    def __init__(self, config: MacroConfig):
        super().__init__(
            {
                "x": data.ArrayLayout(config.group_rows, config.planes_per_cycle),
                "row_group": range(max(2, config.row_groups)),
                "place": range(max(2, config.plane_groups)),
                "shift": 1,
                "first": 1,
                "last": 1,
                "negative": 1,
                "error": 1,
                "set": OperationLayout(config)["set"].shape,
            }
        )


class InputDriver(wiring.Component):
    """Sends the activations of an operation through the array, a group of bit planes of a group of rows per cycle.

    Places go from the most significant to the least, row groups within a place from the last to the first. Bits above
    an operation's own are sign or zero extension. The next vector is taken in the cycle in which the last planes of the
    present one leave, so operations follow one another without a bubble. Planes come straight from a register: they
    are selected in the cycle before.

    With plane skipping, what contributes nothing is left out, row group by row group: planes without a one, and
    planes that only repeat the sign of a two's complement number, so that small negative numbers are as short as small
    positive ones. One cycle is left of an operation without any. An impossible operation is one cycle of zeros.

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

    def _extended(self, m: Module, places: int) -> list[Value]:
        """Bit planes of the incoming vector, sign or zero extended where anything looks at the extension."""
        config = self.config
        operation = self.i_stream.payload
        rows = range(config.rows)
        planes = [Value.cast(Cat(operation.x[row][bit] for row in rows)) for bit in range(places)]
        if config.planes_per_cycle == 1 and not config.plane_skipping:
            return planes
        fill = Signal(config.rows)
        with m.If(operation.signed), m.Switch(operation.bits):
            for bits in range(1, config.max_act_bits + 1):
                with m.Case(bits):
                    m.d.comb += fill.eq(planes[bits - 1])
        return [Mux(operation.bits > bit, plane, fill) for bit, plane in enumerate(planes)]

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        operation = self.i_stream.payload
        plane = self.o_stream.payload
        width, places, groups = config.planes_per_cycle, config.plane_groups, config.row_groups
        steps = places * groups

        load = Signal()
        advance = Signal()
        exists = Signal()
        m.d.comb += [
            advance.eq(~self.o_stream.valid | self.o_stream.ready),
            self.i_stream.ready.eq(advance & (~self.o_stream.valid | plane.last)),
            load.eq(self.i_stream.valid & self.i_stream.ready),
            exists.eq(
                (operation.bits != 0)
                & (operation.bits < config.max_act_bits + 1)
                & (operation.set < config.weight_sets)
            ),
        ]

        # Step s = place * groups + row group: its planes, whether it is needed, whether it holds the sign.
        steps_layout = data.ArrayLayout(data.ArrayLayout(config.group_rows, width), steps)
        incoming, held, source = Signal(steps_layout), Signal(steps_layout, reset_less=True), Signal(steps_layout)
        needed, negative = Signal(steps), Signal(steps)
        pending, source_pending = Signal(steps), Signal(steps)
        signs, source_signs = Signal(steps), Signal(steps)
        extended = self._extended(m, config.max_act_bits)
        top = extended[-1]
        extended += [Mux(operation.signed, top, 0)] * (places * width - config.max_act_bits)
        for place in range(places):
            for group in range(groups):
                step = place * groups + group
                for p in range(width):
                    rows = extended[place * width + p].word_select(group, config.group_rows)
                    m.d.comb += incoming[step][p].eq(rows)
        if config.plane_skipping:
            for group in range(groups):
                # Going down, the sign is in the first place that does not just repeat what is below it.
                above = Signal(places + 1, name=f"significant_{group}")
                for place in reversed(range(places)):
                    step = place * groups + group
                    bits = Cat(incoming[step])
                    if place:
                        below = incoming[step - groups][width - 1]
                        repeats = ~(bits ^ below.replicate(width)).any()
                        m.d.comb += above[place].eq(above[place + 1] | ~(operation.signed & repeats))
                    else:
                        m.d.comb += above[place].eq(1)
                    m.d.comb += [
                        needed[step].eq(above[place] & bits.any()),
                        negative[step].eq(operation.signed & above[place] & ~above[place + 1]),
                    ]
        else:
            for place in range(places):
                used = operation.bits > place * width
                sign = operation.signed & used & (operation.bits < (place + 1) * width + 1)
                for group in range(groups):
                    m.d.comb += [needed[place * groups + group].eq(used), negative[place * groups + group].eq(sign)]

        m.d.comb += [source.eq(held), source_pending.eq(pending), source_signs.eq(signs)]
        with m.If(load):
            m.d.comb += [source.eq(incoming), source_pending.eq(1), source_signs.eq(0)]
            with m.If(exists):
                m.d.comb += [source_signs.eq(negative), source_pending.eq(Mux(needed.any(), needed, 1))]

        # The steps still to come are kept as they are and the next is selected: shifting them would toggle all.
        selected = Signal.like(plane.x.as_value())
        left = Signal(steps)
        m.d.comb += left.eq(source_pending)
        for step in range(steps):
            with m.If(source_pending[step:] == 1):
                m.d.comb += [selected.eq(source[step].as_value()), left[step].eq(0)]
                with m.If(advance):
                    m.d.sync += [
                        plane.place.eq(step // groups),
                        plane.row_group.eq(step % groups),
                        plane.shift.eq(step % groups == groups - 1),
                        plane.negative.eq(source_signs[step]),
                    ]
        with m.If(advance):
            m.d.sync += [
                self.o_stream.valid.eq(source_pending.any()),
                plane.x.eq(Mux(load & ~exists, 0, selected)),
                plane.first.eq(load),
                plane.last.eq(~left.any()),
                pending.eq(left),
            ]
        with m.If(load):
            m.d.sync += [
                held.eq(incoming),
                signs.eq(source_signs),
                plane.error.eq(~exists),
                plane.set.eq(operation.set),
            ]
        return m
