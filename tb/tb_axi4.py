"""Bench of the Wishbone to AXI4 bridge: a memory in order, whatever the AXI side does."""

import os
from collections import deque
from random import Random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from tblib.axi import AxiMemory, AxiRules

OUTSTANDING, BURST_BEATS = int(os.environ["CIMARRON_OUTSTANDING"]), int(os.environ["CIMARRON_BURST_BEATS"])
PAGE_WORDS = 1024
#: Words that answer; those beyond end in err.
WORDS = 2 * PAGE_WORDS
PATIENCE = 4000


class Initiator:
    """Pipelined Wishbone: offers a request whenever there is one and it does not pause."""

    def __init__(self, dut, rng: Random, pause: float):
        self.dut, self.rng, self.pause = dut, rng, pause
        self.requests: deque[tuple[int, int, int, int]] = deque()
        self.accepted: list[tuple[int, int, int, int]] = []
        #: Cycle, whether it failed, and data.
        self.answers: list[tuple[int, bool, int]] = []
        self.cycle = 0
        self.hang_up = False

    def _offer(self) -> bool:
        dut = self.dut
        if not self.requests or self.rng.random() < self.pause:
            dut.bus__stb.value = 0
            return False
        dut.bus__adr.value, dut.bus__we.value, dut.bus__dat_w.value, dut.bus__sel.value = self.requests[0]
        dut.bus__stb.value = 1
        return True

    async def run(self) -> None:
        dut = self.dut
        offered = False
        while True:
            await RisingEdge(dut.clk)
            self.cycle += 1
            if int(dut.bus__ack.value) or int(dut.bus__err.value):
                assert len(self.answers) < len(self.accepted), "an answer to nothing"
                assert not (int(dut.bus__ack.value) and int(dut.bus__err.value))
                writes = self.accepted[len(self.answers)][1]
                data = 0 if writes else int(dut.bus__dat_r.value)
                self.answers.append((self.cycle, bool(int(dut.bus__err.value)), data))
            if offered and not int(dut.bus__stall.value):
                self.accepted.append(self.requests.popleft())
                offered = False
            if self.hang_up:
                self.hang_up = False
                self.requests.clear()
                del self.accepted[len(self.answers) :]
                dut.bus__cyc.value = dut.bus__stb.value = 0
                offered = False
                continue
            if not offered:
                offered = self._offer()
            dut.bus__cyc.value = offered or len(self.answers) < len(self.accepted)

    async def finish(self) -> None:
        """Wait for the last answer."""
        waited = 0
        while self.requests or len(self.answers) < len(self.accepted):
            before = len(self.accepted) + len(self.answers)
            await RisingEdge(self.dut.clk)
            waited = 0 if len(self.accepted) + len(self.answers) != before else waited + 1
            assert waited < PATIENCE, f"no answer for {PATIENCE} cycles"


async def start(dut, *, pause: float = 0.0, busy: float = 0.0, late: float = 0.0):
    """Clock, reset, the initiator, and random content in the memory."""
    rng = Random(cocotb.RANDOM_SEED)
    Clock(dut.clk, 10, unit="ns").start()
    dut.rst.value = 1
    dut.bus__cyc.value = dut.bus__stb.value = 0
    content = bytearray(rng.randbytes(4 * WORDS))
    AxiMemory(dut, "axi_", dut.clk, content, 0, rng, busy=busy, late=late)
    rules, initiator = AxiRules(dut, "axi_", dut.clk), Initiator(dut, rng, pause)
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0
    cocotb.start_soon(rules.run())
    cocotb.start_soon(initiator.run())
    await ClockCycles(dut.clk, 2)
    return rng, content, initiator, rules


def random_requests(rng: Random, number: int) -> list[tuple[int, int, int, int]]:
    """Runs of reads or writes over few words, page ends among them, and some where there is no memory."""
    requests = []
    while len(requests) < number:
        start = rng.choice((rng.randrange(8), PAGE_WORDS - 4 + rng.randrange(8), rng.randrange(WORDS)))
        if rng.random() < 0.1:
            start = WORDS + rng.randrange(PAGE_WORDS)
        we, step = rng.randrange(2), rng.choice((0, 1, 1, 1, 1, 2, -1))
        for _ in range(rng.choice((1, 2, 3, rng.randrange(1, 40)))):
            # A word of which nothing is written would be written to no memory without an error.
            sel = 15 if rng.random() < 0.7 else rng.randrange(start >= WORDS, 16)
            requests.append((start, we, rng.getrandbits(32), sel))
            # A run never goes from one kind of memory to the other.
            if not 0 <= start + step < 2 * WORDS or (start < WORDS) != (start + step < WORDS):
                break
            start += step
    return requests


def judge(initiator: Initiator, content: bytearray, memory: bytearray) -> None:
    """Every answer is that of a memory that does one request after the other, and so is what it holds in the end."""
    assert len(initiator.answers) == len(initiator.accepted)
    for (adr, we, data, sel), (_, failed, got) in zip(initiator.accepted, initiator.answers, strict=True):
        assert failed == (adr >= WORDS), f"word {adr:#x}"
        if failed:
            continue
        if we:
            for lane in range(4):
                if sel >> lane & 1:
                    content[4 * adr + lane] = data >> 8 * lane & 0xFF
        else:
            assert got == int.from_bytes(content[4 * adr : 4 * adr + 4], "little"), f"word {adr:#x}"
    assert content == memory


async def random_traffic(dut, number: int, **pressure: float) -> AxiRules:
    rng, memory, initiator, rules = await start(dut, **pressure)
    content = bytearray(memory)
    initiator.requests.extend(random_requests(rng, number))
    await initiator.finish()
    judge(initiator, content, memory)
    # Every request is an AXI beat, once.
    reads = sum(not we for _, we, _, _ in initiator.accepted)
    assert sum(rules.lengths["ar"]) == reads
    assert sum(rules.lengths["aw"]) == rules.written == len(initiator.accepted) - reads
    return rules


@cocotb.test()
async def random_traffic_to_a_ready_memory(dut):
    await random_traffic(dut, 1500)


@cocotb.test()
async def random_traffic_to_a_slow_memory(dut):
    rules = await random_traffic(dut, 1500, busy=0.6, late=0.3)
    assert max(rules.lengths["ar"]) == BURST_BEATS
    assert max(rules.lengths["aw"]) == BURST_BEATS


@cocotb.test()
async def random_traffic_of_a_slow_initiator(dut):
    await random_traffic(dut, 800, pause=0.5, busy=0.3, late=0.6)


@cocotb.test()
async def a_word_per_cycle(dut):
    """Neighbouring words or not, reads or writes, as fast as the memory takes and answers them: one per cycle."""
    _, memory, initiator, _ = await start(dut)
    content = bytearray(memory)
    number = 200
    for we in (0, 1):
        for step in (1, 3):
            done = len(initiator.answers)
            begin = initiator.cycle
            initiator.requests.extend((step * index, we, index, 15) for index in range(number))
            await initiator.finish()
            cycles = initiator.answers[-1][0] - initiator.answers[done][0] + 1
            latency = initiator.answers[done][0] - begin
            dut._log.warning(f"we {we}, step {step}: {number} words in {cycles} cycles, the first after {latency}")
            assert len(initiator.answers) == done + number
            # The model of the memory takes 5 cycles or less; what is on its way has to cover them.
            assert latency <= 10
            assert cycles <= (number if OUTSTANDING >= 16 else 3 * number)
    judge(initiator, content, memory)


@cocotb.test()
async def bursts_grow_while_the_address_waits(dut):
    """An address channel that takes one in eight cycles or so gets bursts."""
    _, memory, initiator, rules = await start(dut, busy=7 / 8)
    content = bytearray(memory)
    initiator.requests.extend((index, 0, 0, 15) for index in range(1000))
    await initiator.finish()
    judge(initiator, content, memory)
    assert len(rules.lengths["ar"]) < 1000 / (BURST_BEATS - 1)


@cocotb.test()
async def a_cycle_given_up_leaves_no_answer(dut):
    """Reads that were given up are never heard of again, and the next cycle gets its own answers."""
    rng, memory, initiator, _ = await start(dut, busy=0.3, late=0.5)
    content = bytearray(memory)
    for _ in range(60):
        run = rng.randrange(1, 20)
        first = rng.randrange(WORDS - run)
        initiator.requests.extend((first + index, 0, 0, 15) for index in range(run))
        if rng.random() < 0.7:
            await ClockCycles(dut.clk, rng.randrange(1, 20))
            initiator.hang_up = True
            await RisingEdge(dut.clk)
            if rng.random() < 0.5:
                await ClockCycles(dut.clk, rng.randrange(30))
        else:
            await initiator.finish()
    await initiator.finish()
    judge(initiator, content, memory)
