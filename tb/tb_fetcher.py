"""Bench of the engine that fetches its own jobs: in order, none lost, and never at a loss."""

import os
import struct
from random import Random

import cocotb
from cimarron.config import load_config
from cimarron.isa import JOB_BYTES, JOB_WORDS, RAM_BASE, EngineError, Instruction, Opcode, Register, pack_job
from cocotb.triggers import ClockCycles, FallingEdge
from tblib.activations import expect_model
from tblib.engine import start
from tblib.engine_model import EngineModel, JobError
from tblib.jobs import job_words, random_mac

CONFIG = load_config(os.environ.get("CIMARRON_CONFIG", "tiny")).engine
BEATS = JOB_BYTES // CONFIG.port_bytes

#: Cycles of a short LOAD beyond those in which its descriptor is collected, and of a long one beyond its writes.
CHECK_CYCLES, LOAD_LATENCY = 2, 4


class Image:
    """Memory from RAM_BASE on, filled from the start with whole beats."""

    def __init__(self, rng: Random):
        self.rng = rng
        self.content = bytearray()

    def place(self, data: bytes) -> int:
        """Append the data; returns its byte address."""
        address = RAM_BASE + len(self.content)
        self.content += data
        self.content += self.rng.randbytes(-len(data) % CONFIG.port_bytes)
        return address

    def place_jobs(self, jobs: list[list[int]]) -> int:
        """Append descriptors."""
        return self.place(b"".join(struct.pack(f"<{JOB_WORDS}I", *words) for words in jobs))

    def random_job(self) -> list[int]:
        """A MAC or LOAD job, what it reads from memory placed before."""
        if self.rng.random() < 0.3:
            length = self.rng.randrange(1, 120)
            lines = (CONFIG.act_buffer_bytes - length) // CONFIG.act_port_bytes
            destination = self.rng.randrange(lines) * CONFIG.act_port_bytes
            source = self.place(self.rng.randbytes(length))
            return pack_job(Opcode.LOAD, source=source, destination=destination, length=length)
        fields, stream = random_mac(self.rng, CONFIG, limit=4)
        return job_words({**fields, "weight_addr": self.place(stream)})


async def run_jobs(dut, counts: list[int], *, pushed: float = 0.0, **pressure: float) -> None:
    """Groups of random jobs, each handed over as one, some pushed word by word in between."""
    rng = Random(cocotb.RANDOM_SEED)
    image = Image(rng)
    groups = [[image.random_job() for _ in range(count)] for count in counts]
    addresses = [image.place_jobs(group) for group in groups]
    image.place(bytes(CONFIG.port_bytes))
    rng, port = await start(dut, image.content, **pressure)
    model = EngineModel(CONFIG, image.content, RAM_BASE)
    model.activations[:] = rng.randbytes(CONFIG.act_buffer_bytes)
    await port.write_act(0, bytes(model.activations))
    for group, address in zip(groups, addresses, strict=True):
        if rng.random() < pushed:
            for words in group:
                await port.push(words)
        elif rng.random() < 0.5:
            await port.fetch(address, len(group))
        else:
            while await port.bus(Register.STATUS) & 4:
                pass
            await port.bus(Register.FETCH_ADDRESS, address)
            await port.bus(Register.FETCH_JOBS, len(group))
        for words in group:
            model.execute(words)
    await expect_model(port, model)


@cocotb.test()
async def one_job_is_fetched(dut):
    await run_jobs(dut, [1])


@cocotb.test()
async def jobs_are_fetched_in_order(dut):
    await run_jobs(dut, [9, 1, 4])


@cocotb.test()
async def jobs_are_fetched_from_slow_memory(dut):
    await run_jobs(dut, [5, 3], stall=0.4, late=0.4)


@cocotb.test()
async def fetched_and_pushed_jobs_keep_their_order(dut):
    await run_jobs(dut, [1, 2, 3, 1, 1, 2], pushed=0.5, stall=0.2, late=0.2)


def load(length: int) -> list[int]:
    return pack_job(Opcode.LOAD, source=RAM_BASE, destination=0, length=length)


async def cycles_until(dut, pin, value: int = 1) -> int:
    """Cycles to the first falling edge at which the pin has the value."""
    for cycle in range(10_000):
        if pin.value == value:
            return cycle
        await FallingEdge(dut.clk)
    raise AssertionError(f"{pin._name} never became {value}")


@cocotb.test()
async def jobs_follow_one_another(dut):
    """A short job takes as long as the next descriptor needs; the last two of many long ones only their own time."""
    image = Image(Random(cocotb.RANDOM_SEED))
    image.place(bytes(CONFIG.act_buffer_bytes))
    half = CONFIG.act_buffer_bytes // 2
    addresses = [(length, image.place_jobs([load(length)] * 6)) for length in (1, half)]
    _, port = await start(dut, image.content)
    for length, address in addresses:
        await port.fetch(address, 6)
        gaps = []
        for _ in range(6):
            gaps.append(1 + await cycles_until(dut, dut.monitor__retired))
            await FallingEdge(dut.clk)
        writes = -(-length // CONFIG.act_port_bytes)
        assert gaps[-2:] == [max(BEATS + CHECK_CYCLES, writes + LOAD_LATENCY)] * 2
        assert await port.wait_idle() == EngineError.NONE


@cocotb.test()
async def a_refused_hand_over_is_an_error_for_the_next_access(dut):
    """Not only for whoever asked: the other port may be a cycle behind."""
    _, port = await start(dut, bytearray(CONFIG.port_bytes))
    for later in range(1, 5):
        asked = cocotb.start_soon(port.instruction(Instruction.FETCH, RAM_BASE + 1, 1))
        for _ in range(later):
            await FallingEdge(dut.clk)
        assert await port.bus(Register.ERROR) == EngineError.BAD_FETCH
        await asked
        assert await port.read(Register.ERROR_INFO) == RAM_BASE + 1
        await port.write(Register.CONTROL, 1)


@cocotb.test()
async def what_cannot_be_fetched_ends_in_an_error(dut):
    image = Image(Random(cocotb.RANDOM_SEED))
    good = image.place_jobs([load(4)] * 3)
    bad = image.place_jobs([load(4), load(0), load(4)])
    end = RAM_BASE + len(image.content)
    top = 2**32 - CONFIG.port_bytes
    rng, port = await start(dut, image.content)
    cases = [
        (good + 1, 1, EngineError.BAD_FETCH, good + 1, 0),
        (good + CONFIG.port_bytes // 2, 1, EngineError.BAD_FETCH, good + CONFIG.port_bytes // 2, 0),
        (good, 0, EngineError.BAD_FETCH, good, 0),
        (bad, 3, EngineError.BAD_SHAPE, 3, 1),
        (bad + 2 * JOB_BYTES, 2, EngineError.BAD_MEMORY_ADDRESS, end, 1),
        (end + 64, 1, EngineError.BAD_MEMORY_ADDRESS, end + 64, 0),
        (top, 2**32 - 1, EngineError.BAD_MEMORY_ADDRESS, top, 0),
    ]
    for address, jobs, code, info, retired in cases:
        if rng.random() < 0.5:
            await port.fetch(address, jobs)
        else:
            await port.write(Register.FETCH_ADDRESS, address)
            await port.write(Register.FETCH_JOBS, jobs)
        assert await port.wait_idle() == code
        assert await port.read(Register.ERROR_INFO) == info
        assert await port.read(Register.RETIRED) <= retired
        assert await port.instruction(Instruction.FETCH, good, 1) == 0, "a stopped engine fetches nothing"
        await port.write(Register.CONTROL, 1)
        await port.fetch(good, 3)
        assert await port.wait_idle() == EngineError.NONE
        assert await port.read(Register.RETIRED) == 3
        await port.write(Register.CONTROL, 1)


@cocotb.test()
async def a_descriptor_is_not_interrupted(dut):
    """Fetching between the words of a pushed descriptor is an error, after its last word it is not."""
    image = Image(Random(cocotb.RANDOM_SEED))
    address = image.place_jobs([load(4)])
    _, port = await start(dut, image.content)
    await port.push(load(4))
    await port.push(load(4)[:2])
    await port.fetch(address, 1)
    assert await port.wait_idle() == EngineError.BAD_FETCH
    assert await port.read(Register.ERROR_INFO) == address
    await port.write(Register.CONTROL, 1)
    await port.push(load(4))
    await port.fetch(address, 1)
    assert await port.wait_idle() == EngineError.NONE
    assert await port.read(Register.RETIRED) == 2


@cocotb.test()
async def others_wait_while_it_fetches(dut):
    """With a memory that does not answer: instructions are refused, writes over the bus are an error."""
    _, port = await start(dut, bytearray(1024), late=1.0)
    for register in (Register.JOB, Register.FETCH_JOBS):
        await port.fetch(RAM_BASE, 5)
        assert await port.read(Register.STATUS) == 5, "busy fetching, without room for words"
        assert await port.read(Register.FETCH_JOBS) in (4, 5)
        assert await port.instruction(Instruction.FETCH, RAM_BASE, 1) == 0
        assert await port.instruction(Instruction.PUSH, 1, 2) == 0
        assert await port.read(Register.ERROR) == EngineError.NONE
        await port.bus(register, 0x77)
        assert await port.read(Register.ERROR) == EngineError.QUEUE_OVERFLOW
        assert await port.read(Register.ERROR_INFO) == 0x77
        await port.write(Register.CONTROL, 1)
        assert await port.read(Register.STATUS) & 7 == 0


@cocotb.test()
async def it_is_cleared_while_it_fetches(dut):
    """At any moment, and what the memory still owes then reaches nobody."""
    rng = Random(cocotb.RANDOM_SEED)
    image = Image(rng)
    jobs = [image.random_job() for _ in range(6)]
    address = image.place_jobs(jobs)
    image.place(bytes(CONFIG.port_bytes))
    rng, port = await start(dut, image.content, stall=0.2, late=0.3)
    model = EngineModel(CONFIG, image.content, RAM_BASE)
    for _ in range(12):
        await port.fetch(address, len(jobs))
        await ClockCycles(dut.clk, rng.randrange(1, 60 * BEATS))
        await FallingEdge(dut.clk)
        await port.write(Register.CONTROL, 1)
        assert await port.read(Register.STATUS) & 7 == 0
        assert await port.read(Register.ERROR) == EngineError.NONE
        first = rng.randrange(len(jobs))
        model.activations[:] = rng.randbytes(CONFIG.act_buffer_bytes)
        model.retired = 0
        await port.write_act(0, bytes(model.activations))
        await port.fetch(address + first * JOB_BYTES, len(jobs) - first)
        for words in jobs[first:]:
            model.execute(words)
        await expect_model(port, model)


@cocotb.test()
async def random_descriptors_never_hang_it(dut):
    """A fetched job that cannot run stops those behind it; those before it are done."""
    rng = Random(cocotb.RANDOM_SEED)
    image = Image(rng)
    rng, port = await start(dut, image.content, late=0.1)
    for _ in range(6):
        jobs = [image.random_job() for _ in range(4)]
        position = rng.randrange(4)
        jobs[position] = [rng.getrandbits(32) for _ in range(JOB_WORDS)]
        address = image.place_jobs(jobs)
        model = EngineModel(CONFIG, image.content, RAM_BASE)
        try:
            for words in jobs:
                model.execute(words)
        except JobError as error:
            expected = error
        else:
            raise AssertionError("the model accepts the job")
        await port.fetch(address, len(jobs))
        assert await port.wait_idle() == expected.code
        assert await port.read(Register.RETIRED) <= position
        await port.write(Register.CONTROL, 1)
