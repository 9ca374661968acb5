# amaranth: UnusedElaboratable=no
"""The system controller: events, bus errors and what it says about the system."""

import pytest
from amaranth.sim import Simulator
from cimarron.isa import EVENT_SHIFT, Event, SystemRegister
from cimarron.soc.system import SystemController
from tblib.register_bus import RegisterBus


def simulate(testbench, *observers) -> None:
    dut = SystemController(131_072, 2_000_000_000)

    async def run(ctx):
        await testbench(ctx, dut, RegisterBus(ctx, dut.bus))

    simulator = Simulator(dut)
    simulator.add_clock(20e-9)
    simulator.add_testbench(run)
    for observer in observers:

        async def watch(ctx, observer=observer):
            await observer(ctx, dut)

        simulator.add_testbench(watch, background=True)
    simulator.run()


async def report_error(ctx, dut: SystemController, address: int, write: int) -> None:
    """One pulse, as the interconnect gives it."""
    ctx.set(dut.bus_error, 1)
    ctx.set(dut.bus_error_address, address)
    ctx.set(dut.bus_error_write, write)
    await ctx.tick()
    ctx.set(dut.bus_error, 0)
    ctx.set(dut.bus_error_address, 0)
    ctx.set(dut.bus_error_write, 0)


async def held_error(bus: RegisterBus) -> tuple[int, int]:
    return await bus.read(SystemRegister.BUS_ERROR), await bus.read(SystemRegister.BUS_ERROR_ADDRESS)


def test_each_event_pulses_once():
    words = [Event.READY << EVENT_SHIFT, Event.DONE << EVENT_SHIFT | 8, Event.DONE << EVENT_SHIFT | 8, 0, 0xFFFF_FFFF]
    seen = []

    async def watch(ctx, dut):
        async for _, _, valid, event in ctx.tick().sample(dut.event_valid, dut.event):
            if valid:
                seen.append(event)

    async def testbench(ctx, dut, bus):
        for word in words:
            await bus.write(SystemRegister.EVENT, word)
            assert await bus.read(SystemRegister.EVENT) == 0
            await bus.write(SystemRegister.CLOCK_HZ, 5)
        await ctx.tick()

    simulate(testbench, watch)
    assert seen == words


def test_the_first_bus_error_stays_until_it_is_cleared():
    async def testbench(ctx, dut, bus):
        assert await held_error(bus) == (0, 0)
        assert not ctx.get(dut.irq)
        await report_error(ctx, dut, 0x1234_5678, 1)
        assert ctx.get(dut.irq)
        await report_error(ctx, dut, 0xDEAD_BEEC, 0)
        assert await held_error(bus) == (0b11, 0x1234_5678)
        await bus.write(SystemRegister.BUS_ERROR, 0)
        assert not ctx.get(dut.irq)
        assert await held_error(bus) == (0, 0)
        await report_error(ctx, dut, 0xDEAD_BEEC, 0)
        assert ctx.get(dut.irq)
        assert await held_error(bus) == (0b01, 0xDEAD_BEEC)

    simulate(testbench)


def test_an_error_in_the_cycle_of_a_clear_is_not_lost():
    async def testbench(ctx, dut, bus):
        await report_error(ctx, dut, 0x10, 1)
        # A write takes effect in its first cycle, in which the second error comes.
        for signal, value in (
            (dut.bus.adr, SystemRegister.BUS_ERROR // 4),
            (dut.bus.we, 1),
            (dut.bus.cyc, 1),
            (dut.bus.stb, 1),
        ):
            ctx.set(signal, value)
        await report_error(ctx, dut, 0x20, 0)
        ctx.set(dut.bus.stb, 0)
        await ctx.tick()
        assert ctx.get(dut.irq)
        assert await held_error(bus) == (0b01, 0x20)

    simulate(testbench)


def test_it_describes_the_system():
    async def testbench(ctx, dut, bus):
        assert await bus.read(SystemRegister.RAM_BYTES) == 131_072
        assert await bus.read(SystemRegister.CLOCK_HZ) == 2_000_000_000
        for offset in range(0x14, 0x20, 4):
            assert await bus.read(offset) == 0

    simulate(testbench)


def test_what_fits_no_register_is_refused():
    with pytest.raises(TypeError, match=r"^RAM size must be an integer that fits a 32-bit register, not 4294967296$"):
        SystemController(2**32, 1)
    with pytest.raises(TypeError, match=r"^Clock frequency must be an integer .*, not -1$"):
        SystemController(1024, -1)
