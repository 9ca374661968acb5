# amaranth: UnusedElaboratable=no
"""Main memory: cycles of the CPU port, throughput of the DMA port, and both at once."""

import random
from collections.abc import Callable

import pytest
from amaranth.sim import Simulator
from cimarron.config import PRESETS, SocConfig
from cimarron.isa import RAM_BASE
from cimarron.soc.ram import Ram

CONFIGS = {name: PRESETS[name] for name in ("tiny", "default")}
CLASSIC, INCREMENTING, END_OF_BURST = 0, 2, 7


def simulate(config: SocConfig, *benches: Callable, init: bytes = b"") -> None:
    """Run benches, called with a context and the memory, on a memory of the smallest size."""
    dut = Ram(SocConfig(engine=config.engine, ram_bytes=65536), init=init)
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    for bench in benches:

        async def run(ctx, bench=bench) -> None:
            await bench(ctx, dut)

        simulator.add_testbench(run)
    simulator.run()


async def access(
    ctx, dut: Ram, word: int, *, write: int | None = None, sel: int = 0xF, cti: int = CLASSIC, bte: int = 0
):
    """One transfer on the CPU port; returns the data and the cycles it took."""
    bus = dut.bus
    for name, value in (("adr", word), ("sel", sel), ("cyc", 1), ("stb", 1), ("cti", cti), ("bte", bte)):
        ctx.set(getattr(bus, name), value)
    ctx.set(bus.we, write is not None)
    ctx.set(bus.dat_w, write or 0)
    for cycles in range(1, 10):
        ack, data = ctx.get(bus.ack), ctx.get(bus.dat_r)
        await ctx.tick()
        if ack:
            ctx.set(bus.stb, 0)
            if cti != INCREMENTING:
                ctx.set(bus.cyc, 0)
            return data, cycles
    raise AssertionError(f"no acknowledge of word {word:#x}")


@pytest.mark.parametrize("name", CONFIGS)
def test_initial_contents_are_little_endian(name: str) -> None:
    init = bytes(range(1, 38))

    async def bench(ctx, dut: Ram) -> None:
        for word in range(11):
            expected = int.from_bytes(init[4 * word : 4 * word + 4], "little")
            assert await access(ctx, dut, word) == (expected, 3)

    simulate(CONFIGS[name], bench, init=init)


@pytest.mark.parametrize("name", CONFIGS)
def test_bytes_are_written_in_one_cycle(name: str) -> None:
    rng = random.Random(11)

    async def bench(ctx, dut: Ram) -> None:
        model = bytearray(65536)
        words = [0, 1, 2, 3, 4, 16383, *(rng.randrange(16384) for _ in range(40))]
        for word in words:
            value, sel = rng.getrandbits(32), rng.randrange(16)
            _, cycles = await access(ctx, dut, word, write=value, sel=sel)
            assert cycles == 1
            for lane in range(4):
                if sel >> lane & 1:
                    model[4 * word + lane] = value >> 8 * lane & 0xFF
        for word in words:
            data, _ = await access(ctx, dut, word)
            assert data == int.from_bytes(model[4 * word : 4 * word + 4], "little")

    simulate(CONFIGS[name], bench)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(("bte", "order"), [(0, "56789abc"), (1, "5674"), (2, "56701234"), (3, "56789abcdef01234")])
def test_burst_takes_two_cycles_more_than_it_has_beats(name: str, bte: int, order: str) -> None:
    init = b"".join((0x1000 + word).to_bytes(4, "little") for word in range(16))

    async def bench(ctx, dut: Ram) -> None:
        total = 0
        for beat, digit in enumerate(order):
            cti = END_OF_BURST if beat == len(order) - 1 else INCREMENTING
            data, cycles = await access(ctx, dut, int(digit, 16), cti=cti, bte=bte)
            assert data == 0x1000 + int(digit, 16)
            total += cycles
        assert total == len(order) + 2

    simulate(CONFIGS[name], bench, init=init)


def test_burst_waits_for_the_initiator() -> None:
    init = b"".join((0x2000 + word).to_bytes(4, "little") for word in range(8))

    async def bench(ctx, dut: Ram) -> None:
        for word in range(8):
            data, _ = await access(ctx, dut, word, cti=INCREMENTING if word < 7 else END_OF_BURST)
            assert data == 0x2000 + word
            for _ in range(word % 3):
                await ctx.tick()

    simulate(CONFIGS["tiny"], bench, init=init)


@pytest.mark.parametrize("cycles", [1, 2])
@pytest.mark.parametrize("cti", [CLASSIC, INCREMENTING])
def test_a_read_that_is_given_up_leaves_nothing_behind(cycles: int, cti: int) -> None:
    """The next access, from the next cycle on, is as if nothing had been before."""
    init = b"".join((0x3000 + word).to_bytes(4, "little") for word in range(16))

    async def bench(ctx, dut: Ram) -> None:
        for name, value in (("adr", 3), ("cyc", 1), ("stb", 1), ("cti", cti)):
            ctx.set(getattr(dut.bus, name), value)
        for _ in range(cycles):
            assert not ctx.get(dut.bus.ack)
            await ctx.tick()
        ctx.set(dut.bus.stb, 0)
        await ctx.tick()
        assert await access(ctx, dut, 9) == (0x3009, 3)
        assert (await access(ctx, dut, 4, write=7))[1] == 1
        assert await access(ctx, dut, 4) == (7, 3)

    simulate(CONFIGS["tiny"], bench, init=init)


@pytest.mark.parametrize("name", CONFIGS)
def test_dma_takes_a_beat_per_cycle_while_the_cpu_writes(name: str) -> None:
    step = CONFIGS[name].engine.port_bytes
    beats = 32
    init = random.Random(12).randbytes(step * beats)
    first = RAM_BASE // step

    async def dma(ctx, dut: Ram) -> None:
        port = dut.dma
        ctx.set(port.cyc, 1)
        ctx.set(port.stb, 1)
        for beat in range(beats):
            # Both names of the memory, bit 31 set and clear, in turn.
            ctx.set(port.adr, first + beat + (beat % 2) * (2**31 // step))
            assert not ctx.get(port.stall)
            await ctx.tick()
            assert (ctx.get(port.ack), ctx.get(port.err)) == (1, 0)
            assert ctx.get(port.dat_r) == int.from_bytes(init[step * beat :][:step], "little")
        ctx.set(port.stb, 0)
        await ctx.tick()
        assert (ctx.get(port.ack), ctx.get(port.err)) == (0, 0)

    async def cpu(ctx, dut: Ram) -> None:
        for word in range(beats):
            _, cycles = await access(ctx, dut, 16383 - word, write=word)
            assert cycles == 1

    simulate(CONFIGS[name], dma, cpu, init=init)


@pytest.mark.parametrize("name", CONFIGS)
def test_dma_refuses_what_is_not_in_memory(name: str) -> None:
    step = CONFIGS[name].engine.port_bytes
    outside = [0, RAM_BASE - step, RAM_BASE + 65536, 0x8000_0000, 0xC001_0000, 0xFFFF_FFFF - step + 1]
    inside = [RAM_BASE, RAM_BASE + 65536 - step, 0xC000_0000]

    async def bench(ctx, dut: Ram) -> None:
        port = dut.dma
        ctx.set(port.cyc, 1)
        ctx.set(port.stb, 1)
        ctx.set(port.dat_w, 1)
        ctx.set(port.sel, 1)
        for addresses, write, answer in ((outside, 1, (0, 1)), (outside, 0, (0, 1)), (inside, 0, (1, 0))):
            ctx.set(port.we, write)
            for address in addresses:
                ctx.set(port.adr, address // step)
                await ctx.tick()
                assert (ctx.get(port.ack), ctx.get(port.err)) == answer, hex(address)
                assert not answer[0] or ctx.get(port.dat_r) == 0, "nothing outside was written"

    simulate(CONFIGS[name], bench)


@pytest.mark.parametrize("name", CONFIGS)
def test_dma_writes_a_beat_per_cycle_while_the_cpu_works(name: str) -> None:
    """Bytes as enabled, both names of the memory in turn; the other port reads elsewhere and writes elsewhere."""
    step = CONFIGS[name].engine.port_bytes
    rng = random.Random(13)
    init = rng.randbytes(64 * step)
    expected = bytearray(init)
    first = RAM_BASE // step

    async def dma(ctx, dut: Ram) -> None:
        port = dut.dma
        ctx.set(port.cyc, 1)
        ctx.set(port.stb, 1)
        ctx.set(port.we, 1)
        for beat in range(32):
            data, sel = rng.randbytes(step), rng.getrandbits(step)
            for lane in range(step):
                if sel >> lane & 1:
                    expected[beat * step + lane] = data[lane]
            ctx.set(port.adr, first + beat + (beat % 2) * (2**31 // step))
            ctx.set(port.dat_w, int.from_bytes(data, "little"))
            ctx.set(port.sel, sel)
            assert not ctx.get(port.stall)
            await ctx.tick()
            assert (ctx.get(port.ack), ctx.get(port.err)) == (1, 0)
        ctx.set(port.we, 0)
        for beat in range(64):
            ctx.set(port.adr, first + beat)
            await ctx.tick()
            assert ctx.get(port.dat_r) == int.from_bytes(expected[beat * step :][:step], "little")

    async def cpu(ctx, dut: Ram) -> None:
        for beat in range(12):
            word = 40 * step // 4 + beat
            assert (await access(ctx, dut, word))[0] == int.from_bytes(init[4 * word : 4 * word + 4], "little")
            expected[4 * word : 4 * word + 4] = value = rng.randbytes(4)
            assert (await access(ctx, dut, word, write=int.from_bytes(value, "little")))[1] == 1

    simulate(CONFIGS[name], dma, cpu, init=init)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("ticks", range(5))
def test_a_read_of_the_cpu_meets_a_write(name: str, ticks: int) -> None:
    """The other port writes two bytes of the word before, in and after the cycle in which it is read: those are the old
    or the new ones, and whatever they are in that cycle; the others stay as they are."""
    step = CONFIGS[name].engine.port_bytes
    unknown, old, new = 0xFF0000FF, 0x01010101, 0x01AAAA01

    async def dma(ctx, dut: Ram) -> None:
        port = dut.dma
        ctx.set(port.cyc, 1)
        ctx.set(port.we, 1)
        ctx.set(port.adr, RAM_BASE // step)
        ctx.set(port.dat_w, int.from_bytes(b"\xaa" * step, "little"))
        ctx.set(port.sel, 0b0110)
        for tick in range(5):
            ctx.set(port.stb, tick == ticks)
            await ctx.tick()
        ctx.set(port.stb, 0)

    async def cpu(ctx, dut: Ram) -> None:
        data, cycles = await access(ctx, dut, 0)
        assert cycles == 3
        assert data & unknown == old & unknown
        assert ticks == 1 or data == (new if ticks == 0 else old)  # it is read in the second cycle
        for _ in range(5):
            await ctx.tick()
        assert await access(ctx, dut, 0) == (new, 3)

    simulate(CONFIGS[name], dma, cpu, init=bytes([1]) * step)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_cpu_sees_what_dma_wrote(name: str) -> None:
    step = CONFIGS[name].engine.port_bytes

    async def bench(ctx, dut: Ram) -> None:
        port = dut.dma
        ctx.set(port.cyc, 1)
        ctx.set(port.stb, 1)
        ctx.set(port.we, 1)
        ctx.set(port.adr, RAM_BASE // step + 3)
        ctx.set(port.dat_w, int.from_bytes(bytes(range(step)), "little"))
        ctx.set(port.sel, (1 << step) - 1)
        await ctx.tick()
        ctx.set(port.stb, 0)
        for lane in range(step // 4):
            expected = int.from_bytes(bytes(range(4 * lane, 4 * lane + 4)), "little")
            assert (await access(ctx, dut, 3 * step // 4 + lane))[0] == expected

    simulate(CONFIGS[name], bench)


def test_dma_sees_what_the_cpu_wrote() -> None:
    step = CONFIGS["default"].engine.port_bytes

    async def bench(ctx, dut: Ram) -> None:
        for lane in range(step // 4):
            await access(ctx, dut, step // 4 + lane, write=0x1111_1111 * (lane + 1))
        await ctx.tick()  # in which the memory is written
        ctx.set(dut.dma.cyc, 1)
        ctx.set(dut.dma.stb, 1)
        ctx.set(dut.dma.adr, RAM_BASE // step + 1)
        await ctx.tick()
        assert ctx.get(dut.dma.dat_r) == 0x44444444_33333333_22222222_11111111

    simulate(CONFIGS["default"], bench)


def test_dma_meets_a_write() -> None:
    step = CONFIGS["default"].engine.port_bytes

    async def bench(ctx, dut: Ram) -> None:
        ctx.set(dut.dma.cyc, 1)
        ctx.set(dut.dma.stb, 1)
        ctx.set(dut.dma.adr, RAM_BASE // step + 2)
        _, cycles = await access(ctx, dut, 2 * (step // 4) + 1, write=0xAABBCCDD, sel=0b0110)
        assert cycles == 1
        await ctx.tick()  # in which the memory is written and read
        assert ctx.get(dut.dma.dat_r) & ~(0xFFFF00 << 32) == 0x01010101_01010101_01000001_01010101
        await ctx.tick()
        assert ctx.get(dut.dma.dat_r) == 0x01010101_01010101_01BBCC01_01010101

    simulate(CONFIGS["default"], bench, init=bytes([1]) * 64)


def test_contents_must_fit() -> None:
    with pytest.raises(ValueError, match=r"^Initial contents of 131073 bytes do not fit ram_bytes 131072$"):
        Ram(PRESETS["tiny"], init=bytes(131073))
