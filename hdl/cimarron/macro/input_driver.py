"""From vectors of activations to bit planes."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import MacroConfig
from .array import SourceLayout
from .next_step import NextStep
from .ports import Operation, OperationLayout

__all__ = ["InputDriver", "PlaneLayout", "is_possible"]


class PlaneLayout(data.StructLayout):
    """What drives the word lines for one cycle: ``planes_per_cycle`` neighbouring bits of one row group.

    ``x[p]`` holds plane p of the group, least significant first, and ``row_group`` says whose rows these are. The
    planes weigh ``2**(place * planes_per_cycle + p)``. ``shift`` marks the first row group of a place. ``first`` and
    ``last`` delimit an operation. In a ``negative`` group, the upper plane is the sign. ``error`` marks the only, empty
    group of an operation that asked for what does not exist. With gating, ``source`` says where each block of rows
    takes its cells from, one without a one staying at those it had, and bit g of ``idle`` that column group g takes no
    part. Where sets have word lines of their own, ``lines[s]`` is ``x`` for set s and 0 for the other. Beyond MAC,
    ``operation`` says what the group is for. If there are bitwise operations, bit p of ``used`` says whether plane p is
    below the operation's ``bits``.
    For the transposed weights, ``columns[p]`` is plane p of the activations, one bit per weight, while ``x`` selects a
    row, which ``first`` and ``last`` delimit; the last row of an operation is ``final``, as is any other operation.
    """

    def __init__(self, config: MacroConfig):
        fields = {
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
        if config.line_sets > 1:
            fields["lines"] = data.ArrayLayout(fields["x"], config.line_sets)
        if config.gating:
            fields["source"] = data.ArrayLayout(SourceLayout(config), config.row_blocks)
            fields["idle"] = config.groups
        if config.beyond_mac:
            fields["operation"] = OperationLayout(config)["operation"].shape
        if config.bitwise:
            fields["used"] = config.planes_per_cycle
        if config.transposed:
            fields |= {"final": 1, "columns": data.ArrayLayout(config.words, config.planes_per_cycle)}
        super().__init__(fields)


def is_possible(config: MacroConfig, operation: data.View) -> Value:
    """Whether the width and the set that an operation asks for exist."""
    return (operation.bits != 0) & (operation.bits < config.max_act_bits + 1) & (operation.set < config.weight_sets)


class InputDriver(wiring.Component):
    """Sends the activations of an operation through the array, a group of bit planes of a group of rows per cycle.

    Places go from the most significant to the least, row groups within a place from the last to the first. Bits above
    an operation's own are sign or zero extension. The next vector is taken in the cycle in which the last planes of the
    present one leave, so operations follow one another without a bubble. Planes come straight from a register: they
    are selected in the cycle before.

    With plane skipping, what contributes nothing is left out, row group by row group: planes without a one, and
    planes that only repeat the sign of a two's complement number, so that small negative numbers are as short as small
    positive ones. One cycle is left of an operation without any. An impossible operation is one cycle of zeros.

    Signs matter to MAC alone; XOR and XNOR need planes without a one, too, because the weights may have some. Vectors
    for the transposed weights are impossible here: `RowDriver` takes them.

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

    def _is(self, *codes: Operation) -> Value:
        """Whether the incoming operation is one of these."""
        return Cat(self.i_stream.payload.operation == code for code in codes).any()

    def _signed(self) -> Value:
        """Whether the incoming vector has signs that matter."""
        operation = self.i_stream.payload
        return operation.signed & self._is(Operation.MAC) if self.config.beyond_mac else operation.signed

    def _extended(self, m: Module, places: int, is_signed: Value) -> list[Value]:
        """Bit planes of the incoming vector, sign or zero extended where anything looks at the extension."""
        config = self.config
        operation = self.i_stream.payload
        rows = range(config.rows)
        planes = [Value.cast(Cat(operation.x[row][bit] for row in rows)) for bit in range(places)]
        if config.planes_per_cycle == 1 and not config.plane_skipping:
            return planes
        fill = Signal(config.rows)
        with m.If(is_signed), m.Switch(operation.bits):
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
        is_signed = self._signed()
        possible = is_possible(config, operation)
        if config.beyond_mac:
            codes = [Operation.MAC]
            codes += [Operation.AND, Operation.XOR, Operation.XNOR] if config.bitwise else []
            codes += [Operation.CARRYLESS] if config.carryless else []
            possible &= self._is(*codes)
        m.d.comb += [
            advance.eq(~self.o_stream.valid | self.o_stream.ready),
            self.i_stream.ready.eq(advance & (~self.o_stream.valid | plane.last)),
            load.eq(self.i_stream.valid & self.i_stream.ready),
            exists.eq(possible),
        ]

        # Step s = place * groups + row group: its planes, whether it is needed, whether it holds the sign.
        incoming = Signal(data.ArrayLayout(data.ArrayLayout(config.group_rows, width), steps))
        needed, negative = Signal(steps), Signal(steps)
        extended = self._extended(m, config.max_act_bits, is_signed)
        top = extended[-1]
        extended += [Mux(is_signed, top, 0)] * (places * width - config.max_act_bits)
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
                        m.d.comb += above[place].eq(above[place + 1] | ~(is_signed & repeats))
                    else:
                        m.d.comb += above[place].eq(1)
                    counts = bits.any()
                    if config.bitwise:
                        counts |= self._is(Operation.XOR, Operation.XNOR) & (operation.bits > place * width)
                    m.d.comb += [
                        needed[step].eq(above[place] & counts),
                        negative[step].eq(is_signed & above[place] & ~above[place + 1]),
                    ]
        else:
            for place in range(places):
                used = operation.bits > place * width
                sign = is_signed & used & (operation.bits < (place + 1) * width + 1)
                for group in range(groups):
                    m.d.comb += [needed[place * groups + group].eq(used), negative[place * groups + group].eq(sign)]

        pending, signs = Signal(steps), Signal(steps)
        m.d.comb += pending.eq(1)
        with m.If(exists):
            m.d.comb += [signs.eq(negative), pending.eq(Mux(needed.any(), needed, 1))]

        # A vector's first step is selected beside the next one of the vector before: it is known last whose turn it is.
        planes = [Value.cast(incoming[step]) for step in range(steps)]
        coming = first = self._choose(m, "first", pending, planes, signs, operation.bits)
        present = load
        # The uppermost step comes first or not at all, so nothing is kept of it; an only step leaves none. What is
        # kept stays as it is: shifting it would toggle all.
        kept = steps - 1
        if kept:
            held = Signal(Cat(planes[:kept]).shape(), reset_less=True)
            held_pending, held_signs, held_bits = Signal(kept), Signal(kept), Signal.like(operation.bits)
            held_planes = [held.word_select(step, len(planes[0])) for step in range(kept)]
            following = self._choose(m, "following", held_pending, held_planes, held_signs, held_bits)
            coming = Signal.like(first)
            m.d.comb += coming.eq(Mux(load, first, following))
            present = load | held_pending.any()
            with m.If(advance):
                m.d.sync += held_pending.eq(coming.left)
            with m.If(load):
                m.d.sync += [held.eq(Cat(planes)), held_signs.eq(signs)]
                if config.bitwise:
                    m.d.sync += held_bits.eq(operation.bits)
        next_x = Signal.like(plane.x)
        m.d.comb += next_x.eq(Mux(load & ~exists, 0, coming.x))
        with m.If(advance & present):
            m.d.sync += [getattr(plane, name).eq(coming[name]) for name in ("place", "row_group", "shift", "negative")]
            if config.bitwise:
                m.d.sync += plane.used.eq(Mux(load & ~exists, 0, coming.used))
        with m.If(advance):
            m.d.sync += [
                self.o_stream.valid.eq(present),
                plane.x.eq(next_x),
                plane.first.eq(load),
                plane.last.eq(~coming.left.any()),
            ]
        next_set = Mux(load, operation.set, plane.set)
        if config.line_sets > 1:
            with m.If(advance):
                m.d.sync += [lines.eq(Mux(next_set == s, next_x, 0)) for s, lines in enumerate(plane.lines)]
        if config.gating:
            code = Mux(load, operation.operation, plane.operation) if config.bitwise else Const(Operation.MAC)
            goes_on = advance & present
            self._move_blocks(m, goes_on, next_x, next_set, coming.row_group, code)
        with m.If(load):
            m.d.sync += [plane.error.eq(~exists), plane.set.eq(operation.set)]
            if config.gating:
                m.d.sync += plane.idle.eq(Mux(exists, operation.idle, 0))
            if config.beyond_mac:
                m.d.sync += plane.operation.eq(Mux(exists, operation.operation, Operation.MAC))
            if config.transposed:
                m.d.sync += plane.final.eq(1)
        return m

    def _choose(
        self, m: Module, name: str, pending: Value, planes: Sequence[Value], signs: Value, bits: Value
    ) -> data.View:
        """What drives the word lines in the next step of those pending, and which are left then."""
        config = self.config
        groups, width = config.row_groups, config.planes_per_cycle
        fields = ("x", "row_group", "place", "shift", "negative", *(("used",) if config.bitwise else ()))
        steps = config.plane_groups * groups
        layout = data.StructLayout(
            {name: PlaneLayout(config)[name].shape for name in fields} | {"left": max(1, steps - 1)}
        )
        step = NextStep(m, pending, groups, name=name)
        choice = Signal(layout, name=name)
        m.d.comb += [
            choice.x.as_value().eq(step.of_steps(planes)),
            choice.row_group.eq(step.number_of_row_group(len(choice.row_group))),
            choice.place.eq(step.number_of_place(len(choice.place))),
            choice.shift.eq(step.step[groups - 1 :: groups].any()),
            choice.negative.eq((signs & step.step).any()),
            choice.left.eq(pending & ~step.step),
        ]
        if config.bitwise:
            used = Signal(config.plane_groups * width, name=f"{name}_used")
            m.d.comb += used.eq(Cat(bits > bit for bit in range(config.max_act_bits)))
            m.d.comb += choice.used.eq(step.of_places([used.word_select(p, width) for p in range(len(step.place))]))
        return choice

    def _move_blocks(
        self, m: Module, goes_on: Value, x: data.View, weight_set: Value, row_group: Value, operation: Value
    ) -> None:
        """Let the blocks of rows with a one among the coming planes go over to the cells that these are for."""
        config, plane = self.config, self.o_stream.payload
        # These ask every cell whether it is 0.
        whole = Cat(operation == code for code in (Operation.XOR, Operation.XNOR)).any()
        for block, source in enumerate(plane.source):
            first = block * config.block_rows
            ones = Cat(lines[first : first + config.block_rows] for lines in x)
            with m.If(goes_on & (ones.any() | whole)):
                m.d.sync += [source.set.eq(weight_set), source.row_group.eq(row_group)]
