"""Bench of the AXI engine: real jobs over AXI4-Lite, with memory behind AXI4, both at any pace."""

import os
from random import Random

import cocotb
from cimarron.config import load_config
from cimarron.isa import ACT_WINDOW, ENGINE_ID, JOB_BYTES, RAM_BASE, EngineError, Opcode, Register, pack_job
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles
from cocotb.utils import get_sim_time
from tblib.activations import expect_model, fill
from tblib.axi import AxiMemory, AxiRules, EngineAxiPort
from tblib.engine_model import EngineModel
from tblib.jobs import job_words, random_mac

CONFIG = load_config(os.environ.get("CIMARRON_CONFIG", "tiny")).engine


async def start(dut, content: bytearray, *, busy: float = 0.0, late: float = 0.0):
    """Clock, reset, memory from RAM_BASE on, and the port with the registers."""
    rng = Random(cocotb.RANDOM_SEED)
    Clock(dut.aclk, 20, unit="ns").start()
    dut.aresetn.value = 0
    AxiMemory(dut, "m_axi", dut.aclk, content, RAM_BASE, rng, busy=busy, late=late)
    port, rules = EngineAxiPort(dut, rng, late=late), AxiRules(dut, "m_axi", dut.aclk)
    await ClockCycles(dut.aclk, 3)
    for pin in ("s_axi_bvalid", "s_axi_rvalid", "m_axi_awvalid", "m_axi_wvalid", "m_axi_arvalid"):
        assert getattr(dut, pin).value == 0, f"{pin} in reset"
    dut.aresetn.value = 1
    cocotb.start_soon(rules.run())
    await ClockCycles(dut.aclk, 2)
    return rng, port, rules


def words_of(jobs: list[list[int]]) -> bytes:
    return b"".join(word.to_bytes(4, "little") for job in jobs for word in job)


async def run_jobs(dut, jobs: int, *, fetched: bool, **pressure: float) -> None:
    """Random jobs, their descriptors pushed or fetched; then the whole activation buffer is compared."""
    rng = Random(cocotb.RANDOM_SEED)
    content, words = bytearray(jobs * JOB_BYTES), []
    for _ in range(jobs):
        fields, stream = random_mac(rng, CONFIG)
        content += bytes(-len(content) % CONFIG.port_bytes)
        words.append(job_words({**fields, "weight_addr": RAM_BASE + len(content)}))
        content += stream
    content[: jobs * JOB_BYTES] = words_of(words)
    content += bytes(-len(content) % CONFIG.port_bytes)
    rng, port, rules = await start(dut, content, **pressure)
    model = EngineModel(CONFIG, content, RAM_BASE)
    await fill(port, model, rng)
    if fetched:
        await port.fetch(RAM_BASE, jobs)
    for job in words:
        model.execute(job)
        if not fetched:
            await port.push(job)
    await expect_model(port, model)
    assert sum(rules.lengths["ar"]) > (jobs * JOB_BYTES // CONFIG.port_bytes if fetched else 0)
    assert rules.lengths["aw"] == []


@cocotb.test()
async def pushed_jobs(dut):
    await run_jobs(dut, 4, fetched=False)


@cocotb.test()
async def fetched_jobs(dut):
    await run_jobs(dut, 6, fetched=True)


@cocotb.test()
async def jobs_from_a_slow_memory_by_a_slow_host(dut):
    await run_jobs(dut, 5, fetched=True, busy=0.5, late=0.4)


@cocotb.test()
async def parts_of_words(dut):
    """Byte enables reach the activation buffer; a write without any changes nothing, in registers neither."""
    rng, port, _ = await start(dut, bytearray(64), late=0.3)
    data = bytearray(rng.randbytes(64))
    await port.write_act(0, bytes(data))
    for _ in range(20):
        offset, length = rng.randrange(60), rng.randrange(1, 5)
        length = min(length, 4 - offset % 4)
        part = rng.randbytes(length)
        data[offset : offset + length] = part
        await port.write_act(offset, part)
    assert await port.read_act(0, 64) == data
    await port.write(Register.IRQ_ENABLE, 3)
    await port.master.wait()
    # The model never sends an empty write.
    await ClockCycles(dut.aclk, 4)
    dut.s_axi_awaddr.value, dut.s_axi_wdata.value, dut.s_axi_wstrb.value = Register.IRQ_ENABLE, 0, 0
    dut.s_axi_awvalid.value = dut.s_axi_wvalid.value = 1
    await ClockCycles(dut.aclk, 1)
    dut.s_axi_awvalid.value = dut.s_axi_wvalid.value = 0
    dut.s_axi_bready.value = 1
    await ClockCycles(dut.aclk, 4)
    assert await port.read(Register.IRQ_ENABLE) == 3


@cocotb.test()
async def a_refused_address_ends_in_an_error(dut):
    """SLVERR stops the engine with the address; it works again when told to."""
    _, port, _ = await start(dut, bytearray(range(256)))
    assert await port.read(Register.ID) == ENGINE_ID
    assert await port.read(Register.CONFIG_HASH) == CONFIG.hash
    await port.write(Register.IRQ_ENABLE, 1)
    beyond = RAM_BASE + 4096
    await port.push(pack_job(Opcode.LOAD, source=beyond, destination=0, length=200))
    assert await port.wait_idle() == EngineError.BAD_MEMORY_ADDRESS
    assert await port.read(Register.ERROR_INFO) == beyond
    assert dut.irq.value == 1
    await port.write(Register.CONTROL, 1)
    assert dut.irq.value == 0
    await port.push(pack_job(Opcode.LOAD, source=RAM_BASE, destination=0, length=200))
    assert await port.wait_idle() == EngineError.NONE
    assert await port.read_act(0, 200) == bytes(range(200))
    await port.access(ACT_WINDOW + CONFIG.act_buffer_bytes)
    assert await port.read(Register.ERROR) == EngineError.BAD_ACT_ADDRESS


@cocotb.test()
async def reads_and_writes_at_the_same_time(dut):
    """Both kinds get their turn, and each channel its own answers."""
    rng, port, _ = await start(dut, bytearray(64), late=0.5)
    data = rng.randbytes(256)
    await port.write_act(0, data)
    reader = cocotb.start_soon(port.read_act(0, 256))
    writer = cocotb.start_soon(port.write_act(256, data[::-1]))
    assert await reader == data
    await writer
    assert await port.read_act(256, 256) == data[::-1]


@cocotb.test()
async def a_word_every_three_or_five_cycles(dut):
    """The buffer answers writes in one cycle and reads in three, and the bridge adds two."""
    _, port, _ = await start(dut, bytearray(64))
    words = 64
    for access, cycles in ((port.write_act(0, bytes(4 * words)), 3), (port.read_act(0, 4 * words), 5)):
        begin = get_sim_time("ns")
        await access
        taken = (get_sim_time("ns") - begin) / 20
        # The model takes a few cycles to begin and to end.
        assert cycles * words <= taken + cycles <= cycles * words + 20, taken
