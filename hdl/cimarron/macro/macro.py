"""The compute-in-memory macro."""

from functools import partial
from itertools import zip_longest
from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..config import MacroConfig
from .array import BitCellArray
from .best_match import BestMatch
from .column_group import ColumnGroup
from .format import FormatLayout, top_columns
from .half_cycle import HalfCycle
from .input_driver import InputDriver, PlaneLayout, is_possible
from .parity_tree import ParityTree
from .pipelined_tree import PipelinedTree
from .ports import OPERATION_BITS, BestLayout, Operation, OperationLayout, ResultLayout, WriteLayout
from .pumped_tree import PumpedTree
from .row_driver import RowDriver
from .row_product import RowProduct
from .shift_accumulator import ShiftAccumulator
from .storage import STORAGE
from .word_lines import WordLines
from .write_port import WritePort

__all__ = ["Macro", "macro_latency", "macro_members"]


class TagLayout(data.StructLayout):
    """What accumulation must know of the sums: as in `PlaneLayout`, and the format of the set they come from."""

    def __init__(self, config: MacroConfig):
        plane = PlaneLayout(config)
        names = ["first", "last", "negative", "shift", "place", "error"]
        names += ["operation"] if config.beyond_mac else []
        names += ["used"] if config.bitwise else []
        names += ["final", "columns"] if config.transposed else []
        names += ["idle"] if config.gating else []
        super().__init__({**{name: plane[name].shape for name in names}, "format": FormatLayout(config)})


def macro_members(config: MacroConfig) -> dict[str, Any]:
    """Members of a `Macro`."""
    best = {"best": Out(BestLayout(config))} if config.best_match else {}
    return {
        "write": In(stream.Signature(WriteLayout(config))),
        "i_stream": In(stream.Signature(OperationLayout(config))),
        "o_stream": Out(stream.Signature(ResultLayout(config))),
        "plane": Out(1),
        "write_error": Out(1),
        "computing": Out(config.weight_sets),
        **best,
    }


def macro_latency(config: MacroConfig) -> int:
    """Cycles from an operation of one cycle to its result.

    Driver, storage that takes a cycle to read, registers in the adder trees, sum register, accumulator, result
    register.
    """
    return InputDriver.latency + config.read_cycles + config.pipeline + 1 + ColumnGroup.latency


class Macro(wiring.Component):
    """Digital compute-in-memory: ``y[j] = sum(x[i] * w[i, j])``, exactly.

    Input driver, bit cells, adder trees, sum register, accumulators, result register. An operation of b-bit activations
    takes c = ``config.operation_cycles(b)`` cycles, or fewer with plane skipping, and operations follow one another
    without a bubble; from the transfer on ``i_stream`` to ``o_stream.valid`` it is ``latency + c - 1`` cycles. Each
    stage moves on as soon as the next one can take what it holds, so a stalled ``o_stream`` stops the array without
    losing anything. Weights are written at one row, or one beat of it, per cycle while another set computes.

    With gating, each operation says which column groups are idle: no word line rises in those, and their accumulators
    and elements of the result keep what they hold. A block of rows that gets no one keeps the cells it looks at.

    If ``config`` asks for more than multiply-accumulate, each operation says what it is (`Operation`). All go the same
    way, in the same order and with the same latency; those with the transposed weights take
    c = ``config.transposed_cycles(b)`` cycles.

    Parameters
    ----------
    config : MacroConfig

    Members
    -------
    write : In(stream.Signature(WriteLayout(config)))
        Rows of weights. Waits while the addressed set is computing.
    i_stream : In(stream.Signature(OperationLayout(config)))
    o_stream : Out(stream.Signature(ResultLayout(config)))
        One result per operation, in order.
    plane : Out(1)
        High in each cycle in which bit planes go through the array.
    write_error : Out(1)
        Pulses in the cycle after a write to a row, set, beat or width that does not exist, which was dropped.
    computing : Out(weight_sets)
        Bit s is high while a plane in the array reads set s.
    best : Out(BestLayout(config))
        ``BestMatch(config).latency`` cycles after the transfer of an XOR's result; only if there is ``best_match``.
    """

    def __init__(self, config: MacroConfig):
        self.config = config
        super().__init__(macro_members(config))

    @property
    def latency(self) -> int:
        """Cycles from an operation of one cycle to its result."""
        return macro_latency(self.config)

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        # Planes that go through the array side by side are so many times more columns to the trees.
        columns = config.words * config.planes_per_cycle
        m.submodules.driver = driver = InputDriver(config)
        m.submodules.write_port = write_port = WritePort(config)
        m.submodules.array = array = STORAGE[config.storage](config)
        if config.double_pumped:
            m.submodules.tree = tree = PumpedTree(config, words=columns // 2, bits=config.cell_bits)
        else:
            m.submodules.tree = tree = PipelinedTree(config, words=columns, bits=config.cell_bits)
        m.submodules.counter = counter = PipelinedTree(config, words=config.planes_per_cycle, bits=1)
        count_bits = max(config.count_bits, config.words.bit_length() if config.transposed else 0)
        m.submodules.input_sum = input_sum = ShiftAccumulator(
            count_bits + 1, config.input_sum_bits, config.planes_per_cycle, config.accumulator_places
        )
        groups = [ColumnGroup(config) for _ in range(config.groups)]
        for index, group in enumerate(groups):
            m.submodules[f"group_{index}"] = group

        planes = driver.o_stream
        if config.transposed:
            planes = stream.Signature(PlaneLayout(config)).create(path=("planes",))
            self._drive_rows(m, driver, planes)
        else:
            connect(m, flipped(self.i_stream), driver.i_stream)
        connect(m, flipped(self.write), write_port.i_stream)

        plane = planes.payload
        sums = Signal(columns * config.column_bits)
        # The last totals of an operation are its result; only a product with the transposed weights has several.
        totals_final: Value = Const(1)
        count = Signal(data.ArrayLayout(config.count_bits, config.planes_per_cycle))
        # What travels with the products of a cycle: through the reading of the cells and the registers of the trees,
        # then with the sums.
        stages = config.read_cycles + config.pipeline + 1
        travelling = [Signal(TagLayout(config), name=f"tag_{stage}") for stage in range(stages)]
        sums_tag = travelling[-1]
        present = [Signal(name=f"present_{stage}") for stage in range(stages)]
        enters = [Signal(name=f"enters_{stage}") for stage in range(stages)]
        totals_valid = Signal()
        totals_error = Signal()
        totals_width = Signal.like(sums_tag.format.width)
        totals_operation = Signal(OPERATION_BITS)
        totals_idle = Signal(config.groups)
        step, capture = Signal(), Signal()
        leaves = [*enters[1:], step]
        # The registers of the trees.
        entered = Cat(enters[config.read_cycles : -1])

        # Each stage is free when it is empty or its content moves on.
        m.d.comb += [
            capture.eq(totals_valid & (~self.o_stream.valid | self.o_stream.ready)),
            step.eq(present[-1] & (~totals_valid | capture)),
            planes.ready.eq(~present[0] | leaves[0]),
            *(
                enter.eq(before & (~here | leave))
                for enter, before, here, leave in zip(enters, [planes.valid, *present], present, leaves, strict=False)
            ),
            self.plane.eq(enters[0] & ~plane.error),
            self.computing.eq(Mux(planes.valid & ~plane.error, 1 << plane.set, 0)),
            self.write_error.eq(write_port.error),
        ]

        def meeting(line: Any, name: str) -> Any:
            """What meets the cells of the present planes, as the cells come out."""
            if not config.read_cycles:
                return line
            held = Signal.like(line, name=f"{name}_held")
            with m.If(enters[0]):
                m.d.sync += held.eq(line)
            return held

        plane_format = Array(write_port.formats[s] for s in range(config.weight_sets))[plane.set]
        x = meeting(plane.x, "x")
        word_line = x if config.line_sets == 1 else plane.lines
        if config.bitwise:
            m.submodules.word_lines = word_lines = WordLines(config)
            word_line = meeting(word_lines.x, "line")
            m.d.comb += [
                word_lines.plane.eq(plane),
                word_lines.format.eq(plane_format),
                array.x_bar.eq(meeting(word_lines.x_bar, "line_bar")),
                array.bits.eq(meeting(word_lines.bits, "bits")),
            ]
        if config.read_cycles:
            # An impossible operation reads no cells, not even while its set is written.
            rises: Value = plane.x.as_value()
            if config.bitwise:
                rises = word_lines.x | word_lines.x_bar
            for block, read_enable in enumerate(array.read_enable):
                first = block * config.block_rows
                planes_of = [rises.word_select(p, config.group_rows) for p in range(config.planes_per_cycle)]
                wanted = Cat(lines[first : first + config.block_rows] for lines in planes_of).any()
                m.d.comb += read_enable.eq(enters[0] & ~plane.error & (wanted if config.gating else Const(1)))

        if config.gating:
            m.d.comb += [array.source.eq(plane.source), array.idle.eq(meeting(plane.idle, "idle"))]
        else:
            m.d.comb += [array.source[0].set.eq(plane.set), array.source[0].row_group.eq(plane.row_group)]
        if config.double_pumped:
            m.submodules.half = half = HalfCycle()
            halves = Signal(data.ArrayLayout(len(array.x), 2))
            m.d.comb += halves.eq(word_line)
            word_line = halves[half.second]
        if config.write_beats > 1:
            m.d.comb += array.beat.eq(write_port.beat)
        m.d.comb += [
            write_port.computing.eq(self.computing),
            array.enable.eq(write_port.enable),
            array.row.eq(write_port.row),
            array.data.eq(write_port.data),
            array.x.eq(word_line),
            tree.i.eq(array.products),
            tree.enable.eq(Cat(entered, enters[-1]) if config.double_pumped else entered),
            counter.enable.eq(entered),
            counter.i.eq(Cat(x[p][row] for row in range(config.group_rows) for p in range(len(plane.x)))),
        ]

        # The format travels with the sums: as soon as the last plane has left the array, the set may be rewritten.
        for here, enter, leave in zip(present, enters, leaves, strict=True):
            m.d.sync += here.eq(enter | (here & ~leave))
        with m.If(enters[0]):
            m.d.sync += [
                *(travelling[0][name].eq(plane[name]) for name, _ in TagLayout(config) if name != "format"),
                travelling[0].format.eq(plane_format),
            ]
        for stage in range(stages - 1):
            with m.If(enters[stage + 1]):
                m.d.sync += travelling[stage + 1].eq(travelling[stage])
        with m.If(enters[-1]):
            m.d.sync += count.eq(Cat(counter.o[p :: config.planes_per_cycle] for p in range(config.planes_per_cycle)))
            if not config.gating:
                m.d.sync += sums.eq(Cat(tree.o[column::columns] for column in range(columns)))
        if config.gating:
            entering = travelling[-2] if stages > 1 else plane
            group_bits = config.group_words * config.column_bits
            for index in range(config.groups):
                with m.If(enters[-1] & ~entering.idle[index]):
                    for p in range(config.planes_per_cycle):
                        first = p * config.words + index * config.group_words
                        found = [tree.o[column::columns] for column in range(first, first + config.group_words)]
                        m.d.sync += sums.word_select(p * config.groups + index, group_bits).eq(Cat(found))

        ones = [count[p] for p in range(config.planes_per_cycle)]
        if config.transposed:
            m.submodules.row_product = row_product = RowProduct(config)
            by_rows = sums_tag.operation == Operation.TRANSPOSED
            ones = [Mux(by_rows, *pair) for pair in zip(row_product.ones, ones, strict=True)]
            m.d.comb += [
                row_product.step.eq(step),
                row_product.first.eq(sums_tag.first),
                row_product.negative.eq(sums_tag.negative),
                row_product.columns.eq(sums_tag.columns),
                row_product.format.eq(sums_tag.format),
            ]
            totals_by_rows = totals_operation == Operation.TRANSPOSED
            totals_final = Signal()
            with m.If(step):
                m.d.sync += totals_final.eq(sums_tag.final)
            # A single word line is up: the sum of a column is the cell of that row.
            m.d.comb += [
                cells.eq(sums.word_select(word, config.column_bits)) for word, cells in enumerate(row_product.cells)
            ]
        tops = Signal(config.group_words)
        masks = Array(top_columns(width, config.group_words) for width in range(len(config.weight_widths)))
        m.d.comb += [
            tops.eq(Mux(sums_tag.format.signed, masks[sums_tag.format.width], 0)),
            input_sum.step.eq(step),
            input_sum.first.eq(sums_tag.first),
            input_sum.negative.eq(sums_tag.negative),
            input_sum.shift.eq(sums_tag.shift),
            input_sum.place.eq(sums_tag.place),
        ]
        m.d.comb += [i.eq(number) for i, number in zip(input_sum.i, ones, strict=True)]
        answers: Any = self.o_stream.payload.y
        if config.transposed:
            answers = Signal(data.ArrayLayout(signed(config.result_bits), config.words))
        parities = self._parities(m, array, entered, enters[-1], sums) if config.carryless else None
        capture_columns: Value = capture
        if config.gating and config.transposed:
            # Columns have no part in these; a group that is idle next keeps its answer.
            capture_columns = capture & ~totals_by_rows
        for index, group in enumerate(groups):

            def given(value: Value, idle: Value, index: int = index) -> Value:
                """What an idle group sees as 0, so that nothing behind it follows."""
                return value & (~idle[index]).replicate(len(value)) if config.gating else value

            arriving = partial(given, idle=sums_tag.idle if config.gating else Const(0))
            leaving = partial(given, idle=totals_idle)
            m.d.comb += [
                group.step.eq(arriving(step)),
                group.first.eq(arriving(sums_tag.first)),
                group.negative.eq(arriving(sums_tag.negative)),
                group.shift.eq(arriving(sums_tag.shift)),
                group.place.eq(arriving(sums_tag.place)),
                group.tops.eq(arriving(tops)),
                group.capture.eq(leaving(capture_columns)),
                group.width.eq(leaving(totals_width)),
            ]
            m.d.comb += [group.count[p].eq(arriving(count[p])) for p in range(config.planes_per_cycle)]
            if config.bitwise or config.carryless:
                m.d.comb += group.operation.eq(leaving(totals_operation))
            if config.bitwise:
                m.d.comb += [
                    group.used.eq(arriving(sums_tag.used)),
                    group.bit_place.eq(arriving(sums_tag.place)),
                    group.sums_width.eq(arriving(sums_tag.format.width)),
                ]
            for cell in range(config.group_words):
                column = index * config.group_words + cell
                m.d.comb += answers[column].eq(group.y[cell])
                for p in range(config.planes_per_cycle):
                    total = sums.word_select(p * config.words + column, config.column_bits)
                    m.d.comb += group.sums[p][cell].eq(total)
                    if parities is not None:
                        bits = parities[p * config.words + column :: columns]
                        m.d.comb += group.parities[p][cell].eq(bits)

        with m.If(capture):
            m.d.sync += totals_valid.eq(0)
        with m.If(step):
            m.d.sync += [
                totals_valid.eq(sums_tag.last),
                totals_error.eq(sums_tag.error),
                totals_width.eq(sums_tag.format.width),
            ]
            if config.beyond_mac:
                m.d.sync += totals_operation.eq(sums_tag.operation)
            if config.gating:
                m.d.sync += totals_idle.eq(sums_tag.idle)

        with m.If(self.o_stream.ready):
            m.d.sync += self.o_stream.valid.eq(0)
        with m.If(capture):
            m.d.sync += [
                self.o_stream.valid.eq(totals_final),
                self.o_stream.payload.input_sum.eq(input_sum.acc),
                self.o_stream.payload.error.eq(totals_error),
            ]
        if config.transposed:
            answers_rows = Signal()
            m.d.comb += row_product.capture.eq(capture & totals_by_rows)
            with m.If(capture):
                m.d.sync += answers_rows.eq(totals_by_rows)
            pairs = zip_longest(row_product.y, answers, fillvalue=Const(0))
            results = [Mux(answers_rows, by_row, y) for by_row, y in pairs]
            m.d.comb += [y.eq(result) for y, result in zip(self.o_stream.payload.y, results, strict=True)]
        if config.best_match:
            distances, result_width = Signal(), Signal.like(totals_width)
            with m.If(capture):
                m.d.sync += [distances.eq(totals_operation == Operation.XOR), result_width.eq(totals_width)]
            m.submodules.best_match = best_match = BestMatch(config)
            if config.gating:
                result_idle = Signal.like(totals_idle)
                with m.If(capture):
                    m.d.sync += result_idle.eq(totals_idle)
                m.d.comb += best_match.idle.eq(result_idle)
                distances &= ~result_idle.all()
            m.d.comb += [
                best_match.valid.eq(self.o_stream.valid & self.o_stream.ready & distances),
                best_match.width.eq(result_width),
                *(i.eq(y) for i, y in zip(best_match.distances, answers, strict=True)),
                self.best.eq(best_match.best),
            ]
        return m

    def _drive_rows(self, m: Module, driver: InputDriver, planes) -> None:
        """Send each operation through the one driver or the other, in order."""
        m.submodules.row_driver = rows = RowDriver(self.config)
        operation = self.i_stream.payload
        by_rows = Signal()
        m.d.comb += [
            by_rows.eq((operation.operation == Operation.TRANSPOSED) & is_possible(self.config, operation)),
            driver.i_stream.payload.eq(operation),
            rows.i_stream.payload.eq(operation),
            # Either may take an operation once the other one's last planes leave.
            self.i_stream.ready.eq(driver.i_stream.ready & rows.i_stream.ready),
            driver.i_stream.valid.eq(self.i_stream.valid & ~by_rows & rows.i_stream.ready),
            rows.i_stream.valid.eq(self.i_stream.valid & by_rows & driver.i_stream.ready),
            planes.valid.eq(driver.o_stream.valid | rows.o_stream.valid),
            planes.payload.eq(Mux(rows.o_stream.valid, rows.o_stream.payload, driver.o_stream.payload)),
            driver.o_stream.ready.eq(planes.ready),
            rows.o_stream.ready.eq(planes.ready),
        ]

    def _parities(self, m: Module, array: BitCellArray, entered: Value, enters: Signal, sums: Signal) -> Value:
        """Parities of the products beside their sums, in the order of one row of the array."""
        config = self.config
        if config.cell_bits == 1:
            return sums[:: config.column_bits]
        m.submodules.parity_tree = tree = ParityTree(config)
        parities = Signal.like(tree.o)
        m.d.comb += [tree.i.eq(array.products), tree.enable.eq(entered)]
        with m.If(enters):
            m.d.sync += parities.eq(tree.o)
        return parities
