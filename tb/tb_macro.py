"""Bench of the macro: random weights, vectors and back-pressure; the model sees what the monitors saw on the pins.

Environment variables: ``MACRO``, the configuration's fields as JSON; ``ROUNDS``, weight matrices of each random test;
``MACRO_COVERAGE``, a file that gets what was met; ``NETLIST``, set if the macro is a netlist without the source's
hierarchy, whose outputs must not be undefined after reset.
"""

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import cocotb
import numpy as np
from cimarron.config import PRESETS, MacroConfig
from cimarron.macro.ports import OperationLayout, WriteLayout
from cocotb.clock import Clock
from cocotb.task import Task
from cocotb.triggers import RisingEdge, Timer
from cocotb.types import LogicArray
from tblib.defined import stay_defined
from tblib.macro import (
    MacroScoreboard,
    declared_latency,
    occupied_cycles,
    operation_payload,
    random_integers,
    row_payloads,
)
from tblib.macro_coverage import MacroCollector, macro_coverage
from tblib.stream import StreamMonitor, StreamPins, StreamSink, StreamSource

CONFIG = MacroConfig(**json.loads(os.environ["MACRO"])) if "MACRO" in os.environ else PRESETS["tiny"].engine.macro
ROUNDS = int(os.environ.get("ROUNDS", "12"))

#: Outputs that mean something in every cycle, and those that do while another is high.
ALWAYS = "write__ready", "write_error", "i_stream__ready", "o_stream__valid", "computing", "plane"
PAYLOADS = {"o_stream__valid": ("o_stream__payload",)}

#: What the tests of this run have met so far.
COVERAGE = macro_coverage()

#: Transfers that write a whole set.
FILL = CONFIG.rows * CONFIG.write_beats


class Environment:
    """Clock, reset, sources, sink, monitors and scoreboard around the macro.

    Parameters
    ----------
    dut : cocotb handle
    stall : float
        Back-pressure of every stream.
    """

    def __init__(self, dut, stall: float):
        self.dut = dut
        self.rng = np.random.default_rng(cocotb.RANDOM_SEED)
        dut._log.info("seed %d, stall %s, %s", cocotb.RANDOM_SEED, stall, CONFIG)
        self.pins = [StreamPins(dut, name) for name in ("write", "i_stream", "o_stream")]
        randoms = [Random(cocotb.RANDOM_SEED + index) for index in range(3)]
        self.writes = StreamSource(self.pins[0], randoms[0], stall)
        self.operations = StreamSource(self.pins[1], randoms[1], stall)
        self.sink = StreamSink(self.pins[2], randoms[2], stall)
        self.tasks: list[Task] = []

    def monitor(self, pins: StreamPins, seen: Callable[[int], None]) -> StreamMonitor:
        """A monitor of one of the streams."""
        return StreamMonitor(pins, seen)

    def _written(self, payload: int) -> None:
        self.counts["dropped"] += not self.scoreboard.model.write(payload)
        self.collector.write(payload, int(self.dut.computing.value))

    def _operated(self, payload: int) -> None:
        self.taken.append(self.counts["cycles"])
        self.scoreboard.operation(payload)
        self.collector.operation(payload, int(self.dut.computing.value))

    def _answered(self, payload: int) -> None:
        self.answered.append(self.counts["cycles"])
        self.scoreboard.result(payload)
        self.collector.result()

    async def _watch(self) -> None:
        while True:
            await RisingEdge(self.dut.clk)
            self.counts["cycles"] += 1
            self.counts["planes"] += self.dut.plane.value == 1
            self.counts["errors"] += self.dut.write_error.value == 1
            for monitor in self.monitors:
                monitor.sample()
            self.collector.cycle(
                *((monitor.pins.valid.value == 1, monitor.pins.ready.value == 1) for monitor in self.monitors)
            )

    async def start(self) -> None:
        """Reset, then let everything run."""
        if CONFIG.double_pumped:
            cocotb.start_soon(self._two_clocks())
        else:
            Clock(self.dut.clk, 10, unit="ns").start()
        await self.reset()

    async def _two_clocks(self) -> None:
        """Written together, so that no simulator sees one edge before the other."""
        while True:
            for level in (1, 0):
                self.dut.clk.value = level
                self.dut.fast_clk.value = 1
                await Timer(2500, unit="ps")
                self.dut.fast_clk.value = 0
                await Timer(2500, unit="ps")

    async def reset(self) -> None:
        """Forget all that was asked and answered, and go on with an empty macro."""
        for task in self.tasks:
            task.cancel()
        self.writes.queue.clear()
        self.operations.queue.clear()
        self.scoreboard = MacroScoreboard(CONFIG)
        self.collector = MacroCollector(CONFIG, self.scoreboard.model, COVERAGE)
        # Writes come first: one that is taken together with an operation is seen by it.
        callbacks = self._written, self._operated, self._answered
        self.monitors = [self.monitor(pins, seen) for pins, seen in zip(self.pins, callbacks, strict=True)]
        self.counts = Counter()
        self.taken: list[int] = []
        self.answered: list[int] = []
        self.dut.rst.value = 1
        if CONFIG.self_test:
            self.dut.test_start.value = 0
        self.dut.write__valid.value = self.dut.i_stream__valid.value = self.dut.o_stream__ready.value = 0
        for _ in range(2):
            await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0
        self.tasks = [
            cocotb.start_soon(task)
            for task in (self._watch(), self.writes.run(), self.operations.run(), self.sink.run())
        ]
        if "NETLIST" in os.environ:
            self.tasks.append(cocotb.start_soon(stay_defined(self.dut, ALWAYS, PAYLOADS)))

    def fill(self, weight_set: int, bits: int, signed: bool) -> None:
        """Queue a random weight matrix."""
        for row in range(CONFIG.rows):
            weights = random_integers(self.rng, bits, signed, CONFIG.outputs(bits))
            self.writes.queue.extend(row_payloads(CONFIG, weight_set, row, bits, signed, weights))

    def operate(self, weight_set: int) -> int:
        """Queue a random operation and return its cycles."""
        bits, signed = int(self.rng.integers(1, CONFIG.max_act_bits + 1)), bool(self.rng.integers(2))
        x = random_integers(self.rng, bits, signed, CONFIG.rows)
        self.operations.queue.append(operation_payload(CONFIG, weight_set, x, bits, signed, idle=self.idle()))
        return occupied_cycles(CONFIG, x, bits, signed)

    def idle(self) -> int:
        """Column groups for an operation to leave alone: none, or any."""
        if not CONFIG.gating or self.rng.integers(2):
            return 0
        return int.from_bytes(self.rng.bytes(CONFIG.groups // 8 + 1)) & (1 << CONFIG.groups) - 1

    def check(self, operations: int) -> None:
        """Every one of so many operations must have been answered."""
        self.scoreboard.finish(operations)
        if path := os.environ.get("MACRO_COVERAGE"):
            COVERAGE.save(Path(path))

    async def until(self, monitor: int, transfers: int, limit: int = 50_000) -> None:
        """Wait for that many transfers on stream 0 (writes), 1 (operations) or 2 (results)."""
        end = self.counts["cycles"] + limit
        while self.monitors[monitor].transfers < transfers:
            assert self.counts["cycles"] < end, (
                f"{self.monitors[monitor].pins.name} stopped after {transfers} transfers"
            )
            await RisingEdge(self.dut.clk)


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.3, 0.8])
async def random_dot_products(dut, stall):
    bench = Environment(dut, stall)
    await bench.start()
    planes = operations = writes = 0
    for _ in range(ROUNDS):
        # Sets in use are rewritten while results of their old weights are still on their way.
        weight_set = int(bench.rng.integers(CONFIG.weight_sets))
        bench.fill(weight_set, int(bench.rng.choice(CONFIG.weight_widths)), bool(bench.rng.integers(2)))
        writes += FILL
        await bench.until(0, writes)
        for _ in range(5):
            planes += bench.operate(weight_set)
        operations += 5
        await bench.until(1, operations)
    await bench.until(2, operations)
    await RisingEdge(dut.clk)
    bench.check(operations)
    assert bench.counts["planes"] == planes
    assert bench.counts["errors"] == 0


def broken_writes() -> list[int]:
    """Payloads of every set, row, width and beat that a field can name and the macro does not have."""
    layout = WriteLayout(CONFIG)
    limits = {"set": CONFIG.weight_sets, "row": CONFIG.rows, "width": len(CONFIG.weight_widths)}
    beat = {"beat": 0} if CONFIG.write_beats > 1 else {}
    limits |= {"beat": CONFIG.write_beats} if beat else {}
    good = {"set": 0, "row": 0, "width": 0, "signed": 0, "data": 1} | beat
    return [
        layout.const(good | {field: value}).as_bits()
        for field, first in limits.items()
        for value in range(first, 1 << layout[field].width)
    ]


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.5])
async def requests_that_do_not_exist(dut, stall):
    bench = Environment(dut, stall)
    await bench.start()
    bench.fill(0, CONFIG.weight_widths[-1], True)
    await bench.until(0, FILL)
    broken = broken_writes()
    bench.writes.queue.extend(broken)
    impossible = [(0, bits) for bits in (0, *range(CONFIG.max_act_bits + 1, 1 << CONFIG.max_act_bits.bit_length()))]
    for weight_set, bits in impossible:
        fields = {"x": [1] * CONFIG.rows, "bits": bits, "signed": 1, "set": weight_set}
        bench.operations.queue.append(OperationLayout(CONFIG).const(fields).as_bits())
        bench.operate(0)
    await bench.until(2, 2 * len(impossible))
    await bench.until(0, FILL + len(broken))
    for _ in range(2):
        await RisingEdge(dut.clk)
    bench.check(2 * len(impossible))
    assert bench.counts["dropped"] == bench.counts["errors"] == len(broken)


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.5])
async def requests_of_all_kinds_follow_one_another(dut, stall):
    """On both inputs, possible ones and others, to any set; a set keeps its format, so that all of its rows count."""
    bench = Environment(dut, stall)
    await bench.start()
    bits = CONFIG.weight_widths[-1]
    for weight_set in range(CONFIG.weight_sets):
        bench.fill(weight_set, bits, True)
    writes, planes, operations = CONFIG.weight_sets * FILL, 0, 10 * ROUNDS
    await bench.until(0, writes)
    broken = broken_writes()
    dropped = 0
    for _ in range(operations):
        if broken and bench.rng.integers(2):
            bench.writes.queue.append(broken[bench.rng.integers(len(broken))])
            dropped += 1
            writes += 1
        else:
            weight_set, row = int(bench.rng.integers(CONFIG.weight_sets)), int(bench.rng.integers(CONFIG.rows))
            weights = random_integers(bench.rng, bits, True, CONFIG.outputs(bits))
            bench.writes.queue.extend(row_payloads(CONFIG, weight_set, row, bits, True, weights))
            writes += CONFIG.write_beats
        if bench.rng.integers(2):
            bench.operations.queue.append(operation_payload(CONFIG, 0, [1] * CONFIG.rows, 0, True))
        else:
            planes += bench.operate(int(bench.rng.integers(CONFIG.weight_sets)))
    await bench.until(2, operations)
    await bench.until(0, writes)
    for _ in range(2):
        await RisingEdge(dut.clk)
    bench.check(operations)
    assert bench.counts["planes"] == planes
    assert bench.counts["dropped"] == bench.counts["errors"] == dropped


@cocotb.test(skip=CONFIG.weight_sets == 1)
async def idle_sets_are_written_without_a_lost_cycle(dut):
    bench = Environment(dut, 0.0)
    await bench.start()
    for weight_set in range(CONFIG.weight_sets):
        bench.fill(weight_set, CONFIG.weight_widths[-1], True)
    written = CONFIG.weight_sets * FILL
    await bench.until(0, written)
    planes = sum(bench.operate(0) for _ in range(20))
    for _ in range(2):
        bench.fill(CONFIG.weight_sets - 1, CONFIG.cell_bits, False)
    await bench.until(1, 1)
    start = bench.counts["cycles"], bench.counts["planes"]
    while bench.counts["planes"] < planes:
        await RisingEdge(dut.clk)
    assert bench.counts["cycles"] - start[0] == planes - start[1]
    await bench.until(2, 20)
    await bench.until(0, written + 2 * FILL)
    await RisingEdge(dut.clk)
    bench.check(20)


@cocotb.test()
async def operations_take_their_declared_cycles_and_latency(dut):
    bench = Environment(dut, 0.0)
    await bench.start()
    bench.fill(0, CONFIG.weight_widths[-1], True)
    await bench.until(0, FILL)
    cycles = [bench.operate(0) for _ in range(20)]
    await bench.until(2, 20)
    bench.check(20)
    assert np.diff(bench.taken).tolist() == cycles[:-1]
    latency = declared_latency(CONFIG)
    assert np.subtract(bench.answered, bench.taken).tolist() == [latency + count - 1 for count in cycles]


@cocotb.test()
async def reset_empties_the_pipeline_and_forgets_the_formats(dut):
    bench = Environment(dut, 0.3)
    await bench.start()
    for cycles in range(10):
        bench.fill(0, CONFIG.weight_widths[-1], True)
        await bench.until(0, FILL)
        for _ in range(3):
            bench.operate(0)
        await bench.until(1, 1)
        for _ in range(cycles):
            await RisingEdge(dut.clk)
        await bench.reset()
    bench.fill(0, CONFIG.cell_bits, False)
    await bench.until(0, FILL)
    for _ in range(3):
        bench.operate(0)
    await bench.until(2, 3)
    await RisingEdge(dut.clk)
    bench.check(3)


def _cells(dut, weight_set: int, row: int) -> list:
    """Handles of the cells of a row, one per beat."""
    beats = [f"_beat_{beat}" for beat in range(CONFIG.write_beats)] if CONFIG.write_beats > 1 else [""]
    array = dut.macro.array if CONFIG.self_test else dut.array
    if CONFIG.storage == "latches":
        return [getattr(array, f"latch_set_{weight_set}_row_{row}{beat}").q for beat in beats]
    if CONFIG.storage == "flip_flops":
        return [getattr(array, f"set_{weight_set}_row_{row}{beat}") for beat in beats]
    block, index = divmod(row, CONFIG.group_rows)
    address = weight_set << (CONFIG.row_groups - 1).bit_length() | block
    return [getattr(array, f"memory_{index}{beat}")[address] for beat in beats]


@cocotb.test(skip="icarus" not in cocotb.SIM_NAME.lower() or "NETLIST" in os.environ)
async def rows_never_written_do_not_matter_where_the_activation_is_zero(dut):
    """Cells start as X, which only a four-state simulator can tell from 0."""
    bench = Environment(dut, 0.0)
    await bench.start()
    unknown = 0
    bits = min(3, CONFIG.max_act_bits)
    for weight_set in range(CONFIG.weight_sets):
        for row in range(CONFIG.rows):
            for cells in _cells(dut, weight_set, row):
                cells.value = LogicArray("X" * CONFIG.beat_bits)
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    for weight_set in range(CONFIG.weight_sets):
        weights = random_integers(bench.rng, CONFIG.cell_bits, True, CONFIG.words)
        bench.writes.queue.extend(row_payloads(CONFIG, weight_set, 1, CONFIG.cell_bits, True, weights))
    await bench.until(0, CONFIG.weight_sets * CONFIG.write_beats)
    for weight_set in range(CONFIG.weight_sets):
        unknown += not any(cells.value.is_resolvable for cells in _cells(dut, weight_set, 0))
        x = [0] * CONFIG.rows
        x[1] = -(2 ** (bits - 1))
        bench.operations.queue.append(operation_payload(CONFIG, weight_set, x, bits, True))
    assert unknown == CONFIG.weight_sets, "the cells were not made unknown"
    await bench.until(2, CONFIG.weight_sets)
    await RisingEdge(dut.clk)
    bench.check(CONFIG.weight_sets)
