"""Bench of STORE jobs: alone and among those that write what they read and read what they wrote."""

import os
import struct
from random import Random

import cocotb
from cimarron.config import load_config
from cimarron.isa import ACT_WINDOW, JOB_WORDS, RAM_BASE, EngineError, Opcode, Register, pack_job
from cocotb.triggers import ClockCycles, FallingEdge
from tblib.activations import expect_model, fill
from tblib.engine import EnginePort, start
from tblib.engine_model import EngineModel
from tblib.jobs import job_words, random_mac, random_store
from tblib.vector_jobs import random_vector

CONFIG = load_config(os.environ.get("CIMARRON_CONFIG", "tiny")).engine

#: Bytes of memory that STORE jobs write, from RAM_BASE on; what others read lies behind.
SCRATCH = 512

#: Cycles from the start of a STORE in an idle engine to its end, beyond those of its pieces.
STORE_LATENCY = 4


def store(source: int, destination: int, length: int) -> list[int]:
    return pack_job(Opcode.STORE, source=source, destination=destination, length=length)


class Program:
    """Random jobs, and the memory they run in."""

    def __init__(self, rng: Random, jobs: int, stores: float):
        self.content = bytearray(rng.randbytes(SCRATCH))
        self.jobs = [self._job(rng, stores) for _ in range(jobs)]
        self.descriptors = self._place(b"".join(struct.pack(f"<{JOB_WORDS}I", *words) for words in self.jobs))
        self._place(bytes(CONFIG.port_bytes))

    def _place(self, data: bytes) -> int:
        address = RAM_BASE + len(self.content)
        self.content += data.ljust(-(-len(data) // CONFIG.port_bytes) * CONFIG.port_bytes, b"\0")
        return address

    def _job(self, rng: Random, stores: float) -> list[int]:
        if rng.random() < stores:
            scratch = range(RAM_BASE, RAM_BASE + SCRATCH)
            return pack_job(Opcode.STORE, **random_store(rng, CONFIG, scratch))
        kind = rng.choice((Opcode.LOAD, Opcode.MAC, Opcode.VECTOR))
        if kind == Opcode.LOAD:
            source = rng.randrange(SCRATCH // 2 // CONFIG.port_bytes) * CONFIG.port_bytes
            lines = (CONFIG.act_buffer_bytes - SCRATCH // 2) // CONFIG.act_port_bytes
            destination = rng.randrange(lines) * CONFIG.act_port_bytes
            length = rng.randrange(1, SCRATCH // 2)
            return pack_job(kind, source=RAM_BASE + source, destination=destination, length=length)
        if kind == Opcode.MAC:
            fields, stream = random_mac(rng, CONFIG, limit=4)
            return job_words({**fields, "weight_addr": self._place(stream)})
        fields, tables = random_vector(rng, CONFIG, limit=4)
        return pack_job(kind, **fields, table_addr=self._place(tables))


async def run_jobs(dut, jobs: int, *, stores: float, traffic: bool = False, fetched: bool = False, **pressure) -> None:
    """Run random jobs; afterwards buffer and memory are the model's, to the byte."""
    program = Program(Random(cocotb.RANDOM_SEED), jobs, stores)
    model = EngineModel(CONFIG, bytearray(program.content), RAM_BASE)
    rng, port = await start(dut, program.content, **pressure)
    await fill(port, model, rng)
    if fetched:
        await port.fetch(program.descriptors, jobs)
    for words in program.jobs:
        if not fetched:
            await port.push(words)
        model.execute(words)
        while traffic and rng.random() < 0.95:
            # A read takes the buffer's read port; a write of no byte changes nothing.
            at = ACT_WINDOW + 4 * rng.randrange(CONFIG.act_buffer_bytes // 4)
            await port.bus(at, rng.choice((None, None, 0)), sel=0)
    await expect_model(port, model)
    assert program.content == model.memory


@cocotb.test()
async def any_bytes_go_anywhere(dut):
    await run_jobs(dut, 60, stores=1.0)


@cocotb.test()
async def any_bytes_go_into_slow_memory(dut):
    await run_jobs(dut, 40, stores=1.0, stall=0.4, late=0.4)


@cocotb.test()
async def any_bytes_go_anywhere_among_bus_traffic(dut):
    await run_jobs(dut, 30, stores=1.0, traffic=True, stall=0.3, late=0.1)


@cocotb.test()
async def stores_keep_their_place_among_jobs(dut):
    """They see what was computed before, not what comes later, and later jobs load what they wrote."""
    await run_jobs(dut, 30, stores=0.5)


@cocotb.test()
async def stores_keep_their_place_among_fetched_jobs(dut):
    await run_jobs(dut, 30, stores=0.5, fetched=True, stall=0.2, late=0.2)


@cocotb.test()
async def stores_keep_their_place_among_bus_traffic(dut):
    await run_jobs(dut, 15, stores=0.5, traffic=True, stall=0.2, late=0.4)


@cocotb.test()
async def the_whole_buffer_is_stored(dut):
    """At one piece per cycle, and back again."""
    size = CONFIG.act_buffer_bytes
    content = bytearray(2 * size)
    rng, port = await start(dut, content)
    data = rng.randbytes(size)
    await port.write_act(0, data)
    await port.push(store(0, RAM_BASE, size))
    assert await port.wait_idle() == EngineError.NONE
    assert content == data + bytes(size)
    await port.write_act(0, bytes(size))
    await port.push(pack_job(Opcode.LOAD, source=RAM_BASE, destination=0, length=size))
    assert await port.wait_idle() == EngineError.NONE
    assert await port.read_act(0, size) == data


async def last_gap(dut, port: EnginePort, address: int) -> int:
    """Cycles from the end of the second job to that of the third, of three that are fetched."""
    await port.fetch(address, 3)
    for _ in range(2):
        while dut.monitor__retired.value == 0:
            await FallingEdge(dut.clk)
        await FallingEdge(dut.clk)
    cycles = 1
    while dut.monitor__retired.value == 0:
        await FallingEdge(dut.clk)
        cycles += 1
    return cycles


@cocotb.test()
async def a_piece_is_stored_per_cycle(dut):
    """Whatever the alignment: as many cycles as pieces, counted from the start of the first beat."""
    content = bytearray(2**14)
    rng, port = await start(dut, content)
    for head in (0, 1, CONFIG.port_bytes - 1):
        length = rng.randrange(500, 3000)
        # The job before is as long, so that the descriptor is there in time.
        jobs = 3 * struct.pack(f"<{JOB_WORDS}I", *store(rng.randrange(16), RAM_BASE + head, length))
        content[4096 : 4096 + len(jobs)] = jobs
        cycles = await last_gap(dut, port, RAM_BASE + 4096)
        assert await port.wait_idle() == EngineError.NONE
        assert cycles == -(-(head + length) // CONFIG.act_port_bytes) + STORE_LATENCY


@cocotb.test()
async def impossible_stores_end_in_an_error(dut):
    """Beyond the buffer nothing is written; memory that does not exist refuses a beat, and those before stay."""
    size, port_bytes = CONFIG.act_buffer_bytes, CONFIG.port_bytes
    content = bytearray(256)
    rng, port = await start(dut, content)
    end = RAM_BASE + len(content)
    before = RAM_BASE // port_bytes * port_bytes - port_bytes
    top = 2**32 - port_bytes
    cases = [
        (store(0, RAM_BASE, 0), EngineError.BAD_SHAPE, 3),
        (store(size, RAM_BASE, 1), EngineError.BAD_ACT_ADDRESS, size + 1),
        (store(size - 4, RAM_BASE, 5), EngineError.BAD_ACT_ADDRESS, size + 1),
        (store(2**32 - 1, RAM_BASE, 2**32 - 1), EngineError.BAD_ACT_ADDRESS, 2**32 - 1),
        (store(0, end, 1), EngineError.BAD_MEMORY_ADDRESS, end),
        (store(0, end + 3, 1), EngineError.BAD_MEMORY_ADDRESS, (end + 3) // port_bytes * port_bytes),
        (store(0, end - 1, 2), EngineError.BAD_MEMORY_ADDRESS, end),
        (store(0, RAM_BASE - 1, 9), EngineError.BAD_MEMORY_ADDRESS, before),
        (store(0, top + 1, 3), EngineError.BAD_MEMORY_ADDRESS, top),
    ]
    for words, code, info in cases:
        await port.write(Register.CONTROL, 1)
        data = rng.randbytes(size)
        await port.write_act(0, data)
        await port.push(words)
        assert await port.wait_idle() == code
        assert await port.read(Register.ERROR_INFO) == info
        assert await port.read(Register.RETIRED) == 0
        await port.write(Register.CONTROL, 1)
        # The engine is as good as new.
        await port.push(store(1, RAM_BASE + 2, 200))
        assert await port.wait_idle() == EngineError.NONE
        assert content[2:202] == data[1:201]
    content[:] = bytes(256)
    await port.write(Register.CONTROL, 1)
    await port.write_act(0, bytes([7]) * 64)
    await port.push(store(0, end - 3, 5))
    assert await port.wait_idle() == EngineError.BAD_MEMORY_ADDRESS
    assert content == bytes(253) + bytes([7]) * 3


@cocotb.test()
async def it_is_cleared_while_it_stores(dut):
    """At any moment; what was taken is written or not, bytes outside the job never are, and the next job is whole."""
    content = bytearray(4 * SCRATCH)
    rng, port = await start(dut, content, stall=0.3, late=0.3)
    for _ in range(15):
        data = rng.randbytes(SCRATCH)
        await port.write_act(0, data)
        content[:] = bytes(len(content))
        head = rng.randrange(64)
        await port.push(store(0, RAM_BASE + SCRATCH + head, SCRATCH))
        await ClockCycles(dut.clk, rng.randrange(1, 120))
        await FallingEdge(dut.clk)
        await port.write(Register.CONTROL, 1)
        assert await port.read(Register.STATUS) & 3 == 0
        inside = slice(SCRATCH + head, 2 * SCRATCH + head)
        assert all(got in (0, want) for got, want in zip(content[inside], data, strict=True))
        content[inside] = bytes(SCRATCH)
        assert content == bytes(len(content))
        await port.push(store(0, RAM_BASE + head, SCRATCH))
        assert await port.wait_idle() == EngineError.NONE
        assert content[head : head + SCRATCH] == data
