# amaranth: UnusedElaboratable=no
"""The bus's window onto the activation buffer: its cycles, and initiators that do not wait for the end."""

import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import connect
from amaranth.sim import Simulator
from cimarron.config import PRESETS
from cimarron.engine.act_buffer import ActBuffer
from cimarron.engine.window import Window

CONFIG = PRESETS["tiny"].engine


def simulate(bench) -> None:
    """Run a bench, called with a context and the window, on a window with its buffer."""
    m = Module()
    m.submodules.window = window = Window(CONFIG)
    m.submodules.act_buffer = act_buffer = ActBuffer(CONFIG)
    connect(m, window.read, act_buffer.read)
    connect(m, window.write, act_buffer.write)
    # Outside its cycle, the port is a job's.
    m.d.comb += act_buffer.write.mask.eq(window.write.mask & window.steal_write.replicate(len(window.write.mask)))

    async def run(ctx) -> None:
        await bench(ctx, window)

    simulator = Simulator(m)
    simulator.add_clock(1e-8)
    simulator.add_testbench(run)
    simulator.run()


def ask(ctx, window, word: int, write: int | None = None) -> None:
    bus = window.bus
    for name, value in (("adr", word), ("we", write is not None), ("dat_w", write or 0), ("sel", 0xF)):
        ctx.set(getattr(bus, name), value)
    ctx.set(bus.cyc, 1)
    ctx.set(bus.stb, 1)


def give_up(ctx, window) -> None:
    ctx.set(window.bus.cyc, 0)
    ctx.set(window.bus.stb, 0)


async def answer(ctx, window) -> tuple[int, int]:
    """Cycles up to the acknowledge, and what was read."""
    for cycles in range(1, 20):
        await ctx.tick()
        if ctx.get(window.bus.ack):
            data = ctx.get(window.bus.dat_r)
            await ctx.tick()
            give_up(ctx, window)
            return cycles, data
    raise AssertionError("no answer")


def test_writes_take_one_cycle_and_reads_three():
    async def bench(ctx, window):
        for word, value in ((0, 0x03020100), (1, 0x07060504), (CONFIG.act_buffer_bytes // 4 - 1, 0xFFFEFDFC)):
            ask(ctx, window, word, value)
            assert (await answer(ctx, window))[0] == 1
            ask(ctx, window, word)
            assert await answer(ctx, window) == (3, value)
        ask(ctx, window, CONFIG.act_buffer_bytes // 4)
        assert await answer(ctx, window) == (1, 0)
        assert ctx.get(window.bad_address) == 0

    simulate(bench)


def test_a_read_waits_for_a_job_that_holds_the_port():
    async def bench(ctx, window):
        ask(ctx, window, 5, 0x12345678)
        await answer(ctx, window)
        ctx.set(window.hold, 1)
        ask(ctx, window, 5)
        for _ in range(10):
            await ctx.tick()
            assert not ctx.get(window.read.enable)
            assert not ctx.get(window.bus.ack)
        ctx.set(window.hold, 0)
        assert ctx.get(window.read.enable)
        assert await answer(ctx, window) == (2, 0x12345678)

    simulate(bench)


@pytest.mark.parametrize("waits", range(5))
@pytest.mark.parametrize("pause", range(4))
def test_a_read_that_is_given_up_answers_nobody_else(waits, pause):
    async def bench(ctx, window):
        for word in (5, 6):
            ask(ctx, window, word, word)
            await answer(ctx, window)
        ctx.set(window.hold, 1)
        ask(ctx, window, 5)
        for _ in range(waits):
            await ctx.tick()
        give_up(ctx, window)
        ctx.set(window.hold, 0)
        for _ in range(1 + pause):
            await ctx.tick()
            assert not ctx.get(window.bus.ack)
        ask(ctx, window, 6)
        assert (await answer(ctx, window))[1] == 6

    simulate(bench)
