"""The macro computes dot products."""

from amaranth.asserts import AnyConst
from amaranth.hdl import Array, Assert, Assume, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from cimarron.macro.ports import OperationLayout, WriteLayout

__all__ = ["DotProduct"]


def _integer(bits: Value, is_signed: Value) -> Value:
    """A number of a fixed width, two's complement or not, as an integer."""
    return Mux(is_signed, bits.as_signed(), bits.as_unsigned())


class DotProduct(wiring.Component):
    """An operation on freshly written weights answers with the integer dot products and the sum of its inputs.

    Weights, activations, and the formats of both are arbitrary; weights are written row by row, then two operations
    are sent, of which the second is checked: the first, any one, possible or not, must leave nothing behind. All come
    as fast as they are taken, so that `cycles` are all there is to look at.

    Parameters
    ----------
    macro : Macro
    """

    def __init__(self, macro):
        self.macro = macro
        super().__init__({})

    @property
    def cycles(self) -> int:
        """Cycles from reset until the answer must have come."""
        config = self.macro.config
        return config.rows + self.macro.latency + 2 * config.operation_cycles(config.max_act_bits) + 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.macro = macro = self.macro
        config = macro.config
        rows = [AnyConst(config.row_bits) for _ in range(config.rows)]
        write_format = AnyConst(WriteLayout(config)["width"].width), AnyConst(1)
        vector = AnyConst(config.rows * config.max_act_bits)
        act_bits = AnyConst(config.max_act_bits.bit_length())
        act_signed = AnyConst(1)
        weight_set = AnyConst(OperationLayout(config)["set"].width)
        width, weight_signed = write_format

        written = Signal(range(config.rows + 1))
        before = AnyConst(len(macro.i_stream.payload.as_value()))
        sent, answered = Signal(range(3)), Signal(range(3))
        elapsed = Signal(range(self.cycles + 1))
        m.d.comb += [
            Assume(width < len(config.weight_widths)),
            Assume((act_bits != 0) & (act_bits <= config.max_act_bits)),
            Assume(weight_set < config.weight_sets),
            macro.write.valid.eq(written != config.rows),
            macro.write.payload.set.eq(weight_set),
            macro.write.payload.row.eq(written),
            macro.write.payload.width.eq(width),
            macro.write.payload.signed.eq(weight_signed),
            macro.write.payload.data.eq(Array([*rows, 0])[written]),
            macro.i_stream.valid.eq((written == config.rows) & (sent != 2)),
            macro.o_stream.ready.eq(1),
        ]
        with m.If(sent == 0):
            m.d.comb += macro.i_stream.payload.eq(before)
        with m.Else():
            m.d.comb += [
                macro.i_stream.payload.x.eq(vector),
                macro.i_stream.payload.bits.eq(act_bits),
                macro.i_stream.payload.signed.eq(act_signed),
                macro.i_stream.payload.set.eq(weight_set),
            ]
        m.d.sync += written.eq(written + (macro.write.valid & macro.write.ready))
        m.d.sync += [sent.eq(sent + (macro.i_stream.valid & macro.i_stream.ready)), elapsed.eq(elapsed + 1)]

        # Schoolbook multiplication: every bit has its place value, negative for the sign.
        places = []
        for bit in range(config.max_act_bits):
            top = act_signed & (act_bits == bit + 1)
            places.append((bit, act_bits > bit, top))
        x = [vector.word_select(row, config.max_act_bits) for row in range(config.rows)]

        def times_x(row: int, factor: Value) -> Value:
            terms = [Mux(x[row][bit] & used, Mux(top, -(factor << bit), factor << bit), 0) for bit, used, top in places]
            return sum(terms, start=0)

        expected = [Signal(signed(config.result_bits + 4), name=f"expected_{j}") for j in range(config.words)]
        expected_sum = Signal(signed(config.input_sum_bits + 4))
        m.d.comb += expected_sum.eq(sum(times_x(row, 1) for row in range(config.rows)))
        with m.Switch(width):
            for index, bits in enumerate(config.weight_widths):
                with m.Case(index):
                    for j in range(config.outputs(bits)):
                        weights = (_integer(row.word_select(j, bits), weight_signed) for row in rows)
                        products = (times_x(row, weight) for row, weight in enumerate(weights))
                        m.d.comb += expected[j * bits // config.cell_bits].eq(sum(products))

        result = macro.o_stream.payload
        with m.If(macro.o_stream.valid):
            m.d.sync += answered.eq(answered + 1)
            m.d.comb += Assert(answered < sent)
        with m.If(macro.o_stream.valid & (answered == 1)):
            m.d.comb += [Assert(~result.error), Assert(result.input_sum == expected_sum)]
            m.d.comb += [Assert(y == want) for y, want in zip(result.y, expected, strict=True)]
        with m.If(elapsed == self.cycles):
            m.d.comb += Assert(answered == 2)
            m.d.sync += elapsed.eq(elapsed)
        return m
