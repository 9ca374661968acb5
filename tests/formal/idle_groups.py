"""What an operation declares idle stands still."""

from amaranth.hdl import Assert, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from .inputs import macro_inputs

__all__ = ["PARTS", "IdleGroups"]

#: What a column group consists of, in the order in which an operation goes through it.
PARTS = ("products", "sums", "accumulators", "results")


def _opened(component: wiring.Component, platform: object) -> Module:
    """The inside of a component, which it hands out again when it is elaborated as a part of the design."""
    inside = component.elaborate(platform)
    component.elaborate = lambda platform: inside
    return inside


class IdleGroups(wiring.Component):
    """While a stage holds an operation that leaves a column group out, the group's part of this stage does not change.

    Any traffic on all streams, stalled at any time, from reset to forever. Which operation is in a stage is kept beside
    the macro: the last one taken is in the array; it goes on when the driver's planes are taken, and when the sum of
    the inputs, in which every operation takes part, is accumulated. In the array, the products of a group that is left
    out are 0, so from the first cycle of the operation to the last. Sums, accumulators and elements of the result are
    as they were, at the end of each such cycle. An impossible operation answers zeros everywhere and leaves none out.

    Parameters
    ----------
    macro : Macro
        With gating, in flip-flops, without registers in the trees and nothing but multiply-accumulate.
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
        macro = _opened(self.macro, platform)
        m.submodules.macro = macro
        for name in ("write", "i_stream"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(self.macro, name))
        m.d.comb += self.macro.o_stream.ready.eq(self.ready)

        operation = self.i_stream.payload
        planes = macro.submodules.driver.o_stream
        exists = (operation.bits != 0) & (operation.bits <= config.max_act_bits) & (operation.set < config.weight_sets)
        # Which groups the operation in the array, behind the sum register and behind the accumulators leaves out.
        in_array, in_sums, in_totals = (Signal(config.groups, name=f"left_out_{stage}") for stage in range(3))
        with m.If(self.i_stream.valid & self.i_stream.ready):
            m.d.sync += in_array.eq(Mux(exists, operation.idle, 0))
        with m.If(planes.valid & planes.ready):
            m.d.sync += in_sums.eq(in_array)
        with m.If(macro.submodules.input_sum.step):
            m.d.sync += in_totals.eq(in_sums)

        products = macro.submodules.array.products
        for index in range(config.groups):
            group = getattr(macro.submodules, f"group_{index}")
            columns = range(index * config.group_words, (index + 1) * config.group_words)
            if self.part == "products":
                of_group = Cat(products[column :: config.words] for column in columns)
                m.d.comb += Assert(~in_array[index] | ~of_group.any())
            elif self.part == "sums":
                self._keeps(m, Cat(*(sums for plane in group.sums for sums in plane)), in_array[index], index)
            elif self.part == "accumulators":
                inside = _opened(group, platform)
                accumulators = [getattr(inside.submodules, f"column_{place}") for place in range(config.group_words)]
                self._keeps(m, Cat(each.acc for each in accumulators), in_sums[index], index)
            else:
                y = Cat(self.macro.o_stream.payload.y[column] for column in columns)
                self._keeps(m, y, in_totals[index], index)
        return m

    @staticmethod
    def _keeps(m: Module, value: Value, left_out: Value, index: int) -> None:
        """A value is what it was in a cycle before in which the group was left out; registers are 0 after a reset."""
        before, kept = Signal(len(value), name=f"before_{index}"), Signal(name=f"kept_{index}")
        m.d.sync += [before.eq(value), kept.eq(left_out)]
        m.d.comb += Assert(~kept | (value == before))
