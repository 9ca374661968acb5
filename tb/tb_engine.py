"""Bench of the engine: random jobs from random memories, judged by a model that knows only the descriptors."""

import os
from random import Random

import cocotb
from cimarron.config import load_config
from cimarron.isa import ACT_WINDOW, ENGINE_ID, RAM_BASE, EngineError, Opcode, Register, pack_job
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge
from tblib.dma import DmaMemory
from tblib.engine import EnginePort
from tblib.engine_model import EngineModel
from tblib.jobs import job_words, random_mac

CONFIG = load_config(os.environ.get("CIMARRON_CONFIG", "tiny")).engine


async def start(dut, content: bytearray | None = None, **pressure: float) -> tuple[Random, EnginePort]:
    """Clock, memory, reset."""
    rng = Random(cocotb.RANDOM_SEED)
    port = EnginePort(dut)
    memory = DmaMemory(dut, content if content is not None else bytearray(256), RAM_BASE, rng, **pressure)
    Clock(dut.clk, 20, unit="ns").start()
    dut.rst.value = 1
    dut.dma__stall.value = 0
    await ClockCycles(dut.clk, 3)
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    cocotb.start_soon(memory.run())
    return rng, port


@cocotb.test()
async def registers_answer_on_both_ports(dut):
    _, port = await start(dut)
    for read in (port.bus, port.read):
        assert await read(Register.ID) == ENGINE_ID
        assert await read(Register.CONFIG_HASH) == CONFIG.hash
    await port.write(Register.IRQ_ENABLE, 3)
    assert await port.bus(Register.IRQ_ENABLE) == 3


@cocotb.test()
async def activation_buffer_is_reached_through_the_window(dut):
    rng, port = await start(dut)
    data = rng.randbytes(64)
    await port.write_act(128, data)
    await port.bus(ACT_WINDOW + 132, 0xDDCCBBAA, sel=0b0101)
    expected = bytearray(data)
    expected[4], expected[6] = 0xAA, 0xCC
    assert await port.read_act(128, 64) == expected
    last = CONFIG.act_buffer_bytes - 4
    await port.write_act(last, b"last")
    assert await port.read_act(last, 4) == b"last"
    assert await port.read(Register.ERROR) == EngineError.NONE


@cocotb.test()
async def inputs_are_loaded(dut):
    rng = Random(cocotb.RANDOM_SEED)
    content = bytearray(rng.randbytes(1024))
    _, port = await start(dut, content, stall=0.3, late=0.3)
    for _ in range(8):
        offset = rng.randrange(8) * CONFIG.port_bytes
        destination = rng.randrange(8) * CONFIG.act_port_bytes
        length = rng.randrange(1, 300)
        before = await port.read_act(0, 512)
        await port.push(pack_job(Opcode.LOAD, source=RAM_BASE + offset, destination=destination, length=length))
        assert await port.wait_idle() == EngineError.NONE
        expected = bytearray(before)
        expected[destination : destination + length] = content[offset : offset + length]
        assert await port.read_act(0, 512) == expected


async def fill(port: EnginePort, model: EngineModel, rng: Random) -> None:
    """Random activations, in the buffer and in the model."""
    data = rng.randbytes(len(model.activations))
    model.activations[:] = data
    await port.write_act(0, data)


def random_program(rng: Random, jobs: int) -> tuple[bytearray, list[list[int]]]:
    """Memory with the weight streams of random jobs, and their descriptors."""
    content, words = bytearray(), []
    for _ in range(jobs):
        fields, stream = random_mac(rng, CONFIG)
        words.append(job_words(fields, RAM_BASE + len(content)))
        content += stream
    return content, words


async def run_jobs(dut, jobs: int, *, traffic: bool, **pressure: float) -> None:
    """Queue random jobs and compare the whole activation buffer after the last one."""
    content, words = random_program(Random(cocotb.RANDOM_SEED), jobs)
    rng, port = await start(dut, content, **pressure)
    model = EngineModel(CONFIG, content, RAM_BASE)
    await fill(port, model, rng)
    for job in words:
        await port.push(job)
        model.execute(job)
        while traffic and rng.random() < 0.8:
            await port.bus(ACT_WINDOW + 4 * rng.randrange(CONFIG.act_buffer_bytes // 4))
    assert await port.wait_idle() == EngineError.NONE
    assert await port.read(Register.RETIRED) == jobs
    got = await port.read_act(0, CONFIG.act_buffer_bytes)
    wrong = [index for index, (a, b) in enumerate(zip(got, model.activations, strict=True)) if a != b]
    assert not wrong, f"{len(wrong)} bytes differ, first at {wrong[0]:#x}"


@cocotb.test()
async def one_job(dut):
    await run_jobs(dut, 1, traffic=False)


@cocotb.test()
async def queued_jobs(dut):
    await run_jobs(dut, 12, traffic=False)


@cocotb.test()
async def queued_jobs_with_slow_memory_and_bus_traffic(dut):
    await run_jobs(dut, 8, traffic=True, stall=0.4, late=0.4)
