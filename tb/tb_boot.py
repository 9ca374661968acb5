"""The small system from power-up: the firmware comes from a flash memory, and memory is the device's blocks."""

import os
import zlib

import cocotb
from cimarron.isa import EVENT_SHIFT, FLASH_FIRMWARE, FLASH_MAGIC, Event
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, First, RisingEdge
from tblib.uart import UartListener

CYCLES_PER_BIT = int(os.environ["CYCLES_PER_BIT"])
WAKE_UP, READ = 0xAB, 0x03


class Flash:
    """A serial flash that sleeps until it is told to wake up, and then reads; bits change when the clock falls.

    Parameters
    ----------
    dut : cocotb handle
        With the pins ``flash_*``.
    contents : bytes
        From address ``FLASH_FIRMWARE`` on; erased elsewhere.

    Attributes
    ----------
    spoiled : int or None
        Index of a byte of the contents to be sent inverted.
    reads : int
        Read commands answered.
    """

    def __init__(self, dut, contents: bytes) -> None:
        self.dut, self.contents = dut, contents
        self.spoiled: int | None = None
        self.reads = 0
        self._awake = False

    def _byte(self, address: int) -> int:
        index = address - FLASH_FIRMWARE
        if not 0 <= index < len(self.contents):
            return 0xFF
        return self.contents[index] ^ (0xFF if index == self.spoiled else 0)

    async def run(self) -> None:
        dut = self.dut
        while True:
            await FallingEdge(dut.flash_cs_n)
            await self._serve()

    async def _bits(self, count: int) -> int | None:
        """So many bits from the chip, or None if it deselects the flash before."""
        dut, value = self.dut, 0
        for _ in range(count):
            deselected = RisingEdge(dut.flash_cs_n)
            if await First(RisingEdge(dut.flash_clk), deselected) is deselected:
                return None
            value = value << 1 | int(dut.flash_copi.value)
        return value

    async def _serve(self) -> None:
        dut = self.dut
        command = await self._bits(8)
        if command == WAKE_UP:
            self._awake = True
        if command != READ or not self._awake:
            return
        address = await self._bits(24)
        assert address is not None, "the address was not complete"
        self.reads += 1
        while True:
            byte = self._byte(address)
            for bit in reversed(range(8)):
                deselected = RisingEdge(dut.flash_cs_n)
                if await First(FallingEdge(dut.flash_clk), deselected) is deselected:
                    return
                dut.flash_cipo.value = byte >> bit & 1
            address += 1


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def firmware_comes_from_the_flash(dut) -> None:
    with open(os.environ["FIRMWARE"], "rb") as file:
        firmware = file.read()
    header = b"".join(word.to_bytes(4, "little") for word in (FLASH_MAGIC, len(firmware), zlib.crc32(firmware)))
    flash = Flash(dut, header + firmware)
    flash.spoiled = len(header) + 5
    dut.uart_rx.value = 1
    dut.flash_cipo.value = 1
    dut.rst.value = 1
    Clock(dut.clk, 10, unit="ns").start()
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    listener = UartListener(dut.clk, dut.uart_tx, CYCLES_PER_BIT)
    cocotb.start_soon(listener.run())
    cocotb.start_soon(flash.run())

    # What it gets the first time is wrong by a byte, and must not run.
    await RisingEdge(dut.flash_cs_n)
    while flash.reads == 0:
        await RisingEdge(dut.flash_cs_n)
    flash.spoiled = None

    seen = []
    while not seen or seen[-1][0] is not Event.TEST:
        await RisingEdge(dut.event_valid)
        word = int(dut.event.value)
        seen.append((Event(word >> EVENT_SHIFT), word & 0xFF_FFFF))
    assert seen == [
        (Event.STEP, 0x563412),  # bytes and halves of both banks
        (Event.STEP, 0x7856),
        (Event.TRAP, 1),
        (Event.TEST, 0),
    ]
    assert flash.reads == 2, "the firmware is brought once more after a wrong check sum, and not after a trap"
    assert listener.text == b"!"
