# amaranth: UnusedElaboratable=no
"""The UART: frames on its pins, buffers, flags and registers."""

from collections.abc import Iterable

import pytest
from amaranth.sim import Simulator
from cimarron.isa import UartRegister
from cimarron.soc.uart import Uart
from tblib.register_bus import RegisterBus

TEXT = b"\x00\xffU\xaaCimarron\x01\x80\x7f"
HAS_ROOM, RECEIVED, OVERRUN, IDLE = 1, 2, 4, 8


def simulate(dut: Uart, *testbenches, background: Iterable = ()) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(20e-9)
    for testbench in testbenches:
        simulator.add_testbench(testbench)
    for testbench in background:
        simulator.add_testbench(testbench, background=True)
    simulator.run()


def frame(byte: int, stop: int = 1) -> list[int]:
    """Levels of the line, bit by bit."""
    return [0, *(byte >> bit & 1 for bit in range(8)), stop]


async def send(ctx, dut: Uart, levels: Iterable[int], cycles: int) -> None:
    for level in levels:
        ctx.set(dut.rx, level)
        await ctx.tick().repeat(cycles)


async def settle(ctx) -> None:
    """Through the synchroniser and into the buffer."""
    await ctx.tick().repeat(6)


def loopback(dut: Uart):
    async def wire(ctx):
        async for _, _, level in ctx.tick().sample(dut.tx):
            ctx.set(dut.rx, level)

    return wire


@pytest.mark.parametrize("divisor", [4, 5, 7, 16, 33])
def test_bytes_come_back(divisor):
    dut = Uart(50_000_000, 115_200)

    async def host(ctx):
        bus = RegisterBus(ctx, dut.bus)
        await bus.write(UartRegister.DIVISOR, divisor)
        for byte in TEXT:
            await bus.write(UartRegister.DATA, byte)
        for byte in TEXT:
            while not await bus.read(UartRegister.STATUS) & RECEIVED:
                pass
            assert await bus.read(UartRegister.DATA) == 0x100 | byte
        assert await bus.read(UartRegister.DATA) == 0

    simulate(dut, host, background=[loopback(dut)])


@pytest.mark.parametrize("divisor", [4, 9])
def test_frames_follow_without_a_gap(divisor):
    dut = Uart(divisor * 1_000_000, 1_000_000)

    async def host(ctx):
        bus = RegisterBus(ctx, dut.bus)
        for byte in (0x53, 0xCA):
            await bus.write(UartRegister.DATA, byte)

    async def line(ctx):
        assert ctx.get(dut.tx) == 1
        await ctx.negedge(dut.tx)
        for level in (*frame(0x53), *frame(0xCA), 1, 1):
            for _ in range(divisor):
                assert ctx.get(dut.tx) == level
                await ctx.tick()

    simulate(dut, host, line)


@pytest.mark.parametrize("cycles", [31, 32, 33])
def test_a_sender_may_be_slightly_off(cycles):
    """By 3 percent: 0.3 bits in the middle of the stop bit, 9.5 bits after the start, where half a bit is too much."""
    dut = Uart(32_000_000, 1_000_000)

    async def testbench(ctx):
        bus = RegisterBus(ctx, dut.bus)
        for byte in (0x00, 0xA5, 0xFF):
            await send(ctx, dut, frame(byte), cycles)
        await settle(ctx)
        assert [await bus.read(UartRegister.DATA) for _ in range(4)] == [0x100, 0x1A5, 0x1FF, 0]

    simulate(dut, testbench)


def test_noise_and_broken_frames_are_no_bytes():
    dut = Uart(16_000_000, 1_000_000)

    async def testbench(ctx):
        bus = RegisterBus(ctx, dut.bus)
        # Shorter than half a start bit.
        await send(ctx, dut, [0], 6)
        await send(ctx, dut, [1], 200)
        assert await bus.read(UartRegister.STATUS) == IDLE | HAS_ROOM
        # No stop bit, and the line stays low for another 30 bits.
        await send(ctx, dut, [*frame(0x5A, stop=0), *[0] * 30, 1, 1], 16)
        assert await bus.read(UartRegister.STATUS) == IDLE | HAS_ROOM
        assert not ctx.get(dut.irq)
        await send(ctx, dut, frame(0x5A), 16)
        await settle(ctx)
        assert ctx.get(dut.irq)
        assert await bus.read(UartRegister.STATUS) == IDLE | HAS_ROOM | RECEIVED
        assert await bus.read(UartRegister.DATA) == 0x15A
        assert not ctx.get(dut.irq)

    simulate(dut, testbench)


def test_overrun_drops_the_newest_and_is_told_once():
    dut = Uart(4_000_000, 1_000_000)
    size = Uart.buffer_bytes

    async def testbench(ctx):
        bus = RegisterBus(ctx, dut.bus)
        for byte in range(size):
            await send(ctx, dut, frame(byte), 4)
        await settle(ctx)
        assert await bus.read(UartRegister.STATUS) == IDLE | HAS_ROOM | RECEIVED
        await send(ctx, dut, frame(0xEE), 4)
        await settle(ctx)
        assert await bus.read(UartRegister.STATUS) == IDLE | HAS_ROOM | RECEIVED | OVERRUN
        assert await bus.read(UartRegister.STATUS) == IDLE | HAS_ROOM | RECEIVED
        assert [await bus.read(UartRegister.DATA) for _ in range(size + 1)] == [*range(0x100, 0x100 + size), 0]
        assert await bus.read(UartRegister.STATUS) == IDLE | HAS_ROOM

    simulate(dut, testbench)


def test_a_byte_without_room_is_dropped():
    dut = Uart(64_000_000, 1_000_000)
    # One byte leaves the buffer for the line at once.
    taken = Uart.buffer_bytes + 1
    heard = []

    async def host(ctx):
        bus = RegisterBus(ctx, dut.bus)
        for byte in range(taken):
            assert await bus.read(UartRegister.STATUS) & HAS_ROOM
            await bus.write(UartRegister.DATA, byte)
        assert not await bus.read(UartRegister.STATUS) & HAS_ROOM
        await bus.write(UartRegister.DATA, 0xEE)
        while len(heard) < taken:
            await ctx.tick()
        await ctx.tick().repeat(12 * 64)
        assert heard == list(range(taken))

    async def listener(ctx):
        while True:
            await ctx.negedge(dut.tx)
            await ctx.tick().repeat(32)
            bits = []
            for _ in range(10):
                bits.append(ctx.get(dut.tx))
                if len(bits) < 10:
                    await ctx.tick().repeat(64)
            byte = sum(bit << index for index, bit in enumerate(bits[1:9]))
            assert bits == frame(byte)
            heard.append(byte)

    simulate(dut, host, background=[listener])


def test_the_transmitter_is_idle_when_the_last_stop_bit_is_over():
    divisor = 16
    dut = Uart(divisor * 1_000_000, 1_000_000)

    async def host(ctx):
        bus = RegisterBus(ctx, dut.bus)
        for byte in (0x00, 0x0F):
            await bus.write(UartRegister.DATA, byte)
        while not await bus.read(UartRegister.STATUS) & IDLE:
            # A low line is a start or data bit: never at rest.
            assert len(levels) < 2 * 10 * divisor + 8
        started = levels.index(0)
        assert len(levels) - started >= 2 * 10 * divisor
        await ctx.tick().repeat(40)
        assert 0 not in levels[started + 2 * 10 * divisor :]

    levels = []

    async def listener(ctx):
        async for _, _, level in ctx.tick().sample(dut.tx):
            levels.append(level)

    simulate(dut, host, background=[listener])


@pytest.mark.parametrize(
    ("written", "read"),
    [(0, 4), (3, 4), (4, 4), (434, 434), (2**24 - 1, 2**24 - 1), (2**24, 2**24 - 1), (2**32 - 1, 2**24 - 1)],
)
def test_the_divisor_is_clamped(written, read):
    dut = Uart(50_000_000, 115_200)

    async def testbench(ctx):
        bus = RegisterBus(ctx, dut.bus)
        assert await bus.read(UartRegister.DIVISOR) == 434
        await bus.write(UartRegister.DIVISOR, written)
        assert await bus.read(UartRegister.DIVISOR) == read

    simulate(dut, testbench)


def test_single_bytes_of_a_register_can_be_written():
    dut = Uart(50_000_000, 115_200)

    async def testbench(ctx):
        bus = RegisterBus(ctx, dut.bus)
        await bus.write(UartRegister.DIVISOR, 0x123456)
        await bus.write(UartRegister.DIVISOR, 0xAABBCCDD, sel=0b0010)
        assert await bus.read(UartRegister.DIVISOR) == 0x12CC56
        assert await bus.read(0xC) == 0

    simulate(dut, testbench)


def test_impossible_rates_are_refused():
    with pytest.raises(
        ValueError, match=r"^Baud rate 12000000 at a clock of 30000000 Hz needs 3 cycles per bit, not 4 to"
    ):
        Uart(30_000_000, 12_000_000)
    with pytest.raises(ValueError, match=r"needs 20000000 cycles per bit, not 4 to 16777215$"):
        Uart(2_000_000_000, 100)
    with pytest.raises(TypeError, match=r"^Baud rate must be a positive integer, not 0$"):
        Uart(50_000_000, 0)
