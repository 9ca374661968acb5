"""What resets the engine: random accesses, instructions and failures of parts."""

import random

import pytest
from amaranth.sim import Simulator
from cimarron.config import PRESETS
from cimarron.engine.registers import Registers
from cimarron.isa import EngineError, Instruction, Register


@pytest.mark.parametrize("seed", range(2))
def test_the_engine_is_in_reset_while_there_is_an_error_and_when_it_is_cleared(seed: int) -> None:
    rng = random.Random(seed)
    dut = Registers(PRESETS["tiny"].engine)
    seen = {"error": 0, "clear": 0, "neither": 0}
    offsets = [Register.CONTROL] * 4 + [Register.JOB, Register.STATUS, Register.FETCH_JOBS, Register.IRQ_ENABLE, 0x7FC]

    async def bench(ctx) -> None:
        request = dut.command.request
        for _ in range(3000):
            offset = rng.choice(offsets)
            ctx.set(dut.bus.cyc, 1)
            ctx.set(dut.bus.stb, rng.random() < 0.5)
            ctx.set(dut.bus.we, rng.random() < 0.7)
            ctx.set(dut.bus.adr, offset // 4)
            ctx.set(dut.bus.dat_w, rng.randrange(2))
            ctx.set(request.valid, rng.random() < 0.3)
            ctx.set(request.payload.function, rng.choice([*Instruction, 99]))
            ctx.set(request.payload.a, rng.choice(offsets))
            ctx.set(request.payload.b, rng.randrange(2))
            ctx.set(dut.command.response.ready, rng.random() < 0.8)
            ctx.set(dut.jobs.ready, rng.random() < 0.9)
            ctx.set(dut.free, rng.randrange(2))
            ctx.set(dut.fetching, rng.random() < 0.1)
            ctx.set(dut.failed, rng.random() < 0.05)
            ctx.set(dut.failure.code, rng.choice([code for code in EngineError if code is not EngineError.NONE]))
            ctx.set(dut.window_failed, rng.random() < 0.02)
            await ctx.tick()
            error, clear = ctx.get(dut.error), ctx.get(dut.clear)
            assert ctx.get(dut.abort) == (error | clear)
            seen["clear" if clear else "error" if error else "neither"] += 1

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert min(seen.values()) > 100, seen
