"""Test of the macro by itself."""

from collections.abc import Iterable
from functools import reduce
from operator import xor

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import MacroConfig
from .macro import Macro, macro_latency, macro_members
from .ports import OperationLayout, ResultLayout, WriteLayout

__all__ = ["OPERATIONS", "PHASES", "FailureLayout", "SelfTestedMacro", "Signature", "macro_of"]

#: Operations of each phase of the compute test, and its phases: what the cells hold, and the format of the weights.
OPERATIONS = 64
PHASES = (("ones", False), ("random", False), ("random", True), ("ones", True))

#: Bits of a signature: a wrong sequence of results passes for right once in ``2**SIGNATURE_BITS``.
SIGNATURE_BITS = 16

_SIGNATURE_POLYNOMIAL = 0xD008  # x^16 + x^15 + x^13 + x^4 + 1: likewise maximal
_POLYNOMIAL = 0x80200003  # x^32 + x^22 + x^2 + x + 1: a maximal sequence (Xilinx XAPP 052, table 3)
_SEED = 0x6D2B79F5


def _next(state):
    """The following state of a Galois shift register, of an integer or in hardware."""
    if isinstance(state, int):
        return state >> 1 ^ (_POLYNOMIAL if state & 1 else 0)
    return (state >> 1) ^ Mux(state[0], _POLYNOMIAL, 0)


def _spread(state, index: int):
    """Random bit ``index`` of a state: one of many sums of two or three of its bits."""
    a = index % 32
    b = (a + 1 + index // 32 % 31) % 32
    c = (b + 1 + index // 992 % 31) % 32
    bits = [state >> place & 1 if isinstance(state, int) else state[place] for place in (a, b, c)]
    return bits[0] ^ bits[1] ^ bits[2] if index >= 992 and a != c else bits[0] ^ bits[1]


def _shifted(signature):
    """The following state of a signature's shift register, of an integer or in hardware."""
    if isinstance(signature, int):
        return signature >> 1 ^ (_SIGNATURE_POLYNOMIAL if signature & 1 else 0)
    return (signature >> 1) ^ Mux(signature[0], _SIGNATURE_POLYNOMIAL, 0)


def _folded(pieces: Iterable):
    """The sum of pieces of `SIGNATURE_BITS` over GF(2)."""
    return reduce(xor, pieces)


class Signature:
    """What the compute test must end in: the same numbers, from integer products.

    Attributes
    ----------
    values : list of int
        `SIGNATURE_BITS` each: one of the results of every column group, then one of the rest of all answers.
    """

    def __init__(self, config: MacroConfig):
        self.values = [0] * (config.groups + 1)
        state = _SEED
        width = config.weight_widths[-1]
        top = 1 << width - 1
        layout = ResultLayout(config)
        for cells, is_signed in PHASES:
            weights = []
            for _ in range(config.rows):
                row = 0
                for beat in range(config.write_beats):
                    bits = [_spread(state, index) if cells == "random" else 1 for index in range(config.beat_bits)]
                    row |= sum(bit << index for index, bit in enumerate(bits)) << beat * config.beat_bits
                    state = _next(state)
                numbers = [row >> output * width & (1 << width) - 1 for output in range(config.groups)]
                weights.append([(number ^ top) - top if is_signed else number for number in numbers])
            for count in range(OPERATIONS):
                x = [self._activation(config, state, row, count) for row in range(config.rows)]
                y = [0] * config.result_words
                for output in range(config.groups):
                    total = sum(value * row[output] for value, row in zip(x, weights, strict=True))
                    y[output * config.group_words] = total
                answer = layout.const({"y": y, "input_sum": sum(x), "error": 0}).as_bits()
                for index, (first, last) in enumerate(signature_fields(config)):
                    part = answer >> first & (1 << last - first) - 1
                    pieces = range(0, last - first, SIGNATURE_BITS)
                    folded = _folded(part >> piece & (1 << SIGNATURE_BITS) - 1 for piece in pieces)
                    self.values[index] = _shifted(self.values[index]) ^ folded
                state = _next(state)

    @staticmethod
    def _activation(config: MacroConfig, state: int, row: int, count: int) -> int:
        bits = config.max_act_bits
        first = row * bits
        value = sum(_spread(state, first + place) << place for place in range(bits))
        if count & 3 == 1:
            value |= sum(_spread(state, first + place + 485) << place for place in range(bits))
        elif count & 3 == 2 or (count & 3 == 3 and (state & 7) != row & 7):
            value = (1 << bits) - 1
        return value - (1 << bits) if count & 4 and value >> bits - 1 else value


def signature_fields(config: MacroConfig) -> list[tuple[int, int]]:
    """Bits of an answer that each signature covers, as (first, one beyond the last).

    First those of each column group, then all that lies behind the columns.
    """
    group = config.group_words * config.result_bits
    groups = [(index * group, (index + 1) * group) for index in range(config.groups)]
    return [*groups, (config.groups * group, ResultLayout(config).size)]


class FailureLayout(data.StructLayout):
    """Where the march first found a wrong cell: set, row, and column of the array.

    If it found none, the first column of the first column group with a wrong result in row 0 of set 0; or, if it is
    the rest of the answers that was wrong, the sum of the inputs for one, the number of columns.
    """

    def __init__(self, config: MacroConfig):
        write = WriteLayout(config)
        column = config.words.bit_length()
        super().__init__({"set": write["set"].shape, "row": write["row"].shape, "column": column})


class SelfTestedMacro(wiring.Component):
    """A macro and a controller that tests it when told to.

    `test_start` takes the ports away from their users; once all operations that were taken are answered, two tests
    follow. Both leave the weights of every set destroyed, and its format changed.

    **March C-** (van de Goor, "Using March Tests to Test SRAMs", 1993) over all rows of all sets:
    up w0; up r0 w1; up r1 w0; down r0 w1; down r1 w0; up r0. A macro has no port that reads, so a read is an operation
    of one bit with a single word line, whose result is the row. It finds cells that are stuck, cannot change, answer
    for or disturb another, and wrong addresses; the first wrong column is reported.

    **Compute test**: for each phase, set 0 is filled with ones or random bits, and `OPERATIONS` operations on the
    widest numbers follow one another: random, denser, all ones, and all ones but a few rows. The results of each column
    group are compacted into `SIGNATURE_BITS` and compared with what integers gave when the hardware was generated, and
    so is the rest of the answers. The first column group with a wrong signature is reported.

    Parameters
    ----------
    config : MacroConfig

    Members
    -------
    write, i_stream, o_stream, plane, write_error, computing, best
        As in `Macro`; the streams are neither ready nor valid during a test.
    test_start : In(1)
        Begins a test, unless one is running.
    test_running, test_done : Out(1)
        Under way; ended since reset or the last start.
    test_march_failed, test_compute_failed : Out(1)
        Valid once done.
    test_failure : Out(FailureLayout(config))
        If one of them failed.
    """

    def __init__(self, config: MacroConfig):
        self.config = config
        super().__init__(
            {
                **macro_members(config),
                "test_start": In(1),
                "test_running": Out(1),
                "test_done": Out(1),
                "test_march_failed": Out(1),
                "test_compute_failed": Out(1),
                "test_failure": Out(FailureLayout(config)),
            }
        )

    @property
    def cycles(self) -> int:
        """Cycles of a test of an idle macro, from the start to `test_done`: the most, if planes are skipped."""
        config, latency = self.config, macro_latency(self.config)
        march = 5 * config.weight_sets * config.rows * (config.write_beats + latency + config.operation_cycles(1))
        operations = OPERATIONS * config.operation_cycles(config.max_act_bits) + latency
        return 3 + march + len(PHASES) * (config.rows * config.write_beats + operations)

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        m.submodules.macro = macro = Macro(config)
        owns = Signal()
        outstanding = Signal(range(32))
        write, operation = WriteLayout(config), OperationLayout(config)
        writes = stream.Signature(write).create(path=("writes",))
        operations = stream.Signature(operation).create(path=("operations",))
        answer = macro.o_stream.payload

        for mine, theirs, inner in ((writes, self.write, macro.write), (operations, self.i_stream, macro.i_stream)):
            m.d.comb += [
                inner.valid.eq(Mux(owns, mine.valid, theirs.valid & ~self.test_running)),
                inner.payload.eq(Mux(owns, mine.payload, theirs.payload)),
                theirs.ready.eq(inner.ready & ~self.test_running),
                mine.ready.eq(inner.ready),
            ]
        m.d.comb += [
            self.o_stream.valid.eq(macro.o_stream.valid & ~owns),
            self.o_stream.payload.eq(answer),
            macro.o_stream.ready.eq(self.o_stream.ready | owns),
            self.plane.eq(macro.plane),
            self.write_error.eq(macro.write_error),
            self.computing.eq(macro.computing),
        ]
        if config.best_match:
            m.d.comb += self.best.eq(macro.best)
        taken, answered = Signal(), Signal()
        m.d.comb += [
            taken.eq(macro.i_stream.valid & macro.i_stream.ready),
            answered.eq(macro.o_stream.valid & macro.o_stream.ready),
        ]
        m.d.sync += outstanding.eq(outstanding + taken - answered)

        element, phase = Signal(range(6)), Signal(range(len(PHASES)))
        weight_set, row = Signal.like(writes.payload.set), Signal(range(config.rows))
        beat = Signal(range(max(2, config.write_beats)))
        issued, results = Signal(range(OPERATIONS + 1)), Signal(range(OPERATIONS + 1))
        state = Signal(32, init=_SEED)
        signatures = [Signal(SIGNATURE_BITS, name=f"signature_{index}") for index in range(config.groups + 1)]
        reads, is_one, down = Signal(), Signal(), Signal()
        m.d.comb += [
            reads.eq(element != 0),
            is_one.eq((element == 2) | (element == 4)),
            down.eq((element == 3) | (element == 4)),
        ]
        last_beat = beat == config.write_beats - 1

        # The march's side of the ports, and the compute test's.
        computes = Signal()
        random_cells = Cat(_spread(state, index) for index in range(config.beat_bits))
        cells = Array(~Const(0, config.beat_bits) if held == "ones" else random_cells for held, _ in PHASES)[phase]
        formats = Array(Const(is_signed, 1) for _, is_signed in PHASES)[phase]
        ones = (element == 1) | (element == 3)
        m.d.comb += [
            writes.payload.set.eq(weight_set),
            writes.payload.row.eq(row),
            writes.payload.width.eq(Mux(computes, len(config.weight_widths) - 1, 0)),
            writes.payload.signed.eq(computes & formats),
            writes.payload.data.eq(Mux(computes, cells, ones.replicate(config.beat_bits))),
            operations.payload.set.eq(weight_set),
            operations.payload.bits.eq(Mux(computes, config.max_act_bits, 1)),
            operations.payload.signed.eq(computes & issued[2]),
            *(
                operations.payload.x[index].eq(Mux(computes, self._activation(state, index, issued), row == index))
                for index in range(config.rows)
            ),
        ]
        if config.write_beats > 1:
            m.d.comb += writes.payload.beat.eq(beat)

        expected = Mux(is_one, 2**config.cell_bits - 1, 0)
        wrong = Signal(config.words)
        m.d.comb += wrong.eq(Cat(answer.y[column] != expected for column in range(config.words)))

        unlike = Signal(len(signatures))
        values = zip(signatures, Signature(config).values, strict=True)
        m.d.comb += unlike.eq(Cat(signature != value for signature, value in values))

        def next_address() -> None:
            """Goes on with the march: the next row, set or element."""
            first_row, last_row = Mux(down, config.rows - 1, 0), Mux(down, 0, config.rows - 1)
            last_set = Mux(down, 0, config.weight_sets - 1)
            m.next = "READ"
            with m.If(~reads):
                m.next = "WRITE"
            m.d.sync += row.eq(Mux(down, row - 1, row + 1))
            with m.If(row == last_row):
                m.d.sync += [row.eq(first_row), weight_set.eq(Mux(down, weight_set - 1, weight_set + 1))]
                with m.If(weight_set == last_set):
                    # Elements 3 and 4 begin at the top.
                    begins_down = (element == 2) | (element == 3)
                    m.d.sync += [
                        element.eq(element + 1),
                        row.eq(Mux(begins_down, config.rows - 1, 0)),
                        weight_set.eq(Mux(begins_down, config.weight_sets - 1, 0)),
                    ]
                    m.next = "READ"
                    with m.If(element == 5):
                        m.d.sync += element.eq(0)
                        m.next = "FILL"

        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.test_start):
                    m.d.sync += [
                        self.test_running.eq(1),
                        self.test_done.eq(0),
                        self.test_march_failed.eq(0),
                        self.test_compute_failed.eq(0),
                        self.test_failure.eq(0),
                        state.eq(_SEED),
                        *(signature.eq(0) for signature in signatures),
                    ]
                    m.next = "WAIT"
            with m.State("WAIT"), m.If(outstanding == 0):
                m.d.sync += owns.eq(1)
                m.next = "WRITE"
            with m.State("READ"):
                m.d.comb += operations.valid.eq(1)
                with m.If(taken):
                    m.next = "COMPARE"
            with m.State("COMPARE"), m.If(answered):
                with m.If(wrong.any() & ~self.test_march_failed):
                    m.d.sync += [
                        self.test_march_failed.eq(1),
                        self.test_failure.set.eq(weight_set),
                        self.test_failure.row.eq(row),
                    ]
                    for column in reversed(range(config.words)):
                        with m.If(wrong[column]):
                            m.d.sync += self.test_failure.column.eq(column)
                m.next = "WRITE"
                with m.If(element == 5):
                    next_address()
            with m.State("WRITE"):
                m.d.comb += writes.valid.eq(1)
                with m.If(writes.ready):
                    m.d.sync += beat.eq(Mux(last_beat, 0, beat + 1))
                    with m.If(last_beat):
                        next_address()
            with m.State("FILL"):
                m.d.comb += [computes.eq(1), writes.valid.eq(1)]
                with m.If(writes.ready):
                    m.d.sync += [state.eq(_next(state)), beat.eq(Mux(last_beat, 0, beat + 1))]
                    with m.If(last_beat):
                        m.d.sync += row.eq(row + 1)
                        with m.If(row == config.rows - 1):
                            m.d.sync += [row.eq(0), issued.eq(0), results.eq(0)]
                            m.next = "OPERATE"
            with m.State("OPERATE"):
                m.d.comb += [computes.eq(1), operations.valid.eq(issued != OPERATIONS)]
                with m.If(taken):
                    m.d.sync += [state.eq(_next(state)), issued.eq(issued + 1)]
                with m.If(answered):
                    for signature, (first, last) in zip(signatures, signature_fields(config), strict=True):
                        part = answer.as_value()[first:last]
                        folded = _folded(part[at : at + SIGNATURE_BITS] for at in range(0, len(part), SIGNATURE_BITS))
                        m.d.sync += signature.eq(_shifted(signature) ^ folded)
                    m.d.sync += results.eq(results + 1)
                    with m.If(results == OPERATIONS - 1):
                        m.d.sync += phase.eq(phase + 1)
                        m.next = "FILL"
                        with m.If(phase == len(PHASES) - 1):
                            m.d.sync += phase.eq(0)
                            m.next = "END"
            with m.State("END"):
                m.d.sync += [
                    owns.eq(0),
                    self.test_running.eq(0),
                    self.test_done.eq(1),
                    self.test_compute_failed.eq(unlike.any()),
                ]
                with m.If(~self.test_march_failed):
                    for index in reversed(range(len(unlike))):
                        with m.If(unlike[index]):
                            m.d.sync += self.test_failure.column.eq(index * config.group_words)
                m.next = "IDLE"
        return m

    def _activation(self, state: Signal, row: int, count: Signal) -> Value:
        """The same as `Signature._activation`, before the sign."""
        bits = self.config.max_act_bits
        first = row * bits
        value = Cat(_spread(state, first + place) for place in range(bits))
        dense = value | Cat(_spread(state, first + place + 485) for place in range(bits))
        sparse = Mux(state[:3] == row & 7, value, (1 << bits) - 1)
        return Array([value, dense, Const((1 << bits) - 1, bits), sparse])[count[:2]]


def macro_of(config: MacroConfig) -> Macro | SelfTestedMacro:
    """The macro that a configuration asks for."""
    return SelfTestedMacro(config) if config.self_test else Macro(config)
