"""The adapter of custom instructions, between a core that knows no patience and an engine that needs some."""

import random
from collections import deque

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

#: Commands the core issues before it has a response: one in its execute, one in its memory stage.
MAX_IN_FLIGHT = 2


class Core:
    """Issues commands and takes responses as the core does; never looks at ``request.ready``."""

    def __init__(self, dut, rng: random.Random, issue: float, accept: float) -> None:
        self.dut, self.rng, self.issue, self.accept = dut, rng, issue, accept
        self.issued: list[int] = []
        self.answers: list[int] = []
        self.ready: list[int] = []

    async def run(self, cycles: int) -> None:
        dut = self.dut
        for _ in range(cycles):
            command = self.rng.getrandbits(74)
            response_ready = self.rng.random() < self.accept
            in_flight = len(self.issued) - len(self.answers)
            issue = in_flight < MAX_IN_FLIGHT and self.rng.random() < self.issue
            dut.cpu__request__valid.value = issue
            dut.cpu__request__payload.value = command
            dut.cpu__response__ready.value = response_ready
            await RisingEdge(dut.clk)
            self.ready.append(int(dut.cpu__request__ready.value))
            if issue:
                self.issued.append(command)
            if response_ready and int(dut.cpu__response__valid.value):
                self.answers.append(int(dut.cpu__response__payload.value))
        dut.cpu__request__valid.value = 0
        dut.cpu__response__ready.value = 1
        while len(self.answers) < len(self.issued):
            await RisingEdge(dut.clk)
            if int(dut.cpu__response__valid.value):
                self.answers.append(int(dut.cpu__response__payload.value))


class PatientEngine:
    """Takes a command now and then, and answers it some cycles later with the sum of its fields."""

    def __init__(self, dut, rng: random.Random, accept: float, max_latency: int) -> None:
        self.dut, self.rng, self.accept, self.max_latency = dut, rng, accept, max_latency
        self.taken: list[int] = []

    async def run(self) -> None:
        dut = self.dut
        waiting: deque[tuple[int, int]] = deque()
        cycle = 0
        while True:
            ready = self.rng.random() < self.accept
            dut.engine__request__ready.value = ready
            answering = bool(waiting) and waiting[0][0] <= cycle
            dut.engine__response__valid.value = answering
            dut.engine__response__payload.value = waiting[0][1] if answering else self.rng.getrandbits(32)
            await RisingEdge(dut.clk)
            if answering and int(dut.engine__response__ready.value):
                waiting.popleft()
            if ready and int(dut.engine__request__valid.value):
                command = int(dut.engine__request__payload.value)
                self.taken.append(command)
                waiting.append((cycle + 1 + self.rng.randint(0, self.max_latency), answer(command)))
            cycle += 1


def answer(command: int) -> int:
    """The engine's reply, a function of the whole command."""
    return (command ^ command >> 32 ^ command >> 64) & 0xFFFF_FFFF


async def start(dut) -> None:
    for name in (
        "cpu__request__valid", "cpu__request__payload", "cpu__response__ready",
        "engine__request__ready", "engine__response__valid", "engine__response__payload",
    ):  # fmt: skip
        getattr(dut, name).value = 0
    dut.rst.value = 1
    Clock(dut.clk, 10, unit="ns").start()
    for _ in range(3):
        await RisingEdge(dut.clk)
    dut.rst.value = 0


async def exchange(dut, *, issue: float, accept: float, engine_accept: float, max_latency: int) -> Core:
    """Random traffic; checks that every command arrives once, in order, and that its own answer comes back."""
    rng = random.Random(cocotb.RANDOM_SEED)
    await start(dut)
    core = Core(dut, rng, issue, accept)
    engine = PatientEngine(dut, rng, engine_accept, max_latency)
    task = cocotb.start_soon(engine.run())
    await core.run(400)
    task.cancel()
    assert len(core.issued) > 10
    assert engine.taken == core.issued
    assert core.answers == [answer(command) for command in core.issued]
    return core


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(issue=[0.3, 1.0], accept=[0.3, 1.0], engine_accept=[0.2, 1.0], max_latency=[0, 7])
async def random_engine(dut, issue: float, accept: float, engine_accept: float, max_latency: int) -> None:
    await exchange(dut, issue=issue, accept=accept, engine_accept=engine_accept, max_latency=max_latency)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def one_command_per_cycle(dut) -> None:
    core = await exchange(dut, issue=1.0, accept=1.0, engine_accept=1.0, max_latency=0)
    assert len(core.issued) == 400


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def ready_whatever_happens(dut) -> None:
    core = await exchange(dut, issue=1.0, accept=0.5, engine_accept=0.1, max_latency=20)
    assert set(core.ready) == {1}
