"""What an operation declares idle stands still."""

from collections.abc import Iterator
from itertools import pairwise

from amaranth.hdl import Assert, Cat, Fragment, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from cimarron.macro.ports import Operation

from .inputs import macro_inputs

__all__ = ["PARTS", "IdleBest", "IdleGroups", "opened"]

#: What a column group consists of, in the order in which an operation goes through it.
PARTS = ("products", "trees", "sums", "accumulators", "results")


def opened(component: wiring.Component, platform: object) -> Module:
    """The inside of a component, which it hands out again when it is elaborated as a part of the design."""
    inside = component.elaborate(platform)
    component.elaborate = lambda platform: inside
    return inside


def _registers(component: wiring.Component, platform: object) -> list[Signal]:
    """Every register in a component and its parts, in this order each time; it is part of the design as it is then."""
    inside = Fragment.get(component, platform)
    # As if it had not been looked at: a component may be in a design once only.
    inside.origins = None
    component.elaborate = lambda platform: inside

    def found(fragment: Fragment) -> Iterator[Signal]:
        for statement in fragment.statements.get("sync", []):
            yield from statement._lhs_signals()
        for part, *_ in fragment.subfragments:
            yield from found(part)

    return list({id(signal): signal for signal in found(inside)}.values())


def _left_out(macro, operation) -> tuple[Value, Value]:
    """Column groups that an operation leaves out, and whether it has no part in any: it is for the transposed weights.

    An impossible operation answers zeros everywhere. What is for the transposed weights reads all columns.
    """
    config = macro.config
    exists = (operation.bits != 0) & (operation.bits <= config.max_act_bits) & (operation.set < config.weight_sets)
    if not config.beyond_mac:
        return Mux(exists, operation.idle, 0), exists & 0
    by_columns = [Operation.MAC]
    by_columns += [Operation.AND, Operation.XOR, Operation.XNOR] * config.bitwise
    by_columns += [Operation.CARRYLESS] * config.carryless
    of_columns = Cat(operation.operation == code for code in by_columns).any()
    of_rows = (operation.operation == Operation.TRANSPOSED) & config.transposed
    return Mux(exists & of_columns, operation.idle, 0), exists & of_rows


class IdleGroups(wiring.Component):
    """While a stage holds an operation that leaves a column group out, the group's part of this stage does not change.

    Any traffic on all streams, stalled at any time, from reset to forever. Which operation is in a stage is kept beside
    the macro: the last one taken is in the array; it goes on when the driver's planes are taken, from register to
    register of the trees as soon as the next one is free, and when the sum of the inputs, in which every operation
    takes part, is accumulated.

    In the array, the products of a group that is left out are 0, so from the first cycle of the operation to the last.
    So is what comes out of the trees, and therefore every register in them: all of an operation that is in one comes
    out in the end. Sums are as they were, at the end of each such cycle; so are the accumulators and counts of whatever
    kind of operation, and the elements of the result. Parities of cells of several bits, which have no sums, are 0. An
    impossible operation answers zeros everywhere and leaves none out. Products with the transposed weights change no
    column's answer.

    Parameters
    ----------
    macro : Macro
        With gating, in flip-flops.
    part : str
        Which of `PARTS` the assertions are about.
    """

    def __init__(self, macro, part: str):
        self.macro = macro
        self.part = part
        super().__init__({**macro_inputs(macro.config), "ready": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.macro.config
        macro = opened(self.macro, platform)
        m.submodules.macro = macro
        for name in ("write", "i_stream"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(self.macro, name))
        m.d.comb += self.macro.o_stream.ready.eq(self.ready)

        idle, by_rows = _left_out(self.macro, self.i_stream.payload)
        planes = macro.submodules.driver.o_stream
        valid: Value = planes.valid
        if config.transposed:
            valid = valid | macro.submodules.row_driver.o_stream.valid
        step = macro.submodules.input_sum.step
        # Which groups the operation in the array, in each register of the trees, behind the sum register and behind the
        # accumulators leaves out, and in the last bit whether it is for the transposed weights.
        stages = config.pipeline + 1
        in_array, *in_stages, in_totals = (Signal(config.groups + 1, name=f"left_out_{k}") for k in range(stages + 2))
        present = [Signal(name=f"holds_{k}") for k in range(stages)]
        enters = [Signal(name=f"enters_{k}") for k in range(stages)]
        leaves = [*enters[1:], step]
        m.d.comb += [
            enters[0].eq(valid & planes.ready),
            *(
                enter.eq(before & (~here | leave))
                for enter, before, here, leave in zip(enters[1:], present, present[1:], leaves[1:], strict=False)
            ),
        ]
        with m.If(self.i_stream.valid & self.i_stream.ready):
            m.d.sync += in_array.eq(Cat(idle, by_rows))
        for before, here, holds, enter, leave in zip(
            [in_array, *in_stages], in_stages, present, enters, leaves, strict=False
        ):
            m.d.sync += holds.eq(enter | (holds & ~leave))
            with m.If(enter):
                m.d.sync += here.eq(before)
        with m.If(step):
            m.d.sync += in_totals.eq(in_stages[-1])
        in_trees = [in_array, *in_stages][config.pipeline]

        for index in range(config.groups):
            group = getattr(macro.submodules, f"group_{index}")
            columns = range(index * config.group_words, (index + 1) * config.group_words)

            def of_group(values: Value, columns: range = columns) -> Value:
                return Cat(values[column :: config.words] for column in columns)

            if self.part == "products":
                m.d.comb += Assert(~in_array[index] | ~of_group(macro.submodules.array.products).any())
            elif self.part == "trees":
                sums = [of_group(macro.submodules.tree.o)]
                if config.carryless and config.cell_bits > 1:
                    sums.append(of_group(macro.submodules.parity_tree.o))
                m.d.comb += Assert(~in_trees[index] | ~Cat(sums).any())
            elif self.part == "sums":
                self._keeps(m, Cat(*(sums for plane in group.sums for sums in plane)), in_trees[index], index)
                if config.carryless and config.cell_bits > 1:
                    parities = Cat(*(bits for plane in group.parities for bits in plane))
                    m.d.comb += Assert(~in_stages[-1][index] | ~parities.any())
            elif self.part == "accumulators":
                answers = {id(y) for y in group.y}
                kept = [register for register in _registers(group, platform) if id(register) not in answers]
                self._keeps(m, Cat(kept), in_stages[-1][index], index)
            else:
                self._keeps(m, Cat(group.y), in_totals[index] | in_totals[-1], index)
        return m

    @staticmethod
    def _keeps(m: Module, value: Value, left_out: Value, index: int) -> None:
        """A value is what it was in a cycle before in which the group was left out; registers are 0 after a reset."""
        before, kept = Signal(len(value), name=f"before_{index}"), Signal(name=f"kept_{index}")
        m.d.sync += [before.eq(value), kept.eq(left_out)]
        m.d.comb += Assert(~kept | (value == before))


class IdleBest(wiring.Component):
    """The best match is never a word of a column group that its XOR left out, and there is none if it left out all.

    Any traffic on all streams, stalled at any time. Operations in the macro are numbered in the order in which they
    were taken, which is that of their results (`MacroHandshake`); the best match comes a constant time after the
    transfer of its result.

    Parameters
    ----------
    macro : Macro
        With gating and the best match.
    """

    def __init__(self, macro):
        self.macro = macro
        super().__init__({**macro_inputs(macro.config), "ready": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.macro.config
        macro = opened(self.macro, platform)
        m.submodules.macro = macro
        for name in ("write", "i_stream"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(self.macro, name))
        m.d.comb += self.macro.o_stream.ready.eq(self.ready)

        # A stage of the pipeline holds one operation at most, and so do driver, totals and result.
        places = config.pipeline + 4
        waiting = [Signal(config.groups, name=f"idle_{place}") for place in range(places)]
        count = Signal(range(places + 1))
        taken, given = Signal(), Signal()
        idle, _ = _left_out(self.macro, self.i_stream.payload)
        m.d.comb += [
            taken.eq(self.i_stream.valid & self.i_stream.ready),
            given.eq(self.macro.o_stream.valid & self.macro.o_stream.ready),
        ]
        m.d.sync += count.eq(count + taken - given)
        with m.If(given):
            m.d.sync += [here.eq(behind) for here, behind in pairwise(waiting)]
        with m.If(taken):
            for place, here in enumerate(waiting):
                with m.If(count - given == place):
                    m.d.sync += here.eq(idle)
        left_out: Value = waiting[0]
        width: Value = macro.submodules.best_match.width
        for cycle in range(macro.submodules.best_match.latency):
            before, left_out = left_out, Signal(config.groups, name=f"left_out_{cycle}")
            width_before, width = width, Signal(len(width), name=f"width_{cycle}")
            m.d.sync += [left_out.eq(before), width.eq(width_before)]
        best = self.macro.best
        word = Signal(range(config.words + 1))
        m.d.comb += word.eq(best.index << width)
        named = Cat(
            (word >= index * config.group_words) & (word < (index + 1) * config.group_words)
            for index in range(config.groups)
        )
        m.d.comb += Assert(~best.valid | ((named != 0) & ((named & left_out) == 0)))
        return m
