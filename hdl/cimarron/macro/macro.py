"""The compute-in-memory macro."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..config import MacroConfig
from .array import BitCellArray
from .column_group import ColumnGroup
from .format import FormatLayout, top_columns
from .input_driver import InputDriver, PlaneLayout
from .pipelined_tree import PipelinedTree
from .ports import OperationLayout, ResultLayout, WriteLayout
from .shift_accumulator import ShiftAccumulator
from .write_port import WritePort

__all__ = ["Macro"]


class TagLayout(data.StructLayout):
    """What accumulation must know of the sums: as in `PlaneLayout`, and the format of the set they come from."""

    def __init__(self, config: MacroConfig):
        plane = PlaneLayout(config)
        names = ("first", "last", "negative", "shift", "place", "error")
        super().__init__({**{name: plane[name].shape for name in names}, "format": FormatLayout(config)})


class Macro(wiring.Component):
    """Digital compute-in-memory: ``y[j] = sum(x[i] * w[i, j])``, exactly.

    Input driver, bit cells, adder trees, sum register, accumulators, result register. An operation of b-bit activations
    takes c = ``config.operation_cycles(b)`` cycles, or fewer with plane skipping, and operations follow one another
    without a bubble; from the transfer on ``i_stream`` to ``o_stream.valid`` it is ``latency + c - 1`` cycles. Each
    stage moves on as soon as the next one can take what it holds, so a stalled ``o_stream`` stops the array without
    losing anything. Weights are written at one row per cycle while another set computes.

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
        Pulses in the cycle after a write to a row, set or width that does not exist, which was dropped.
    computing : Out(weight_sets)
        Bit s is high while a plane in the array reads set s.
    """

    def __init__(self, config: MacroConfig):
        self.config = config
        super().__init__(
            {
                "write": In(stream.Signature(WriteLayout(config))),
                "i_stream": In(stream.Signature(OperationLayout(config))),
                "o_stream": Out(stream.Signature(ResultLayout(config))),
                "plane": Out(1),
                "write_error": Out(1),
                "computing": Out(config.weight_sets),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from an operation of one cycle to its result.

        Driver, registers in the adder trees, sum register, accumulator, result register.
        """
        return InputDriver.latency + self.config.pipeline + 1 + ColumnGroup.latency

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        # Planes that go through the array side by side are so many times more columns to the trees.
        columns = config.words * config.planes_per_cycle
        m.submodules.driver = driver = InputDriver(config)
        m.submodules.write_port = write_port = WritePort(config)
        m.submodules.array = array = BitCellArray(config)
        m.submodules.tree = tree = PipelinedTree(config, words=columns, bits=config.cell_bits)
        m.submodules.counter = counter = PipelinedTree(config, words=config.planes_per_cycle, bits=1)
        m.submodules.input_sum = input_sum = ShiftAccumulator(
            config.count_bits + 1, config.input_sum_bits, config.planes_per_cycle, config.accumulator_places
        )
        groups = [ColumnGroup(config) for _ in range(config.groups)]
        for index, group in enumerate(groups):
            m.submodules[f"group_{index}"] = group

        connect(m, flipped(self.i_stream), driver.i_stream)
        connect(m, flipped(self.write), write_port.i_stream)

        plane = driver.o_stream.payload
        sums = Signal(columns * config.column_bits)
        count = Signal(data.ArrayLayout(config.count_bits, config.planes_per_cycle))
        # What travels with the products of a cycle: through the registers of the trees, then with the sums.
        travelling = [Signal(TagLayout(config), name=f"tag_{stage}") for stage in range(config.pipeline + 1)]
        sums_tag = travelling[-1]
        present = [Signal(name=f"present_{stage}") for stage in range(config.pipeline + 1)]
        enters = [Signal(name=f"enters_{stage}") for stage in range(config.pipeline + 1)]
        totals_valid = Signal()
        totals_error = Signal()
        totals_width = Signal.like(sums_tag.format.width)
        step, capture = Signal(), Signal()
        leaves = [*enters[1:], step]

        # Each stage is free when it is empty or its content moves on.
        m.d.comb += [
            capture.eq(totals_valid & (~self.o_stream.valid | self.o_stream.ready)),
            step.eq(present[-1] & (~totals_valid | capture)),
            driver.o_stream.ready.eq(~present[0] | leaves[0]),
            *(
                enter.eq(before & (~here | leave))
                for enter, before, here, leave in zip(
                    enters, [driver.o_stream.valid, *present], present, leaves, strict=False
                )
            ),
            self.plane.eq(enters[0] & ~plane.error),
            self.computing.eq(Mux(driver.o_stream.valid & ~plane.error, 1 << plane.set, 0)),
            self.write_error.eq(write_port.error),
        ]

        m.d.comb += [
            write_port.computing.eq(self.computing),
            array.enable.eq(write_port.enable),
            array.row.eq(write_port.row),
            array.data.eq(write_port.data),
            array.set.eq(plane.set),
            array.row_group.eq(plane.row_group),
            array.x.eq(plane.x),
            tree.i.eq(array.products),
            tree.enable.eq(Cat(enters[:-1])),
            counter.enable.eq(Cat(enters[:-1])),
            counter.i.eq(Cat(plane.x[p][row] for row in range(config.group_rows) for p in range(len(plane.x)))),
        ]

        # The format travels with the sums: as soon as the last plane has left the array, the set may be rewritten.
        for here, enter, leave in zip(present, enters, leaves, strict=True):
            m.d.sync += here.eq(enter | (here & ~leave))
        with m.If(enters[0]):
            m.d.sync += [
                travelling[0].first.eq(plane.first),
                travelling[0].last.eq(plane.last),
                travelling[0].negative.eq(plane.negative),
                travelling[0].shift.eq(plane.shift),
                travelling[0].place.eq(plane.place),
                travelling[0].error.eq(plane.error),
                travelling[0].format.eq(Array(write_port.formats[s] for s in range(config.weight_sets))[plane.set]),
            ]
        for stage in range(config.pipeline):
            with m.If(enters[stage + 1]):
                m.d.sync += travelling[stage + 1].eq(travelling[stage])
        with m.If(enters[-1]):
            m.d.sync += [
                sums.eq(Cat(tree.o[column::columns] for column in range(columns))),
                count.eq(Cat(counter.o[p :: config.planes_per_cycle] for p in range(config.planes_per_cycle))),
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
        m.d.comb += [input_sum.i[p].eq(count[p]) for p in range(config.planes_per_cycle)]
        for index, group in enumerate(groups):
            m.d.comb += [
                group.step.eq(step),
                group.first.eq(sums_tag.first),
                group.negative.eq(sums_tag.negative),
                group.shift.eq(sums_tag.shift),
                group.place.eq(sums_tag.place),
                group.tops.eq(tops),
                group.capture.eq(capture),
                group.width.eq(totals_width),
            ]
            m.d.comb += [group.count[p].eq(count[p]) for p in range(config.planes_per_cycle)]
            for cell in range(config.group_words):
                column = index * config.group_words + cell
                m.d.comb += self.o_stream.payload.y[column].eq(group.y[cell])
                for p in range(config.planes_per_cycle):
                    total = sums.word_select(p * config.words + column, config.column_bits)
                    m.d.comb += group.sums[p][cell].eq(total)

        with m.If(capture):
            m.d.sync += totals_valid.eq(0)
        with m.If(step):
            m.d.sync += [
                totals_valid.eq(sums_tag.last),
                totals_error.eq(sums_tag.error),
                totals_width.eq(sums_tag.format.width),
            ]

        with m.If(self.o_stream.ready):
            m.d.sync += self.o_stream.valid.eq(0)
        with m.If(capture):
            m.d.sync += [
                self.o_stream.valid.eq(1),
                self.o_stream.payload.input_sum.eq(input_sum.acc),
                self.o_stream.payload.error.eq(totals_error),
            ]
        return m
