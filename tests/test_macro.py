"""The macro in the Amaranth simulator, cycle by cycle against the model."""

import json
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict

import numpy as np
import pytest
from amaranth.sim import Simulator
from cimarron.config import MacroConfig
from cimarron.macro.macro import Macro
from cimarron.macro.ports import Operation, OperationLayout, WriteLayout
from cimarron_sim.reference.macro import dot_products
from cimarron_sim.runner.bench import SIMULATORS, run_bench
from cimarron_sim.runner.verilog import write_verilog
from tblib.macro import (
    MacroScoreboard,
    declared_latency,
    occupied_cycles,
    operation_payload,
    random_integers,
    row_payloads,
)

GEOMETRIES = [
    MacroConfig(rows=2, words=4, cell_bits=1, max_weight_bits=4, weight_sets=1),
    MacroConfig(rows=5, words=8, cell_bits=2, max_weight_bits=16, weight_sets=3),
    MacroConfig(rows=7, words=3, cell_bits=4, max_weight_bits=4, weight_sets=2),
    MacroConfig(rows=8, words=4, cell_bits=4, max_weight_bits=8, weight_sets=2),
    MacroConfig(rows=4, words=4, cell_bits=4, max_weight_bits=16, weight_sets=2),
    # The ends of the ranges.
    MacroConfig(rows=2, words=1, cell_bits=1, max_weight_bits=1, weight_sets=1, max_act_bits=1),
    MacroConfig(rows=2, words=16, cell_bits=1, max_weight_bits=16, weight_sets=16, max_act_bits=3),
    MacroConfig(rows=2, words=1, cell_bits=4, max_weight_bits=4, weight_sets=5, max_act_bits=16),
    # Adder trees for FPGAs; nine rows leave a leaf of two behind one of seven.
    MacroConfig(rows=9, words=4, cell_bits=4, max_weight_bits=8, max_act_bits=4, adder="ripple"),
    MacroConfig(rows=9, words=4, cell_bits=1, max_weight_bits=4, max_act_bits=4, adder="counters"),
    MacroConfig(rows=9, words=4, cell_bits=2, max_weight_bits=4, max_act_bits=4, target="ecp5"),
    MacroConfig(rows=9, words=4, cell_bits=2, max_weight_bits=4, max_act_bits=4, target="ecp5", gating=False),
]
#: The widest activations with the widest weights, from cells of every width.
WIDEST = [
    MacroConfig(rows=2, words=16 // cell_bits, cell_bits=cell_bits, max_weight_bits=16, max_act_bits=16, weight_sets=1)
    for cell_bits in (1, 2, 4)
]
SMALL = MacroConfig(rows=8, words=4)
#: Settings of the dial; 5 and 6 activation bits do not fill the last group of planes.
DIALS = [
    MacroConfig(rows=4, words=2, planes_per_cycle=2),
    MacroConfig(rows=4, words=4, cell_bits=2, planes_per_cycle=4, max_act_bits=6),
    MacroConfig(rows=4, words=2, planes_per_cycle=8),
    MacroConfig(rows=6, words=2, row_groups=3),
    MacroConfig(rows=4, words=8, cell_bits=1, row_groups=4, planes_per_cycle=2, max_act_bits=5),
    MacroConfig(rows=4, words=2, plane_skipping=True),
    MacroConfig(rows=6, words=4, cell_bits=2, row_groups=2, planes_per_cycle=2, max_act_bits=7, plane_skipping=True),
    MacroConfig(rows=4, words=2, planes_per_cycle=4, max_act_bits=5, plane_skipping=True),
    MacroConfig(rows=3, words=2, row_groups=3, planes_per_cycle=8, max_act_bits=16, plane_skipping=True),
    MacroConfig(rows=9, words=2, pipeline=2, adder="ripple"),
    MacroConfig(rows=9, words=2, pipeline=2, planes_per_cycle=2, plane_skipping=True, target="ice40", gating=False),
    MacroConfig(rows=10, words=4, cell_bits=2, row_groups=2, planes_per_cycle=4, pipeline=1, plane_skipping=True),
    # Storage in memories; a block of three rows is no power of two.
    MacroConfig(rows=4, words=2, row_groups=2, target="ecp5", storage="lut_ram"),
    MacroConfig(
        rows=9,
        words=4,
        cell_bits=2,
        row_groups=3,
        weight_sets=3,
        plane_skipping=True,
        target="gowin",
        storage="lut_ram",
    ),
    MacroConfig(rows=4, words=2, row_groups=4, weight_sets=1, target="ice40", storage="block_ram"),
    MacroConfig(
        rows=18,
        words=2,
        row_groups=3,
        weight_sets=3,
        planes_per_cycle=2,
        pipeline=1,
        target="ecp5",
        storage="block_ram",
    ),
]
MEMORIES = DIALS[-4:]
#: One tree for the planes of both halves of a cycle: without and with registers inside, and in other settings.
PUMPED = [
    MacroConfig(rows=4, words=2, planes_per_cycle=2, double_pumped=True),
    MacroConfig(rows=9, words=4, planes_per_cycle=4, max_act_bits=5, pipeline=2, adder="ripple", double_pumped=True),
    MacroConfig(rows=8, words=4, cell_bits=2, row_groups=2, planes_per_cycle=2, plane_skipping=True, pipeline=1,
                gating=False, double_pumped=True),
    MacroConfig(rows=8, words=2, row_groups=4, planes_per_cycle=8, target="ecp5", storage="block_ram",
                double_pumped=True),
]  # fmt: skip
#: Rows in beats: of one column; three beats, no power of two; beside weights that a beat cuts; and in memories.
BEATS = [
    MacroConfig(rows=3, words=4, cell_bits=2, max_weight_bits=8, write_bits=2),
    MacroConfig(rows=4, words=6, max_act_bits=4, write_bits=8),
    MacroConfig(rows=4, words=4, max_weight_bits=16, max_act_bits=3, write_bits=4),
    MacroConfig(rows=4, words=4, row_groups=2, max_act_bits=4, write_bits=8, target="ecp5", storage="block_ram"),
]


def name(config: MacroConfig) -> str:
    weights = f"{config.words}x{config.cell_bits}b-{config.max_weight_bits}b"
    dial = f"{config.planes_per_cycle}planes-{config.row_groups}groups-{config.pipeline}cuts"
    dial += "-skip" if config.plane_skipping else ""
    dial += "-pumped" if config.double_pumped else ""
    built = f"{config.target}-{config.adder}-{config.storage}-{config.write_bits}w"
    return f"{config.rows}x{weights}-{config.weight_sets}sets-x{config.max_act_bits}b-{built}-{dial}"


class Session:
    """Drives the macro's pins, one cycle at a time; the scoreboard sees what crosses them.

    Attributes
    ----------
    writes, operations : collections.deque of int
        Payloads that wait to be transferred.
    cycles : int
        Cycles so far.
    written, taken, answered, planes, dropped, matched : list of int
        Cycles of the transfers on each stream, of the planes, of the write errors and of the best matches.
    """

    def __init__(self, ctx, dut: Macro, seed: int, stall: float):
        self.ctx = ctx
        self.dut = dut
        self.random = random.Random(seed)
        self.stall = stall
        self.scoreboard = MacroScoreboard(dut.config)
        self.writes: deque[int] = deque()
        self.operations: deque[int] = deque()
        self.cycles = 0
        self.written, self.taken, self.answered, self.planes, self.dropped = [], [], [], [], []
        self.matched: list[int] = []

    def _go(self) -> bool:
        return self.random.random() >= self.stall

    def _offer(self, stream, layout, queue: deque[int], pending: bool) -> bool:
        valid = bool(queue) and (pending or self._go())
        self.ctx.set(stream.valid, valid)
        if valid:
            self.ctx.set(stream.payload, layout.from_bits(queue[0]))
        return valid

    async def cycle(self, *, take: bool | None = None) -> None:
        """One clock cycle; ``take`` forces ready of the result stream."""
        ctx, dut, now = self.ctx, self.dut, self.cycles
        write = self._offer(dut.write, WriteLayout(dut.config), self.writes, self._write_waits)
        operation = self._offer(dut.i_stream, OperationLayout(dut.config), self.operations, self._operation_waits)
        ctx.set(dut.o_stream.ready, self._go() if take is None else take)
        if ctx.get(dut.plane):
            self.planes.append(now)
        if ctx.get(dut.write_error):
            self.dropped.append(now)
        self._write_waits = write and not ctx.get(dut.write.ready)
        self._operation_waits = operation and not ctx.get(dut.i_stream.ready)
        if write and not self._write_waits:
            self.scoreboard.model.write(self.writes.popleft())
            self.written.append(now)
        if operation and not self._operation_waits:
            self.scoreboard.operation(self.operations.popleft())
            self.taken.append(now)
        if ctx.get(dut.o_stream.valid) and ctx.get(dut.o_stream.ready):
            self.scoreboard.result(ctx.get(dut.o_stream.payload.as_value()))
            self.answered.append(now)
        if dut.config.best_match and ctx.get(dut.best.valid):
            self.scoreboard.best(ctx.get(dut.best.index), ctx.get(dut.best.distance))
            self.matched.append(now)
        self.cycles += 1
        await ctx.tick()

    _write_waits = False
    _operation_waits = False

    async def drain(self, limit: int = 20_000) -> None:
        """Cycles until nothing waits and every operation is answered."""
        end = self.cycles + limit
        while self.writes or self.operations or self.scoreboard.expected or self.scoreboard.expected_best:
            assert self.cycles < end, f"{len(self.scoreboard.expected)} results missing after {limit} cycles"
            await self.cycle()

    def write(self, weight_set: int, weights: np.ndarray, bits: int, signed: bool) -> None:
        """Queue a whole weight matrix."""
        for row, values in enumerate(weights):
            self.writes.extend(row_payloads(self.dut.config, weight_set, row, bits, signed, values))

    def operate(
        self, weight_set: int, x, bits: int, signed: bool, operation: int = Operation.MAC, idle: int = 0
    ) -> None:
        """Queue an operation."""
        self.operations.append(operation_payload(self.dut.config, weight_set, x, bits, signed, operation, idle))


def simulate(
    config: MacroConfig, script: Callable[[Session], Awaitable[None]], *, seed: int = 1, stall: float = 0.0
) -> Session:
    """Run a script against a macro and return what was observed."""
    dut = Macro(config)
    sessions = []

    async def testbench(ctx):
        session = Session(ctx, dut, seed, stall)
        sessions.append(session)
        await script(session)
        await session.drain()
        session.scoreboard.finish(len(session.taken))

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    if config.double_pumped:
        # Its first edge is that of the other clock.
        simulator.add_clock(0.5e-8, phase=0.5e-8, domain="fast")
    simulator.add_testbench(testbench)
    simulator.run()
    print(f"seed {seed}, {sessions[0].cycles} cycles")
    return sessions[0]


def matrices(rng: np.random.Generator, config: MacroConfig, bits: int, signed: bool) -> list[np.ndarray]:
    """Weight matrices: all bits one, the most negative, the largest, random."""
    shape = (config.rows, config.outputs(bits))
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    ones = -1 if signed else high
    return [*(np.full(shape, value) for value in sorted({ones, low, high})), random_integers(rng, bits, signed, shape)]


def vectors(rng: np.random.Generator, config: MacroConfig, bits: int, signed: bool) -> list[np.ndarray]:
    """Activations: all bits one, the most negative, the largest, one row, random."""
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    ones = -1 if signed else high
    one_row = np.zeros(config.rows, np.int64)
    one_row[rng.integers(config.rows)] = low or high
    full = [np.full(config.rows, value) for value in sorted({ones, low, high})]
    return [*full, one_row, random_integers(rng, bits, signed, config.rows)]


@pytest.mark.parametrize("config", [*GEOMETRIES, *DIALS, *PUMPED, *BEATS], ids=name)
def test_every_format_is_exact(config):
    check_formats(config, range(1, config.max_act_bits + 1))


@pytest.mark.parametrize("config", WIDEST, ids=name)
def test_the_widest_formats_are_exact(config):
    check_formats(config, (1, 16))


def check_formats(config: MacroConfig, act_widths: Iterable[int]) -> None:
    """Activations of these widths with weights of every width, signed and not: extremes and random numbers."""
    rng = np.random.default_rng(7)

    async def script(session):
        for bits in config.weight_widths:
            for signed in (False, True):
                for weights in matrices(rng, config, bits, signed):
                    weight_set = int(rng.integers(config.weight_sets))
                    session.write(weight_set, weights, bits, signed)
                    while session.writes:
                        await session.cycle()
                    for act_bits in act_widths:
                        for act_signed in (False, True):
                            for x in vectors(rng, config, act_bits, act_signed):
                                idle = int(rng.integers(1 << config.groups)) if rng.integers(3) == 0 else 0
                                session.operate(weight_set, x, act_bits, act_signed, idle=idle)
                    await session.drain()

    simulate(config, script)


@pytest.mark.parametrize("act_bits", range(1, 9))
def test_latency_is_the_declared_constant(act_bits):
    async def script(session):
        session.write(0, np.ones((SMALL.rows, 4), np.int64), 4, True)
        await session.drain()
        session.operate(0, np.ones(SMALL.rows, np.int64), act_bits, False)

    session = simulate(SMALL, script)
    assert session.answered[0] - session.taken[0] == session.dut.latency + act_bits - 1
    assert session.dut.latency == 4


@pytest.mark.parametrize(
    "config",
    [
        # As many planes per cycle as there are leave a single step, and nothing to keep.
        MacroConfig(rows=4, words=4, max_act_bits=1, planes_per_cycle=1),
        MacroConfig(rows=4, words=4, max_act_bits=8, planes_per_cycle=8),
        # One row group, and one set, need no bits of a memory's address.
        MacroConfig(rows=4, words=4, weight_sets=4, target="ecp5", storage="block_ram"),
        MacroConfig(rows=4, words=4, weight_sets=1, row_groups=4, target="ecp5", storage="lut_ram"),
    ],
    ids=name,
)
def test_no_wire_of_the_verilog_is_without_bits(config, tmp_path):
    """Verilog has no empty wires."""
    assert "[-1:0]" not in write_verilog(Macro(config), tmp_path, "macro").read_text()


def test_operations_follow_one_another_without_a_bubble():
    rng = np.random.default_rng(3)
    widths = [1, 8, 8, 3, 1, 1, 2, 5, 4, 8, 7, 6, 1]

    async def script(session):
        for weight_set in range(2):
            session.write(weight_set, random_integers(rng, 4, True, (SMALL.rows, 4)), 4, True)
        await session.drain()
        for index, bits in enumerate(widths):
            session.operate(index % 2, random_integers(rng, bits, True, SMALL.rows), bits, True)

    session = simulate(SMALL, script)
    assert np.diff(session.taken).tolist() == widths[:-1]
    assert np.diff(session.answered).tolist() == widths[1:]
    assert session.planes == list(range(session.taken[0] + 1, session.taken[0] + 1 + sum(widths)))


@pytest.mark.parametrize("config", [*DIALS, *PUMPED], ids=name)
def test_every_setting_of_the_dial_takes_its_declared_cycles(config):
    rng = np.random.default_rng(5)
    cycles = []

    async def script(session):
        session.write(0, random_integers(rng, 8, True, (config.rows, config.outputs(8))), 8, True)
        await session.drain()
        for bits in range(1, config.max_act_bits + 1):
            for signed in (False, True):
                # Numbers of every length, so that planes are missing at either end and between.
                short = int(rng.integers(1, bits + 1))
                some = random_integers(rng, short, signed, config.rows) << bits - short >> int(rng.integers(bits))
                for x in [*vectors(rng, config, bits, signed), np.zeros(config.rows, np.int64), some]:
                    session.operate(0, x, bits, signed)
                    cycles.append(occupied_cycles(config, x, bits, signed))

    session = simulate(config, script)
    latency = declared_latency(config)
    assert session.dut.latency == latency
    assert np.diff(session.taken).tolist() == cycles[:-1]
    assert [out - into for into, out in zip(session.taken, session.answered, strict=True)] == [
        latency + count - 1 for count in cycles
    ]
    assert session.planes == list(range(session.taken[0] + 1, session.taken[0] + 1 + sum(cycles)))


@pytest.mark.parametrize(
    ("x", "signed", "cycles"),
    [
        ([0, 0, 0, 0], True, 1),
        ([-1, 0, 0, 0], True, 1),
        ([-2, 1, 0, 0], True, 2),
        ([-128, 0, 0, 0], True, 1),
        ([5, 5, 0, 0], True, 2),
        ([-3, 4, 0, 0], True, 3),
        # Blocks of two rows are as short as their own numbers.
        ([-3, 4, 0, 0], False, 7),
        ([-3, 4, 0, -1], True, 4),
        ([0, 0, 0, -128], True, 1),
        ([1, 0, 0, -128], True, 2),
    ],
)
def test_planes_that_contribute_nothing_cost_no_cycle(x, signed, cycles):
    config = MacroConfig(rows=4, words=2, row_groups=2, plane_skipping=True)
    array = np.array(x) if signed else np.array(x) & 255

    async def script(session):
        session.write(0, np.full((4, 1), -100), 8, True)
        await session.drain()
        session.operate(0, array, 8, signed)

    session = simulate(config, script)
    assert len(session.planes) == cycles


@pytest.mark.parametrize("stall", [0.2, 0.5, 0.9])
@pytest.mark.parametrize(
    "config", [GEOMETRIES[1], SMALL, DIALS[4], DIALS[6], DIALS[10], *MEMORIES, *PUMPED, BEATS[1]], ids=name
)
def test_stalls_lose_and_repeat_nothing(config, stall):
    rng = np.random.default_rng(11)

    async def script(session):
        for _ in range(25):
            weight_set = int(rng.integers(config.weight_sets))
            bits, signed = int(rng.choice(config.weight_widths)), bool(rng.integers(2))
            session.write(
                weight_set, random_integers(rng, bits, signed, (config.rows, config.outputs(bits))), bits, signed
            )
            while session.writes:
                await session.cycle()
            for _ in range(4):
                act_bits, act_signed = int(rng.integers(1, config.max_act_bits + 1)), bool(rng.integers(2))
                x = random_integers(rng, act_bits, act_signed, config.rows)
                idle = int(rng.integers(1 << config.groups))
                session.operate(weight_set, x, act_bits, act_signed, idle=idle)
            while session.operations:
                await session.cycle()

    session = simulate(config, script, seed=5, stall=stall)
    assert len(session.answered) == 100


def test_a_stalled_result_stops_the_array_and_waits():
    async def script(session):
        session.write(0, np.arange(32).reshape(8, 4) % 8, 4, True)
        await session.drain()
        for value in range(8):
            session.operate(0, np.full(SMALL.rows, value), 3, False)
        for _ in range(40):
            await session.cycle(take=False)
        # The driver, the sum register, the accumulator and the result register hold what was taken.
        assert session.answered == []
        assert 2 <= len(session.taken) <= 4
        assert session.planes[-1] < session.cycles - 20

    assert len(simulate(SMALL, script).answered) == 8


@pytest.mark.parametrize("dial", [{}, {"planes_per_cycle": 2}, {"row_groups": 3}, {"plane_skipping": True}], ids=str)
def test_impossible_operations_are_answered_in_order_with_an_error(dial):
    config = MacroConfig(rows=3, words=4, weight_sets=3, **dial)
    impossible = [(0, 0), (0, 9), (0, 15), (3, 8), (3, 0)]

    async def script(session):
        session.write(2, np.full((3, 4), -8), 4, True)
        await session.drain()
        for weight_set, bits in impossible:
            session.operate(2, [1, 2, 3], 2, False)
            session.operate(weight_set, [255, 255, 255], bits, True)

    session = simulate(config, script)
    # Each pair takes the planes of the possible operation, then one cycle of error, which is no plane.
    cycles = occupied_cycles(config, np.array([1, 2, 3]), 2, False)
    assert np.diff(session.answered).tolist() == [1, cycles] * 4 + [1]
    assert len(session.planes) == cycles * len(impossible)


def test_writes_that_do_not_exist_are_dropped_and_reported():
    config = MacroConfig(rows=3, words=4, cell_bits=2, weight_sets=3)

    async def script(session):
        session.write(0, np.ones((3, 4), np.int64), 2, True)
        await session.drain()
        good = WriteLayout(config).const({"set": 0, "row": 0, "width": 0, "signed": 1, "data": 0x55})
        for broken in ({"set": 3}, {"row": 3}, {"width": 3}):
            fields = {"set": 0, "row": 0, "width": 1, "signed": 0, "data": 0xFF} | broken
            payload = WriteLayout(config).const(fields).as_bits()
            assert not session.scoreboard.model.write(payload)
            session.writes.append(payload)
            session.writes.append(good.as_bits())
        session.operate(0, [1, 1, 1], 1, False)
        while session.writes:
            await session.cycle()
        session.operate(0, [1, 2, 3], 2, False)
        await session.cycle()

    session = simulate(config, script)
    broken = session.written[3::2]
    assert session.dropped == [cycle + 1 for cycle in broken]


def test_writing_an_idle_set_costs_no_cycle():
    rng = np.random.default_rng(13)
    operations = 12

    async def script(session):
        for weight_set in range(2):
            session.write(weight_set, random_integers(rng, 8, True, (SMALL.rows, 2)), 8, True)
        await session.drain()
        for _ in range(operations):
            session.operate(0, random_integers(rng, 4, True, SMALL.rows), 4, True)
        for _ in range(3):
            session.write(1, random_integers(rng, 4, False, (SMALL.rows, 4)), 4, False)
        await session.drain()
        session.operate(1, random_integers(rng, 8, False, SMALL.rows), 8, False)

    session = simulate(SMALL, script)
    assert np.diff(session.taken[:operations]).tolist() == [4] * (operations - 1)
    assert np.diff(session.written[-24:]).tolist() == [1] * 23


def test_a_write_to_the_computing_set_waits_until_it_is_idle():
    rng = np.random.default_rng(17)

    async def script(session):
        session.write(0, random_integers(rng, 4, True, (SMALL.rows, 4)), 4, True)
        await session.drain()
        session.operate(0, random_integers(rng, 8, True, SMALL.rows), 8, True)
        await session.cycle()
        # Another format, while results of the old one are still in the pipeline.
        session.write(0, random_integers(rng, 8, False, (SMALL.rows, 2)), 8, False)
        await session.drain()
        session.operate(0, random_integers(rng, 8, True, SMALL.rows), 8, True)

    session = simulate(SMALL, script)
    assert session.written[8] == session.taken[0] + 8 + 1


def test_a_row_written_with_the_operation_is_seen_by_it():
    async def script(session):
        session.write(0, np.zeros((SMALL.rows, 4), np.int64), 4, True)
        await session.drain()
        for value in (3, -5, 7):
            session.writes.extend(row_payloads(SMALL, 0, 2, 4, True, [value] * 4))
            session.operate(0, [1] * SMALL.rows, 1, False)
            await session.drain()

    session = simulate(SMALL, script)
    assert session.written[-3:] == session.taken


def test_each_set_remembers_its_own_format():
    config = MacroConfig(rows=4, words=4, cell_bits=2, max_weight_bits=8, weight_sets=4)
    rng = np.random.default_rng(19)
    formats = [(2, True), (8, False), (4, True), (2, False)]

    async def script(session):
        for weight_set, (bits, signed) in enumerate(formats):
            session.write(weight_set, random_integers(rng, bits, signed, (4, config.outputs(bits))), bits, signed)
        await session.drain()
        for _ in range(10):
            for weight_set in range(4):
                session.operate(weight_set, random_integers(rng, 3, True, 4), 3, True)

    simulate(config, script)


def test_stale_rows_contribute_nothing_where_the_activation_is_zero():
    async def script(session):
        session.write(0, np.full((SMALL.rows, 4), -1), 4, True)
        session.writes.extend(row_payloads(SMALL, 0, 5, 8, False, [200, 3]))
        await session.drain()
        x = np.zeros(SMALL.rows, np.int64)
        x[5] = -7
        session.operate(0, x, 4, True)

    simulate(SMALL, script)


def test_reference_is_the_sum_of_products():
    rng = np.random.default_rng(23)
    x, w = rng.integers(-128, 128, (3, 5)), rng.integers(-128, 128, (5, 4))
    expected = [[sum(int(a) * int(b) for a, b in zip(vector, column, strict=True)) for column in w.T] for vector in x]
    assert dot_products(x, w).tolist() == expected
    assert dot_products(x[0], w).tolist() == expected[0]


def test_reference_refuses_what_it_cannot_answer():
    ones = np.ones((2, 3), np.int64)
    with pytest.raises(TypeError, match="x must hold integers, not float64"):
        dot_products(np.ones(2), ones)
    with pytest.raises(ValueError, match=r"x of shape \(3,\) cannot multiply w of shape \(2, 3\)"):
        dot_products([1, 2, 3], ones)
    with pytest.raises(ValueError, match="2 products up to 4294967296 x 2147483648 could leave int64"):
        dot_products([2**32, 0], np.array([[2**31], [0]]))


COSIM_GEOMETRIES = [
    MacroConfig(rows=16, words=8),
    MacroConfig(rows=5, words=8, cell_bits=2, max_weight_bits=16, weight_sets=3),
    MacroConfig(rows=12, words=8, planes_per_cycle=2, row_groups=3),
    MacroConfig(rows=8, words=8, cell_bits=2, planes_per_cycle=2, row_groups=2, max_act_bits=7, plane_skipping=True),
    MacroConfig(rows=20, words=8, row_groups=2, pipeline=2, adder="ripple"),
    MacroConfig(rows=6, words=8, cell_bits=2, weight_sets=3, storage="latches"),
    MacroConfig(rows=6, words=6, write_bits=8),
    MacroConfig(rows=6, words=6, write_bits=4, storage="latches"),
    MacroConfig(rows=12, words=8, row_groups=3, planes_per_cycle=2, target="ecp5", storage="lut_ram"),
    MacroConfig(rows=12, words=8, row_groups=6, pipeline=0, target="ecp5", storage="block_ram"),
]


@pytest.mark.cosim
@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("config", COSIM_GEOMETRIES, ids=name)
def test_macro_bench(config, simulator, tmp_path):
    source = write_verilog(Macro(config), tmp_path, "macro")
    result = run_bench(source, "macro", "tb_macro", simulator=simulator, env={"MACRO": json.dumps(asdict(config))})
    assert len(result.passed) == (11 if simulator == "icarus" else 10)


#: Modules of the same names, as a foundry might have them: without the define there would be two of each.
FOUNDRY_CELLS = """
module cimarron_clock_gate (input clk, input enable, output gated);
  wire low;
  cimarron_latch hold (.gate(~clk), .d(~enable), .q(low));
  nor (gated, ~clk, low);
endmodule

module cimarron_latch #(parameter WIDTH = 1) (input gate, input [WIDTH-1:0] d, output reg [WIDTH-1:0] q);
  always @(gate, d) if (gate) q <= d;
endmodule
"""


@pytest.mark.cosim
def test_cells_of_a_foundry_take_the_place_of_latches_and_clock_gates(tmp_path):
    config = MacroConfig(rows=6, words=6, write_bits=4, storage="latches")
    source = write_verilog(Macro(config), tmp_path, "macro")
    source.write_text(f"`define CIMARRON_FOUNDRY_CELLS\n{source.read_text()}{FOUNDRY_CELLS}")
    environment = {"MACRO": json.dumps(asdict(config))}
    assert len(run_bench(source, "macro", "tb_macro", simulator="icarus", env=environment).passed) == 11
