"""The other end of a serial line: 8 data bits, no parity, one stop bit."""

from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge

__all__ = ["send_byte", "UartListener"]


class UartListener:
    """Collects in ``text`` what a pin sends.

    Parameters
    ----------
    clk, pin : cocotb handles
    cycles_per_bit : int
    """

    def __init__(self, clk, pin, cycles_per_bit: int) -> None:
        self.clk, self.pin, self.cycles_per_bit = clk, pin, cycles_per_bit
        self.text = b""

    async def run(self) -> None:
        while True:
            await FallingEdge(self.pin)
            await ClockCycles(self.clk, self.cycles_per_bit // 2)
            assert int(self.pin.value) == 0, "the start bit is too short"
            byte = 0
            for bit in range(8):
                await ClockCycles(self.clk, self.cycles_per_bit)
                byte |= int(self.pin.value) << bit
            await ClockCycles(self.clk, self.cycles_per_bit)
            assert int(self.pin.value) == 1, "there is no stop bit"
            self.text += bytes([byte])


async def send_byte(clk, pin, cycles_per_bit: int, byte: int) -> None:
    """Drive one frame."""
    await RisingEdge(clk)
    for bit in (0, *(byte >> index & 1 for index in range(8)), 1):
        pin.value = bit
        await ClockCycles(clk, cycles_per_bit)
