"""The two ports through which software drives the engine.

Environment variable ``NETLIST``: set if the engine is a netlist, whose outputs must not be undefined after reset.
"""

import os
from random import Random

import cocotb
from cimarron.engine.counters import COUNTERS
from cimarron.isa import ACT_WINDOW, RAM_BASE, Instruction, Register
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge

from .defined import stay_defined
from .dma import DmaMemory

__all__ = ["EnginePort", "start"]


#: Outputs that mean something in every cycle.
ALWAYS = (
    "bus__ack", "command__request__ready", "command__response__valid", "dma__cyc", "dma__stb", "irq",
    "monitor__retired", "monitor__error", "monitor__beat", *(f"monitor__{name}" for name in COUNTERS),
)  # fmt: skip

#: And those that do while another is high.
PAYLOADS = {
    "bus__ack": ("bus__dat_r",),
    "command__response__valid": ("command__response__payload",),
    "dma__stb": ("dma__we", "dma__adr", "dma__sel"),
}


class EnginePort:
    """Registers, custom instructions and the activation buffer's window of an engine.

    Pins change at the falling edge. Every access ends within ``patience`` cycles or fails.
    """

    patience = 20_000

    def __init__(self, dut):
        self.dut = dut
        dut.bus__cyc.value = dut.bus__stb.value = dut.bus__we.value = 0
        dut.command__request__valid.value = 0
        dut.command__response__ready.value = 0

    async def _until(self, pin) -> None:
        """Go on to the first falling edge, this one included, at which the pin is high."""
        for _ in range(self.patience):
            if pin.value == 1:
                return
            await FallingEdge(self.dut.clk)
        raise AssertionError(f"{pin._name} stayed low for {self.patience} cycles")

    async def bus(self, address: int, data: int | None = None, sel: int = 0xF) -> int:
        """One access over the bus: a write of ``data``, or a read that returns the word."""
        dut = self.dut
        dut.bus__adr.value = address >> 2
        dut.bus__we.value = data is not None
        dut.bus__dat_w.value = data or 0
        dut.bus__sel.value = sel
        dut.bus__cyc.value = dut.bus__stb.value = 1
        await FallingEdge(dut.clk)
        await self._until(dut.bus__ack)
        value = int(dut.bus__dat_r.value)
        dut.bus__cyc.value = dut.bus__stb.value = 0
        await FallingEdge(dut.clk)
        return value

    async def instruction(self, function: int, a: int = 0, b: int = 0) -> int:
        """One custom instruction; returns its result."""
        dut = self.dut
        dut.command__request__payload.value = function | a << 10 | b << 42
        dut.command__request__valid.value = 1
        await self._until(dut.command__request__ready)
        await FallingEdge(dut.clk)
        dut.command__request__valid.value = 0
        dut.command__response__ready.value = 1
        await self._until(dut.command__response__valid)
        value = int(dut.command__response__payload.value)
        await FallingEdge(dut.clk)
        dut.command__response__ready.value = 0
        return value

    async def read(self, register: Register) -> int:
        return await self.instruction(Instruction.READ, register)

    async def write(self, register: Register, value: int) -> None:
        await self.instruction(Instruction.WRITE, register, value)

    async def push(self, words: list[int]) -> None:
        """A job descriptor, two words per instruction, again and again until there is room."""
        for a, b in zip(words[::2], words[1::2], strict=True):
            for _ in range(self.patience):
                if await self.instruction(Instruction.PUSH, a, b):
                    break
            else:
                raise AssertionError("the queue stayed full")

    async def fetch(self, address: int, jobs: int) -> None:
        """Descriptors from memory, asked for again and again until those before have been fetched."""
        for _ in range(self.patience):
            if await self.instruction(Instruction.FETCH, address, jobs):
                return
        raise AssertionError("the fetcher stayed busy")

    async def wait_idle(self) -> int:
        """Wait until no job is left; returns the error code."""
        for _ in range(self.patience):
            status = await self.read(Register.STATUS)
            if not status & 1 or status & 2:
                return await self.read(Register.ERROR)
        raise AssertionError(f"the engine stayed busy, status {status:#x}")

    async def write_act(self, address: int, data: bytes) -> None:
        """Bytes into the activation buffer; address and length are multiples of 4."""
        for offset in range(0, len(data), 4):
            await self.bus(ACT_WINDOW + address + offset, int.from_bytes(data[offset : offset + 4], "little"))

    async def read_act(self, address: int, length: int) -> bytes:
        """Bytes of the activation buffer, at any alignment."""
        first = address & ~3
        words = [await self.bus(ACT_WINDOW + at) for at in range(first, address + length, 4)]
        data = b"".join(word.to_bytes(4, "little") for word in words)
        return data[address - first : address - first + length]


async def start(dut, content: bytearray | None = None, **pressure: float) -> tuple[Random, EnginePort]:
    """Clock, reset, and memory from RAM_BASE on; ``pressure`` is that of `DmaMemory`."""
    rng = Random(cocotb.RANDOM_SEED)
    port = EnginePort(dut)
    memory = DmaMemory(dut, content if content is not None else bytearray(256), RAM_BASE, rng, **pressure)
    Clock(dut.clk, 20, unit="ns").start()
    dut.rst.value = 1
    dut.dma__stall.value = 0
    await ClockCycles(dut.clk, 3)
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    if "NETLIST" in os.environ:
        cocotb.start_soon(stay_defined(dut, ALWAYS, PAYLOADS))
    cocotb.start_soon(memory.run())
    return rng, port
