"""Bench of the operations beyond multiply-accumulate, between ordinary ones; the model sees what was on the pins."""

from collections import deque
from collections.abc import Callable

import cocotb
from cimarron.macro.best_match import BestMatch
from cimarron.macro.ports import BestLayout, Operation, OperationLayout
from cocotb.triggers import RisingEdge
from tb_macro import CONFIG, FILL, Environment
from tblib.macro import (
    MacroScoreboard,
    occupied_cycles,
    operation_payload,
    operations_of,
    random_integers,
    unpack_fields,
)
from tblib.stream import StreamMonitor, StreamPins

OPERATIONS = operations_of(CONFIG)


class BestMatchMonitor(StreamMonitor):
    """Watches results, and that a best match comes ``latency`` cycles after a distance, whatever else happens.

    Parameters
    ----------
    pins : StreamPins
        Of the results.
    callback : callable
        As of `StreamMonitor`.
    best : cocotb handle
    scoreboard : MacroScoreboard
    """

    def __init__(self, pins: StreamPins, callback: Callable[[int], None], best, scoreboard: MacroScoreboard):
        super().__init__(pins, callback)
        self.pin = best
        self.scoreboard = scoreboard
        self.waiting = 0
        self.due = deque([False] * BestMatch(CONFIG).latency)
        self.seen = 0

    def sample(self) -> None:
        """Look at the pins."""
        super().sample()
        best = unpack_fields(BestLayout(CONFIG), int(self.pin.value))
        assert best["valid"] == self.due.popleft(), f"best match valid is {best['valid']}"
        self.due.append(len(self.scoreboard.expected_best) > self.waiting)
        if best["valid"]:
            self.scoreboard.best(best["index"], best["distance"])
            self.seen += 1
        self.waiting = len(self.scoreboard.expected_best)


class MixedEnvironment(Environment):
    """The environment of the macro, with operations of every kind."""

    def monitor(self, pins: StreamPins, seen: Callable[[int], None]) -> StreamMonitor:
        """A monitor of one of the streams; that of the results sees best matches, too."""
        if pins is not self.pins[2] or not CONFIG.best_match:
            return super().monitor(pins, seen)
        self.best = BestMatchMonitor(pins, seen, self.dut.best, self.scoreboard)
        return self.best

    searches = 0

    def operate_any(self, weight_set: int, operation: Operation) -> int:
        """Queue an operation on random numbers and return its cycles."""
        bits, signed = int(self.rng.integers(1, CONFIG.max_act_bits + 1)), bool(self.rng.integers(2))
        x = random_integers(self.rng, bits, signed, CONFIG.vector_words)
        idle = self.idle()
        self.operations.queue.append(operation_payload(CONFIG, weight_set, x, bits, signed, operation, idle))
        self.searches += CONFIG.best_match and operation is Operation.XOR and idle != (1 << CONFIG.groups) - 1
        return occupied_cycles(CONFIG, x, bits, signed, operation)

    async def finish(self, operations: int) -> None:
        """Wait for that many results and everything that follows them."""
        await self.until(2, operations)
        for _ in range(BestMatch(CONFIG).latency + 1):
            await RisingEdge(self.dut.clk)
        self.check(operations)


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.3, 0.8])
async def random_operations(dut, stall):
    bench = MixedEnvironment(dut, stall)
    await bench.start()
    planes = operations = writes = 0
    for _ in range(10):
        weight_set = int(bench.rng.integers(CONFIG.weight_sets))
        bench.fill(weight_set, int(bench.rng.choice(CONFIG.weight_widths)), bool(bench.rng.integers(2)))
        writes += FILL
        await bench.until(0, writes)
        # Multiply-accumulates lie between the others.
        kinds = [kind for other in bench.rng.permutation(OPERATIONS) for kind in (Operation(other), Operation.MAC)]
        planes += sum(bench.operate_any(weight_set, kind) for kind in kinds)
        operations += len(kinds)
        await bench.until(1, operations)
    await bench.finish(operations)
    assert bench.counts["planes"] == planes
    assert bench.counts["errors"] == 0
    if CONFIG.best_match:
        assert bench.best.seen == bench.searches > 0


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.5])
async def operations_that_do_not_exist(dut, stall):
    bench = MixedEnvironment(dut, stall)
    await bench.start()
    for weight_set in range(CONFIG.weight_sets):
        bench.fill(weight_set, CONFIG.weight_widths[-1], True)
    await bench.until(0, FILL * CONFIG.weight_sets)
    layout = OperationLayout(CONFIG)
    impossible = [
        (weight_set, bits, code)
        for weight_set in range(2 ** layout["set"].width)
        for bits in range(2 ** layout["bits"].width)
        for code in range(2 ** layout["operation"].width)
        if weight_set >= CONFIG.weight_sets or not 1 <= bits <= CONFIG.max_act_bits or code not in OPERATIONS
    ]
    planes = 0
    for index in bench.rng.permutation(len(impossible))[:60].tolist():
        weight_set, bits, code = impossible[index]
        x = random_integers(bench.rng, CONFIG.max_act_bits, False, CONFIG.vector_words)
        bench.operations.queue.append(operation_payload(CONFIG, weight_set, x, bits, True, code))
        planes += bench.operate_any(0, OPERATIONS[index % len(OPERATIONS)])
    operations = len(bench.operations.queue)
    await bench.finish(operations)
    assert bench.counts["planes"] == planes


@cocotb.test(skip=CONFIG.weight_sets == 1)
async def idle_sets_are_written_without_a_lost_cycle(dut):
    bench = MixedEnvironment(dut, 0.0)
    await bench.start()
    for weight_set in range(CONFIG.weight_sets):
        bench.fill(weight_set, CONFIG.weight_widths[-1], True)
    written = CONFIG.weight_sets * FILL
    await bench.until(0, written)
    kinds = OPERATIONS * 4
    planes = sum(bench.operate_any(0, kind) for kind in kinds)
    for _ in range(2):
        bench.fill(CONFIG.weight_sets - 1, CONFIG.cell_bits, False)
    await bench.until(1, 1)
    start = bench.counts["cycles"], bench.counts["planes"]
    while bench.counts["planes"] < planes:
        await RisingEdge(dut.clk)
    assert bench.counts["cycles"] - start[0] == planes - start[1]
    await bench.until(0, written + 2 * FILL)
    await bench.finish(len(kinds))
