"""Arbiter and decoder under random traffic, with the memory and a slow device behind them."""

import random

import cocotb
from bus_fabric import DEVICE_BASE, RAM_BYTES, TIMEOUT_CYCLES
from cimarron.isa import RAM_BASE, UNCACHED
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from tblib.foreign_wishbone import ForeignInitiator, Op
from tblib.wishbone import END_OF_BURST, INCREMENTING, Initiator, SlowTarget

RAM_WORD, DEVICE_WORD = RAM_BASE // 4, DEVICE_BASE // 4
RAM_WORDS = RAM_BYTES // 4
UNMAPPED = (
    0,
    RAM_WORD - 1,
    RAM_WORD + RAM_WORDS,
    (UNCACHED + RAM_BASE) // 4 + RAM_WORDS,
    DEVICE_WORD + 1024,
    2**30 - 1,
)
#: The last words of the device never answer.
MUTE = range(1008, 1024)


def is_mute(address: int) -> bool:
    return address in MUTE


class ErrorMonitor:
    """Every error pulse, as (byte address, write); a target that was given up must be released in that cycle."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.seen: list[tuple[int, bool]] = []

    async def run(self) -> None:
        while True:
            await RisingEdge(self.dut.clk)
            if int(self.dut.error.value):
                assert not int(self.dut.device__cyc.value)
                assert not int(self.dut.device__stb.value)
                self.seen.append((int(self.dut.error_address.value), bool(int(self.dut.error_write.value))))


class Traffic:
    """Random transfers of one initiator, which owns every third block of 16 words, and what they must read.

    Both names of the memory are used. Unowned words are not touched, so that the order among initiators is free.
    """

    def __init__(self, dut, index: int, rng: random.Random, pause: float) -> None:
        self.bus = Initiator(dut, f"initiators__{index}", rng, pause)
        self.index, self.rng = index, rng
        self.words: dict[int, int] = {}
        self.errors: list[tuple[int, bool]] = []

    def _owned(self, limit: int) -> int:
        return 16 * (3 * self.rng.randrange(limit // 48) + self.index) + self.rng.randrange(16)

    async def run(self, transfers: int) -> None:
        for _ in range(transfers):
            kind = self.rng.choices(("ram", "burst", "device", "nobody", "mute"), weights=(6, 4, 4, 1, 0.3))[0]
            alias = self.rng.choice((0, UNCACHED // 4))
            if kind == "burst":
                await self._burst(RAM_WORD | alias)
            elif kind == "ram":
                # Few blocks, so that reads find written words.
                await self._word(RAM_WORD, alias, self._owned(480))
            elif kind == "device":
                await self._word(DEVICE_WORD, 0, self._owned(480))
            else:
                adr = self.rng.choice(UNMAPPED) if kind == "nobody" else DEVICE_WORD + self.rng.choice(MUTE)
                await self._fail(adr)
            if self.rng.random() < 0.3:
                await RisingEdge(self.bus.clk)

    async def _word(self, base: int, alias: int, offset: int) -> None:
        address = base + offset
        if self.rng.random() < 0.5:
            data, sel = self.rng.getrandbits(32), self.rng.randrange(16)
            await self.bus.write(address | alias, data, sel)
            mask = sum(0xFF << 8 * lane for lane in range(4) if sel >> lane & 1)
            self.words[address] = self.words.get(address, 0) & ~mask | data & mask
        else:
            data, _ = await self.bus.read(address | alias)
            assert data == self.words.get(address, 0), f"initiator {self.index} at word {address:#x}"

    async def _burst(self, base: int) -> None:
        block = self._owned(480) // 16 * 16
        bte = self.rng.randrange(4)
        beats = self.rng.randint(1, (8, 4, 8, 16)[bte])
        start = block + self.rng.randrange(8 if bte == 0 else 16)
        async for address, data, _ in self.bus.read_burst(base + start, beats, bte):
            assert data == self.words.get(address & ~(UNCACHED // 4), 0), f"burst of {self.index} at word {address:#x}"

    async def _fail(self, address: int) -> None:
        write = self.rng.random() < 0.5
        if write:
            await self.bus.write(address, self.rng.getrandbits(32))
        else:
            data, _ = await self.bus.read(address)
            assert data == 0
        self.errors.append((4 * address, write))


async def start(dut, *, max_wait: int = 0) -> ErrorMonitor:
    """Reset with quiet pins; the device and the monitor run from here on."""
    for index in range(3):
        Initiator(dut, f"initiators__{index}", random.Random(0))
    target = SlowTarget(dut, "device", random.Random(cocotb.RANDOM_SEED), max_wait, is_mute)
    dut.rst.value = 1
    Clock(dut.clk, 10, unit="ns").start()
    for _ in range(3):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    monitor = ErrorMonitor(dut)
    cocotb.start_soon(target.run())
    cocotb.start_soon(monitor.run())
    return monitor


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(max_wait=[0, 6], pause=[0.0, 0.4])
async def random_traffic(dut, max_wait: int, pause: float) -> None:
    monitor = await start(dut, max_wait=max_wait)
    traffic = [Traffic(dut, index, random.Random(f"{cocotb.RANDOM_SEED} {index}"), pause) for index in range(3)]
    # The memory keeps what an earlier test wrote.
    for words in range(0, 480, 48):
        for item in traffic:
            for offset in range(16):
                await item.bus.write(RAM_WORD + words + 16 * item.index + offset, 0)
    tasks = [cocotb.start_soon(item.run(150)) for item in traffic]
    for task in tasks:
        await task
    await RisingEdge(dut.clk)
    expected = [error for item in traffic for error in item.errors]
    assert len(expected) > 5
    assert sorted(monitor.seen) == sorted(expected)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def a_single_initiator_waits_for_nobody(dut) -> None:
    await start(dut)
    bus = Initiator(dut, "initiators__1", random.Random(1))
    assert await bus.write(RAM_WORD + 5, 0x1234_5678) == 1
    assert await bus.read(RAM_WORD + 5) == (0x1234_5678, 3)
    cycles = [cycles async for _, _, cycles in bus.read_burst(RAM_WORD, 8)]
    assert cycles == [3, 1, 1, 1, 1, 1, 1, 1]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def nobody_hangs(dut) -> None:
    monitor = await start(dut)
    bus = Initiator(dut, "initiators__0", random.Random(1))
    for address in UNMAPPED:
        assert await bus.read(address) == (0, 2)
        assert await bus.write(address, 1) == 2
    mute = DEVICE_WORD + MUTE[3]
    assert await bus.read(mute) == (0, TIMEOUT_CYCLES + 1)
    assert await bus.write(mute, 1) == TIMEOUT_CYCLES + 1
    _, cycles = await bus.read(DEVICE_WORD)
    assert cycles < TIMEOUT_CYCLES
    await RisingEdge(dut.clk)
    expected = [(4 * address, write) for address in (*UNMAPPED, mute) for write in (False, True)]
    assert monitor.seen == expected


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def everybody_gets_a_third(dut) -> None:
    await start(dut)
    done = [0, 0, 0]

    async def hog(index: int) -> None:
        bus = Initiator(dut, f"initiators__{index}", random.Random(index))
        while True:
            # Bursts and single transfers alike are one turn.
            async for _ in bus.read_burst(RAM_WORD, 8 if index == 0 else 1):
                pass
            done[index] += 1

    tasks = [cocotb.start_soon(hog(index)) for index in range(3)]
    for _ in range(600):
        await RisingEdge(dut.clk)
    for task in tasks:
        task.cancel()
    assert min(done) > 30
    assert max(done) - min(done) <= 1


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def initiators_that_are_not_ours(dut) -> None:
    """Three of cocotbext-wishbone at a time, each in a block of its own: words, bursts and the device."""
    monitor = await start(dut, max_wait=3)

    async def traffic(index: int) -> None:
        rng = random.Random(f"{cocotb.RANDOM_SEED} {index}")
        bus = ForeignInitiator(dut, f"initiators__{index}", optional=frozenset({"cti", "bte"}))
        words = [rng.getrandbits(32) for _ in range(16)]
        for base in (RAM_WORD + 16 * index, DEVICE_WORD + 16 * index):
            await bus.cycle([Op(adr=base + at, dat=word, idle=rng.randrange(2)) for at, word in enumerate(words)])
            for _ in range(12):
                beats = rng.randrange(1, 9)
                first = rng.randrange(17 - beats)
                # The device knows no bursts, and takes each beat for a word.
                kinds = [INCREMENTING] * (beats - 1) + [END_OF_BURST]
                reads = [Op(adr=base + first + beat, cti=kind) for beat, kind in enumerate(kinds)]
                answers = await bus.cycle(reads)
                assert not any(answer.failed for answer in answers)
                assert [answer.data for answer in answers] == words[first : first + beats]

    tasks = [cocotb.start_soon(traffic(index)) for index in range(3)]
    for task in tasks:
        await task
    assert monitor.seen == []
