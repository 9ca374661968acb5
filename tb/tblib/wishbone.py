"""Wishbone initiators and targets for benches; signals are named ``<prefix>__adr`` and so on."""

import random
from collections.abc import AsyncIterator

from cocotb.triggers import RisingEdge

__all__ = ["CLASSIC", "END_OF_BURST", "INCREMENTING", "Initiator", "SlowTarget", "burst_addresses"]

CLASSIC, INCREMENTING, END_OF_BURST = 0, 2, 7


def burst_addresses(start: int, beats: int, bte: int) -> list[int]:
    """Word addresses of an incrementing burst: linear, or wrapping at 4, 8 or 16 words."""
    wrap = (1 << 30, 4, 8, 16)[bte]
    return [start - start % wrap + (start + beat) % wrap for beat in range(beats)]


class Initiator:
    """Classic cycles and registered-feedback bursts.

    Parameters
    ----------
    dut : cocotb handle
        With its clock ``clk``.
    prefix : str
    rng : random.Random
    pause : float
        Probability of a cycle without ``stb`` before a beat.
    """

    def __init__(self, dut, prefix: str, rng: random.Random, pause: float = 0.0) -> None:
        self.clk = dut.clk
        self.rng, self.pause = rng, pause
        names = ("adr", "dat_w", "dat_r", "sel", "cyc", "stb", "we", "cti", "bte", "ack")
        self.pins = {name: getattr(dut, f"{prefix}__{name}") for name in names}
        for name in ("adr", "dat_w", "sel", "cyc", "stb", "we", "cti", "bte"):
            self.pins[name].value = 0

    def _set(self, **values: int) -> None:
        for name, value in values.items():
            self.pins[name].value = value

    async def _beat(self, adr: int, **values: int) -> tuple[int, int]:
        while self.rng.random() < self.pause:
            # Garbage while stb is low must not matter.
            self._set(adr=self.rng.getrandbits(30), cyc=1, stb=0)
            await RisingEdge(self.clk)
        self._set(adr=adr, cyc=1, stb=1, **values)
        cycles = 0
        while True:
            await RisingEdge(self.clk)
            cycles += 1
            if int(self.pins["ack"].value):
                break
        data = 0 if int(self.pins["we"].value) else int(self.pins["dat_r"].value)
        return data, cycles

    async def write(self, adr: int, data: int, sel: int = 0xF) -> int:
        """Write a word; returns the cycles from ``stb`` to ``ack``, both included."""
        _, cycles = await self._beat(adr, dat_w=data, sel=sel, we=1, cti=CLASSIC, bte=0)
        self._set(cyc=0, stb=0)
        return cycles

    async def read(self, adr: int) -> tuple[int, int]:
        """Read a word; returns it and the cycles."""
        answer = await self._beat(adr, dat_w=self.rng.getrandbits(32), sel=0xF, we=0, cti=CLASSIC, bte=0)
        self._set(cyc=0, stb=0)
        return answer

    async def read_burst(self, adr: int, beats: int, bte: int = 0) -> AsyncIterator[tuple[int, int, int]]:
        """Read an incrementing burst; yields address, word and cycles of every beat."""
        addresses = burst_addresses(adr, beats, bte)
        for index, address in enumerate(addresses):
            cti = END_OF_BURST if index == beats - 1 else INCREMENTING
            data, cycles = await self._beat(address, sel=0xF, we=0, cti=cti, bte=bte)
            yield address, data, cycles
        self._set(cyc=0, stb=0)


class SlowTarget:
    """A classic target with a memory, slow at random, and mute at some addresses.

    Parameters
    ----------
    dut : cocotb handle
    prefix : str
    rng : random.Random
    max_wait : int
        Most cycles before an acknowledge.
    mute : callable
        Whether it never answers at a word address.
    """

    def __init__(self, dut, prefix: str, rng: random.Random, max_wait: int, mute) -> None:
        self.clk = dut.clk
        self.rng, self.max_wait, self.mute = rng, max_wait, mute
        self.pins = {name: getattr(dut, f"{prefix}__{name}") for name in ("adr", "dat_w", "sel", "cyc", "stb", "we")}
        self.ack = getattr(dut, f"{prefix}__ack")
        self.dat_r = getattr(dut, f"{prefix}__dat_r")
        self.words: dict[int, int] = {}
        self.ack.value = 0
        self.dat_r.value = 0

    async def run(self) -> None:
        wait = None
        while True:
            await RisingEdge(self.clk)
            pins = self.pins
            selected = int(pins["cyc"].value) and int(pins["stb"].value)
            if int(self.ack.value) or not selected:
                assert selected or not int(self.ack.value), "cyc or stb fell before the acknowledge"
                self.ack.value = 0
                self.dat_r.value = self.rng.getrandbits(32)
                wait = None
                continue
            address = int(pins["adr"].value)
            if self.mute(address):
                continue
            wait = self.rng.randint(0, self.max_wait) if wait is None else wait - 1
            if wait > 0:
                continue
            wait = None
            old = self.words.get(address, 0)
            self.dat_r.value = old
            if int(pins["we"].value):
                mask = sum(0xFF << 8 * lane for lane in range(4) if int(pins["sel"].value) >> lane & 1)
                self.words[address] = old & ~mask | int(pins["dat_w"].value) & mask
            self.ack.value = 1
