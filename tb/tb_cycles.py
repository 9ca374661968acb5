"""Bench of the cycle model: the engine with the system's memory retires each job in the cycle that was predicted."""

import os
from random import Random

import cocotb
from cimarron.config import load_config
from cimarron.isa import JOB_WORDS, RAM_BASE, EngineError, Instruction, Opcode, Register, pack_job
from cimarron_sim.compiler.cycles import EngineCycles
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge
from cocotb.utils import get_sim_time
from tblib.engine import EnginePort
from tblib.engine_model import EngineModel
from tblib.jobs import random_mac, random_store
from tblib.macro import occupied_cycles
from tblib.vector_jobs import random_vector

SOC = load_config(os.environ.get("CIMARRON_CONFIG", "tiny"))
CONFIG = SOC.engine
PERIOD = 20
COUNTERS = ("busy", "compute", "stall_input", "stall_weights", "stall_output", "operations")

#: Where descriptors lie in memory, in bytes from its start.
DESCRIPTORS = SOC.ram_bytes // 2

#: Where STORE jobs write; what others read lies before the descriptors.
SCRATCH = SOC.ram_bytes * 3 // 4

#: How often each test runs.
SEQUENCES = int(os.environ.get("CIMARRON_SEQUENCES", "20"))


def now() -> int:
    """The clock cycle."""
    return int(get_sim_time("ns")) // PERIOD


def random_job(rng: Random) -> tuple[Opcode, dict[str, int]]:
    if rng.random() < 0.2:
        memory = range(RAM_BASE + SCRATCH, RAM_BASE + SOC.ram_bytes)
        return Opcode.STORE, random_store(rng, CONFIG, memory, CONFIG.act_buffer_bytes // 4)
    if rng.random() < 0.2:
        length = rng.choice((1, CONFIG.port_bytes, rng.randrange(1, CONFIG.act_buffer_bytes // 4)))
        return Opcode.LOAD, {"source": RAM_BASE, "destination": 0, "length": length}
    if rng.random() < 0.3:
        fields, _ = random_vector(rng, CONFIG)
        return Opcode.VECTOR, {**fields, "table_addr": RAM_BASE}
    fields, _ = random_mac(rng, CONFIG, limit=rng.choice((3, 6, 12)))
    return Opcode.MAC, {**fields, "weight_addr": RAM_BASE}


class Bench:
    """The engine, a model of its memories, and when its jobs retired.

    Weights and records are 0: cycles do not depend on them.
    """

    def __init__(self, dut):
        self.dut = dut
        self.port = EnginePort(dut)
        self.model = EngineModel(CONFIG, bytearray(SOC.ram_bytes), RAM_BASE)
        self.retired: list[tuple[int, dict[str, int]]] = []

    async def watch(self) -> None:
        """Note when each job retires and what the counters say."""
        dut = self.dut
        while True:
            await RisingEdge(dut.monitor__retired)
            await FallingEdge(dut.clk)
            self.retired.append((now(), {name: int(getattr(dut, f"monitor__{name}").value) for name in COUNTERS}))

    async def hand_over(self, jobs: list[list[int]]) -> int:
        """Write descriptors to memory and have them fetched; returns the cycle in which the engine is told."""
        dut = self.dut
        dut.memory__cyc.value = dut.memory__stb.value = dut.memory__we.value = 1
        dut.memory__sel.value = 0xF
        for index, words in enumerate(jobs):
            for offset, word in enumerate(words):
                dut.memory__adr.value = DESCRIPTORS // 4 + index * JOB_WORDS + offset
                dut.memory__dat_w.value = word
                await FallingEdge(dut.clk)
        dut.memory__cyc.value = 0
        told = now()
        assert await self.port.instruction(Instruction.FETCH, RAM_BASE + DESCRIPTORS, len(jobs)) == 1
        return told

    def planes(self, opcode: Opcode, fields: dict[str, int]) -> list[int] | None:
        """Cycles of each operation in a macro that skips planes."""
        if opcode != Opcode.MAC or not CONFIG.macro.plane_skipping:
            return None
        bits, signed = fields["act_bits"], bool(fields["act_signed"])
        return [occupied_cycles(CONFIG.macro, x, bits, signed) for x in self.model.vectors(fields)]

    async def compare(self, *sequences: list[tuple[Opcode, dict[str, int]]]) -> None:
        """Hand sequences of jobs over; each job retires when predicted, with the counters predicted."""
        await self.port.write(Register.CONTROL, 1)
        engine = EngineCycles(CONFIG)
        total = dict.fromkeys(COUNTERS, 0)
        for jobs in sequences:
            self.retired.clear()
            told = await self.hand_over([pack_job(opcode, **fields) for opcode, fields in jobs])
            assert await self.port.wait_idle() == EngineError.NONE
            assert len(self.retired) == len(jobs)
            engine.hand_over(len(jobs), told)
            for (opcode, fields), measured in zip(jobs, self.retired, strict=True):
                planes = self.planes(opcode, fields)
                self.model.execute(pack_job(opcode, **fields))
                cycles = engine.execute({"opcode": opcode, **fields}, planes=planes)
                total = {name: total[name] + getattr(cycles, name) for name in COUNTERS}
                assert measured == (cycles.retired, total), (opcode, fields)


async def start(dut) -> tuple[Random, Bench]:
    """Clock and reset; activations are random where cycles depend on them."""
    rng, bench = Random(cocotb.RANDOM_SEED), Bench(dut)
    dut.memory__cyc.value = 0
    Clock(dut.clk, PERIOD, unit="ns").start()
    dut.rst.value = 1
    await ClockCycles(dut.clk, 3)
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    cocotb.start_soon(bench.watch())
    if CONFIG.macro.plane_skipping:
        content = rng.randbytes(CONFIG.act_buffer_bytes)
        bench.model.activations[:] = content
        await bench.port.write_act(0, content)
    return rng, bench


@cocotb.test()
async def random_jobs_alone(dut):
    rng, bench = await start(dut)
    for _ in range(SEQUENCES):
        await bench.compare([random_job(rng)])


@cocotb.test()
async def random_jobs_in_sequence(dut):
    rng, bench = await start(dut)
    for _ in range(SEQUENCES):
        lengths = [rng.randrange(1, 8) for _ in range(rng.randrange(1, 4))]
        await bench.compare(*([random_job(rng) for _ in range(length)] for length in lengths))
