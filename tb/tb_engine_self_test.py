"""Bench of the self-test behind the engine's registers: started by a bit, and out of the way of jobs.

The top is an engine with one more input, ``fault``, which makes a cell of the macro stick. Environment variable:
``STUCK``, set, row, column and bit of that cell as JSON.
"""

import json
import os

import cocotb
from cimarron.config import load_config
from cimarron.isa import RAM_BASE, EngineError, Register
from cimarron.macro.self_test import SelfTestedMacro
from cocotb.triggers import FallingEdge
from tblib.activations import expect_model, fill
from tblib.engine import EnginePort, start
from tblib.engine_model import EngineModel
from tblib.jobs import job_words, random_mac

CONFIG = load_config(os.environ["CIMARRON_CONFIG"]).engine
STUCK = json.loads(os.environ["STUCK"])
CYCLES = SelfTestedMacro(CONFIG.macro).cycles

RUNNING, DONE, CELLS, ADDERS = 1, 2, 4, 8


async def verdict(port: EnginePort) -> int:
    """What the register says once the test has ended, in the declared cycles and a few to look."""
    for _ in range(CYCLES):
        state = await port.read(Register.SELF_TEST)
        if not state & RUNNING:
            return state
    raise AssertionError("the test does not end")


@cocotb.test()
async def a_good_macro_passes(dut):
    dut.fault.value = 0
    _, port = await start(dut)
    assert await port.read(Register.SELF_TEST) == 0
    await port.write(Register.SELF_TEST, 2)
    assert await port.read(Register.SELF_TEST) == 0, "bit 0 starts"
    await port.write(Register.IRQ_ENABLE, 2)
    for access in (port.write, port.bus):
        await access(Register.SELF_TEST, 1)
        assert await port.read(Register.SELF_TEST) == RUNNING
        assert await port.read(Register.STATUS) & 3 == 1
        assert await verdict(port) == DONE
        assert await port.read(Register.SELF_TEST_ADDRESS) == 0
        assert await port.read(Register.STATUS) & 3 == 0
        await FallingEdge(dut.clk)
        assert dut.irq.value == 1
        await port.write(Register.IRQ_PENDING, 2)
    # No job was at work.
    assert await port.read(Register.BUSY) == await port.read(Register.COMPUTE) == 0


@cocotb.test()
async def a_stuck_cell_is_named(dut):
    dut.fault.value = 1
    _, port = await start(dut)
    await port.write(Register.SELF_TEST, 1)
    state = await verdict(port)
    assert state & (DONE | CELLS) == DONE | CELLS
    assert await port.read(Register.SELF_TEST_ADDRESS) == STUCK["set"] << 28 | STUCK["row"] << 16 | STUCK["column"]
    # A later test forgets it.
    dut.fault.value = 0
    await port.write(Register.SELF_TEST, 1)
    assert await verdict(port) == DONE
    assert await port.read(Register.SELF_TEST_ADDRESS) == 0


@cocotb.test()
async def jobs_wait_for_the_end(dut):
    """A job that is pushed during a test gives what it gives without, before and after others."""
    dut.fault.value = 0
    content, words = bytearray(), []
    rng, port = await start(dut, content)
    for _ in range(3):
        fields, stream = random_mac(rng, CONFIG, limit=4)
        words.append(job_words({**fields, "weight_addr": RAM_BASE + len(content)}))
        content += stream
    model = EngineModel(CONFIG, content, RAM_BASE)
    await fill(port, model, rng)
    await port.push(words[0])
    model.execute(words[0])
    assert await port.wait_idle() == EngineError.NONE
    await port.write(Register.SELF_TEST, 1)
    for job in words[1:]:
        await port.push(job)
        model.execute(job)
    assert await port.read(Register.SELF_TEST) == RUNNING
    assert await port.read(Register.RETIRED) == 1
    assert await verdict(port) == DONE
    await expect_model(port, model)
    assert await port.read(Register.SELF_TEST) == DONE


@cocotb.test()
async def a_test_interrupts_nothing(dut):
    """Neither a job nor another test; `NOT_IDLE` says so, and ends what was at work."""
    dut.fault.value = 0
    rng, port = await start(dut, bytearray(2**16), late=0.9)
    await port.write(Register.SELF_TEST, 1)
    await port.write(Register.SELF_TEST, 1)
    assert await port.read(Register.ERROR) == EngineError.NOT_IDLE
    assert await port.read(Register.ERROR_INFO) == Register.SELF_TEST
    await port.write(Register.CONTROL, 1)
    assert await port.read(Register.SELF_TEST) == 0, "an error ends a test"
    fields, _ = random_mac(rng, CONFIG)
    await port.push(job_words({**fields, "weight_addr": RAM_BASE}))
    await port.write(Register.SELF_TEST, 1)
    assert await port.read(Register.ERROR) == EngineError.NOT_IDLE
    await port.write(Register.SELF_TEST, 1)
    assert await port.read(Register.SELF_TEST) == 0, "a stopped engine tests nothing"
    await port.write(Register.CONTROL, 1)
    await port.write(Register.SELF_TEST, 1)
    assert await verdict(port) == DONE


@cocotb.test()
async def the_address_is_only_read(dut):
    dut.fault.value = 0
    _, port = await start(dut)
    await port.write(Register.SELF_TEST_ADDRESS, 1)
    assert await port.read(Register.ERROR) == EngineError.BAD_REGISTER
    assert await port.read(Register.ERROR_INFO) == Register.SELF_TEST_ADDRESS
