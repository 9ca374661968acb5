# amaranth: UnusedElaboratable=no
"""The timer: counting, reading 64 bits in two halves, interrupting."""

import pytest
from amaranth.sim import Simulator
from cimarron.isa import TimerRegister
from cimarron.soc.timer import Timer
from tblib.register_bus import RegisterBus


def simulate(testbench, **options: int) -> None:
    dut = Timer(**options)

    async def run(ctx):
        await testbench(ctx, dut, RegisterBus(ctx, dut.bus))

    simulator = Simulator(dut)
    simulator.add_clock(20e-9)
    simulator.add_testbench(run)
    simulator.run()


async def count(bus: RegisterBus) -> int:
    low = await bus.read(TimerRegister.COUNT_LOW)
    return low | await bus.read(TimerRegister.COUNT_HIGH) << 32


def test_it_counts_cycles():
    async def testbench(ctx, dut, bus):
        assert await count(bus) == 0
        # The two reads took two cycles each.
        assert await count(bus) == 4
        await ctx.tick().repeat(1000)
        assert await count(bus) == 1008
        await bus.write(TimerRegister.COUNT_LOW, 5)
        assert await bus.read(TimerRegister.COUNT_LOW) == 1014

    simulate(testbench)


def test_it_interrupts_from_the_moment_of_equality_until_the_comparison_moves():
    async def testbench(ctx, dut, bus):
        await bus.write(TimerRegister.COMPARE_LOW, 20)
        await bus.write(TimerRegister.COMPARE_HIGH, 0)
        await bus.write(TimerRegister.CONTROL, 1)
        # Six cycles have gone by: count is 6, is 20 after 14 more, and the interrupt follows a cycle later.
        await ctx.tick().repeat(14)
        assert not ctx.get(dut.irq)
        await ctx.tick()
        assert ctx.get(dut.irq)
        await ctx.tick().repeat(50)
        assert ctx.get(dut.irq)
        await bus.write(TimerRegister.COMPARE_LOW, 10_000)
        assert not ctx.get(dut.irq)
        # The upper half takes part in the comparison.
        await bus.write(TimerRegister.COMPARE_LOW, 0)
        assert ctx.get(dut.irq)
        await bus.write(TimerRegister.COMPARE_HIGH, 1)
        assert not ctx.get(dut.irq)

    simulate(testbench)


def test_it_is_silent_until_enabled():
    async def testbench(ctx, dut, bus):
        assert await bus.read(TimerRegister.COMPARE_LOW) == 0xFFFF_FFFF
        assert await bus.read(TimerRegister.COMPARE_HIGH) == 0xFFFF_FFFF
        assert await bus.read(TimerRegister.CONTROL) == 0
        await bus.write(TimerRegister.COMPARE_LOW, 0)
        await bus.write(TimerRegister.COMPARE_HIGH, 0)
        await ctx.tick().repeat(5)
        assert not ctx.get(dut.irq)
        await bus.write(TimerRegister.CONTROL, 0xFFFF_FFFF)
        assert ctx.get(dut.irq)
        assert await bus.read(TimerRegister.CONTROL) == 1
        await bus.write(TimerRegister.CONTROL, 0)
        assert not ctx.get(dut.irq)

    simulate(testbench)


def test_registers_keep_their_bytes():
    async def testbench(ctx, dut, bus):
        await bus.write(TimerRegister.COMPARE_LOW, 0x01234567)
        await bus.write(TimerRegister.COMPARE_HIGH, 0x89ABCDEF)
        await bus.write(TimerRegister.COMPARE_HIGH, 0x55555555, sel=0b1001)
        assert await bus.read(TimerRegister.COMPARE_LOW) == 0x01234567
        assert await bus.read(TimerRegister.COMPARE_HIGH) == 0x55ABCD55
        for offset in range(0x14, 0x20, 4):
            await bus.write(offset, 0xFFFF_FFFF)
            assert await bus.read(offset) == 0

    simulate(testbench)


@pytest.mark.parametrize("ahead", range(4))
def test_the_upper_half_is_that_of_the_lower_half_read(ahead):
    """Around the carry out of bit 31."""

    async def testbench(ctx, dut, bus):
        start = 2**32 - 1 - ahead
        assert [await count(bus) for _ in range(3)] == [start, start + 4, start + 8]

    simulate(testbench, start=2**32 - 1 - ahead)


def test_a_start_beyond_the_counter_is_refused():
    with pytest.raises(ValueError, match=r"^Start of the timer must fit its 64 bits, not -1$"):
        Timer(start=-1)
