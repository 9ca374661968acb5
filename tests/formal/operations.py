"""What the macro answers beyond multiply-accumulate."""

from collections.abc import Sequence
from functools import reduce
from operator import xor

from amaranth.asserts import AnyConst
from amaranth.hdl import Array, Assert, Assume, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from cimarron.macro.ports import Operation, OperationLayout, WriteLayout

__all__ = ["OperationResult", "ParityOfRows"]


class ParityOfRows(wiring.Component):
    """Every bit of the output is 1 where an odd number of rows is, ``latency`` cycles after its rows arrived.

    Parameters
    ----------
    tree : ParityTree
    """

    def __init__(self, tree):
        self.tree = tree
        super().__init__({})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.tree = tree = self.tree
        products = AnyConst(len(tree.i))
        elapsed = Signal(range(tree.latency + 1))
        m.d.comb += [tree.i.eq(products), tree.enable.eq(-1)]
        with m.If(elapsed != tree.latency):
            m.d.sync += elapsed.eq(elapsed + 1)
        with m.Else():
            for bit, parity in enumerate(tree.o):
                ones = sum(products[bit :: len(tree.o)])
                m.d.comb += Assert(parity == ones[0])
        return m


class OperationResult(wiring.Component):
    """One of ``operations`` on freshly written weights answers with what its definition says, bit by bit.

    Weights, activations, their formats and the operation are arbitrary. As in `DotProduct`, the second of two
    operations is checked, and the first is any one at all.

    Parameters
    ----------
    macro : Macro
    operations : list of Operation
        None of them `Operation.MAC`.
    """

    def __init__(self, macro, operations: list[Operation]):
        self.macro = macro
        self.operations = operations
        super().__init__({})

    @property
    def cycles(self) -> int:
        """Cycles from reset until the answer must have come."""
        config = self.macro.config
        longest = config.transposed_cycles if config.transposed else config.operation_cycles
        return config.rows + self.macro.latency + 2 * longest(config.max_act_bits) + 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.macro = macro = self.macro
        config = macro.config
        rows = [AnyConst(config.row_bits) for _ in range(config.rows)]
        width, weight_signed = AnyConst(WriteLayout(config)["width"].width), AnyConst(1)
        vector = AnyConst(config.vector_words * config.max_act_bits)
        act_bits, act_signed = AnyConst(config.max_act_bits.bit_length()), AnyConst(1)
        weight_set = AnyConst(OperationLayout(config)["set"].width)
        operation = AnyConst(OperationLayout(config)["operation"].width)
        before = AnyConst(len(macro.i_stream.payload.as_value()))

        written = Signal(range(config.rows + 1))
        sent, answered = Signal(range(3)), Signal(range(3))
        elapsed = Signal(range(self.cycles + 1))
        m.d.comb += [
            Assume(width < len(config.weight_widths)),
            Assume((act_bits != 0) & (act_bits <= config.max_act_bits)),
            Assume(weight_set < config.weight_sets),
            Assume(Cat(operation == code for code in self.operations).any()),
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
                macro.i_stream.payload.operation.eq(operation),
            ]
        m.d.sync += written.eq(written + (macro.write.valid & macro.write.ready))
        m.d.sync += [sent.eq(sent + (macro.i_stream.valid & macro.i_stream.ready)), elapsed.eq(elapsed + 1)]

        x = [vector.word_select(index, config.max_act_bits) for index in range(config.vector_words)]
        expected = [Signal(config.result_bits, name=f"expected_{j}") for j in range(config.result_words)]
        for index, bits in enumerate(config.weight_widths):
            weights = [[row.word_select(j, bits) for j in range(config.outputs(bits))] for row in rows]
            for code in self.operations:
                if code is Operation.TRANSPOSED:
                    formats = act_bits, act_signed, weight_signed
                    answers = {i: self._transposed(x, row, *formats) for i, row in enumerate(weights)}
                else:
                    columns = enumerate(zip(*weights, strict=True))
                    answers = {
                        j * bits // config.cell_bits: self._column(code, x, column, bits, act_bits)
                        for j, column in columns
                    }
                with m.If((width == index) & (operation == code)):
                    m.d.comb += [expected[place].eq(answer) for place, answer in answers.items()]

        result = macro.o_stream.payload
        with m.If(macro.o_stream.valid):
            m.d.sync += answered.eq(answered + 1)
            m.d.comb += Assert(answered < sent)
        with m.If(macro.o_stream.valid & (answered == 1)):
            m.d.comb += Assert(~result.error)
            m.d.comb += [Assert(y.as_unsigned() == want) for y, want in zip(result.y, expected, strict=True)]
        with m.If(elapsed == self.cycles):
            m.d.comb += Assert(answered == 2)
            m.d.sync += elapsed.eq(elapsed)
        return m

    def _column(self, code: Operation, x: list[Value], weights: Sequence[Value], bits: int, act_bits: Value) -> Value:
        """Answer of one output: counts of ones, or coefficients of polynomials."""
        config = self.macro.config
        pairs = list(zip(x, weights, strict=False))
        if code is Operation.CARRYLESS:
            coefficients = [[] for _ in range(config.max_act_bits + bits - 1)]
            for a in range(config.max_act_bits):
                for b in range(bits):
                    coefficients[a + b] += [vector[a] & weight[b] & (act_bits > a) for vector, weight in pairs]
            return Cat(reduce(xor, terms) for terms in coefficients)
        ones = []
        for vector, weight in pairs:
            for bit in range(min(config.max_act_bits, bits)):
                a, b = vector[bit], weight[bit]
                match = {Operation.AND: a & b, Operation.XOR: a ^ b, Operation.XNOR: a == b}[code]
                ones.append(match & (act_bits > bit))
        return sum(ones)

    def _transposed(
        self, x: list[Value], weights: list[Value], act_bits: Value, act_signed: Value, weight_signed: Value
    ) -> Value:
        """Answer of one row: schoolbook multiplication, every bit with its place value, negative for a sign."""
        terms = []
        for vector, weight in zip(x, weights, strict=False):
            number = Mux(weight_signed, weight.as_signed(), weight.as_unsigned())
            for bit in range(self.macro.config.max_act_bits):
                factor = Mux(act_signed & (act_bits == bit + 1), -(number << bit), number << bit)
                terms.append(Mux(vector[bit] & (act_bits > bit), factor, 0))
        return sum(terms)
