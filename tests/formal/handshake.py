"""The macro's streams lose and repeat nothing, and move on."""

from collections.abc import Collection
from itertools import pairwise

from amaranth.hdl import Array, Assert, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import Out
from cimarron.macro.ports import Operation, ResultLayout

from .inputs import macro_inputs

__all__ = ["MacroHandshake", "ones_in_vector"]


def ones_in_vector(operation, count, config):
    """Sum of the first ``count`` activations of an unsigned operation, from its bits."""
    values: list[Value] = [Const(0)]
    for row in range(count):
        for bit in range(config.max_act_bits):
            values.append(Mux(operation.bits > bit, operation.x[row][bit] << bit, 0))
    return sum(values)


class MacroHandshake(wiring.Component):
    """Any traffic on all three streams, stalled at any time, from reset to forever.

    A queue beside the macro holds what each operation must answer in ``error`` and ``input_sum``. Every result must be
    the oldest entry, which excludes lost, repeated and swapped ones; an offered result must wait unchanged; and while
    results are taken, an operation must be taken and answered within the declared number of cycles. A write must wait
    exactly while its set is computing.

    Parameters
    ----------
    macro : Macro
        With weights of one width, if there are products with the transposed weights.
    codes : collection of int
        The operations that it has.
    """

    def __init__(self, macro, codes: Collection[int] = (Operation.MAC,)):
        self.macro = macro
        self.codes = codes
        super().__init__({**macro_inputs(macro.config), "o_stream": Out(stream.Signature(ResultLayout(macro.config)))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.macro = macro = self.macro
        config = macro.config
        # Operations in the macro at once: driver, registers in the trees, sum register, accumulator, result register.
        in_flight = 4 + config.pipeline
        for name in ("write", "i_stream", "o_stream"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(macro, name))

        operation, result = self.i_stream.payload, self.o_stream.payload
        taken = self.i_stream.valid & self.i_stream.ready
        answered = self.o_stream.valid & self.o_stream.ready
        exists = (operation.bits != 0) & (operation.bits <= config.max_act_bits) & (operation.set < config.weight_sets)
        # Only unsigned operations are summed up here: signs are the business of the dot product's proof.
        known = Signal(len(result.input_sum))
        vector_sum = ones_in_vector(operation, config.rows, config)
        if config.beyond_mac:
            exists &= Array(code in self.codes for code in range(8))[operation.operation]
            # All weights are of one width: there are as many as words.
            by_rows = operation.operation == Operation.TRANSPOSED
            row_sum = ones_in_vector(operation, config.words if config.transposed else 0, config)
            vector_sum = Mux(by_rows, row_sum, vector_sum)
        m.d.comb += known.eq(Mux(exists, vector_sum, 0))
        pending = [Signal(2 + len(known), name=f"pending_{index}") for index in range(in_flight)]
        level = Signal(range(in_flight + 1))
        entry = Signal(2 + len(known))
        m.d.comb += entry.eq((known << 2) | (operation.signed << 1) | ~exists)

        kept = Signal(range(in_flight + 1))
        m.d.comb += kept.eq(level - answered)
        with m.If(answered):
            m.d.sync += [older.eq(newer) for older, newer in pairwise(pending)]
        with m.If(taken):
            with m.Switch(kept):
                for index in range(in_flight):
                    with m.Case(index):
                        m.d.sync += pending[index].eq(entry)
        m.d.sync += level.eq(kept + taken)

        m.d.comb += Assert((level < in_flight) | answered | ~taken)
        with m.If(self.o_stream.valid):
            m.d.comb += [Assert(level != 0), Assert(result.error == pending[0][0])]
            with m.If(~pending[0][1] | pending[0][0]):
                m.d.comb += Assert(result.input_sum.as_unsigned() == pending[0][2:])

        stalled = Signal()
        offered = Signal.like(result)
        m.d.sync += [stalled.eq(self.o_stream.valid & ~self.o_stream.ready), offered.eq(result)]
        with m.If(stalled):
            m.d.comb += [Assert(self.o_stream.valid), Assert(result.as_value() == offered.as_value())]

        # One stall of the result may hold up whatever is behind it, so patience is counted between stalls.
        cycles = config.transposed_cycles if config.transposed else config.operation_cycles
        longest = cycles(config.max_act_bits)
        patience = macro.latency + longest - 1
        unanswered, refused = Signal(range(patience + 1)), Signal(range(patience + 1))
        m.d.sync += [unanswered.eq(0), refused.eq(0)]
        with m.If(self.o_stream.ready):
            with m.If((level != 0) & ~self.o_stream.valid):
                m.d.comb += Assert(unanswered != patience)
                m.d.sync += unanswered.eq(unanswered + 1)
            with m.If(self.i_stream.valid & ~self.i_stream.ready):
                m.d.comb += Assert(refused != longest)
                m.d.sync += refused.eq(refused + 1)

        addressed = Array([*macro.computing, 0])[self.write.payload.set]
        with m.If(self.write.payload.set < config.weight_sets):
            m.d.comb += Assert(self.write.ready == ~addressed)
        with m.Else():
            m.d.comb += Assert(self.write.ready)
        return m
