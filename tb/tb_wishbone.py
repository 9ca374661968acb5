"""Bench of the engine's control port, driven by the Wishbone initiator of cocotbext-wishbone."""

import os
from random import Random

import cocotb
from cimarron.config import load_config
from cimarron.isa import ACT_WINDOW, ENGINE_ID, RAM_BASE, EngineError, Opcode, Register, pack_job
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge
from tblib.activations import expect_model, fill
from tblib.dma import DmaMemory
from tblib.engine_model import EngineModel
from tblib.foreign_wishbone import EngineWishbonePort, rest
from tblib.jobs import job_words, random_mac

CONFIG = load_config(os.environ.get("CIMARRON_CONFIG", "tiny")).engine


async def watch(dut) -> None:
    """From reset on ``ack`` is never undefined, and answers only who asks."""
    before = "0"
    while True:
        await RisingEdge(dut.clk)
        ack = str(dut.bus__ack.value)
        assert ack in "01", "ack is undefined"
        assert ack == "0" or before == "1", "an answer to nobody"
        before = "1" if dut.bus__cyc.value == 1 and dut.bus__stb.value == 1 else "0"


async def start(dut, content: bytearray | None = None, *, idle: int = 0) -> tuple[Random, EngineWishbonePort]:
    """Clock, reset, and memory from RAM_BASE on."""
    rng = Random(cocotb.RANDOM_SEED)
    dut.rst.value = 1
    dut.dma__stall.value = dut.dma__ack.value = dut.dma__err.value = 0
    rest(dut, "bus")
    memory = DmaMemory(dut, content if content is not None else bytearray(256), RAM_BASE, rng)
    Clock(dut.clk, 20, unit="ns").start()
    await FallingEdge(dut.clk)
    port = EngineWishbonePort(dut, rng, idle=idle)
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    cocotb.start_soon(memory.run())
    cocotb.start_soon(watch(dut))
    return rng, port


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def pushed_jobs(dut) -> None:
    """Everything over the bus: activations, descriptors, results."""
    content, words = bytearray(), []
    rng = Random(cocotb.RANDOM_SEED)
    for _ in range(2):
        fields, stream = random_mac(rng, CONFIG)
        words.append(job_words({**fields, "weight_addr": RAM_BASE + len(content)}))
        content += stream
    rng, port = await start(dut, content)
    model = EngineModel(CONFIG, content, RAM_BASE)
    await fill(port, model, rng)
    for job in words:
        await port.push(job)
        model.execute(job)
    assert model.retired == len(words)
    await expect_model(port, model)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(idle=[0, 3])
async def random_operations_in_one_cycle(dut, idle: int) -> None:
    """Registers and buffer, reads and writes with byte enables, without giving the bus away between them."""
    rng, port = await start(dut, idle=idle)
    act = bytearray(rng.randbytes(64))
    await port.write_act(0, bytes(act))
    enabled = 0
    operations, expected = [], []
    for _ in range(200):
        kind, offset = rng.randrange(5), 4 * rng.randrange(len(act) // 4)
        if kind == 0:
            operations.append(port.operation(Register.ID))
            expected.append(ENGINE_ID)
        elif kind == 1:
            enabled = rng.randrange(4)
            operations.append(port.operation(Register.IRQ_ENABLE, enabled))
            expected.append(None)
        elif kind == 2:
            operations.append(port.operation(Register.IRQ_ENABLE))
            expected.append(enabled)
        elif kind == 3:
            data, sel = rng.randbytes(4), rng.randrange(16)
            operations.append(port.operation(ACT_WINDOW + offset, int.from_bytes(data, "little"), sel))
            expected.append(None)
            for lane in range(4):
                if sel >> lane & 1:
                    act[offset + lane] = data[lane]
        else:
            operations.append(port.operation(ACT_WINDOW + offset))
            expected.append(int.from_bytes(act[offset : offset + 4], "little"))
    answers = await port.initiator.cycle(operations)
    for index, (answer, value) in enumerate(zip(answers, expected, strict=True)):
        assert not answer.failed
        assert value is None or answer.data == value, f"operation {index}"
    assert await port.read_act(0, len(act)) == act


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def the_first_access_after_one_cycle_of_reset(dut) -> None:
    """Writes of the buffer are answered in the next cycle, registers one later, reads of the buffer two later."""
    _, port = await start(dut)
    operations = [
        port.operation(Register.CONFIG_HASH),
        port.operation(ACT_WINDOW, 0x1234_5678),
        port.operation(ACT_WINDOW),
    ]
    answers = await port.initiator.cycle(operations)
    assert answers[0].data == CONFIG.hash
    assert answers[2].data == 0x1234_5678
    assert [answer.wait_states for answer in answers] == [1, 0, 2]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def refused_accesses_are_answered(dut) -> None:
    """Nothing hangs the bus; what was wrong is in the registers."""
    _, port = await start(dut, bytearray(range(256)))
    for address, value, code, info in (
        (Register.ID, 1, EngineError.BAD_REGISTER, Register.ID),
        (0x7FFC, None, EngineError.BAD_REGISTER, 0x7FFC),
        (ACT_WINDOW + CONFIG.act_buffer_bytes, None, EngineError.BAD_ACT_ADDRESS, CONFIG.act_buffer_bytes),
        (ACT_WINDOW + 0xFFFFC, 1, EngineError.BAD_ACT_ADDRESS, 0xFFFFC),
    ):
        await port.access(address, value)
        assert await port.wait_idle() == code
        assert await port.read(Register.ERROR_INFO) == info
        await port.write(Register.CONTROL, 1)
    await port.push(pack_job(Opcode.LOAD, source=RAM_BASE, destination=0, length=256))
    assert await port.wait_idle() == EngineError.NONE
    assert await port.read_act(0, 256) == bytes(range(256))
