"""Memory behind a pipelined Wishbone port."""

from collections import deque
from random import Random

from cocotb.triggers import FallingEdge


class DmaMemory:
    """Answers a DUT's read requests in order, as late and as irregularly as asked.

    Parameters
    ----------
    dut : cocotb handle
        With pins ``dma__*``.
    content : bytearray
        Read directly at each request; addresses from ``base`` on are inside, all others end in ``err``.
    base : int
        Byte address of ``content[0]``.
    rng : Random
    stall, late : float
        Probability per cycle of a stall, and of not answering although a request waits.
    """

    def __init__(self, dut, content: bytearray, base: int, rng: Random, *, stall: float = 0.0, late: float = 0.0):
        self.dut = dut
        self.content = content
        self.base = base
        self.rng = rng
        self.stall = stall
        self.late = late
        self.port_bytes = len(dut.dma__dat_r) // 8

    async def run(self) -> None:
        """Serve forever; pins change at the falling edge, where ``stb`` is already what the next rising edge sees."""
        dut = self.dut
        requests: deque[int] = deque()
        while True:
            dut.dma__ack.value = dut.dma__err.value = 0
            if requests and self.rng.random() >= self.late:
                offset = requests.popleft() - self.base
                if 0 <= offset <= len(self.content) - self.port_bytes:
                    dut.dma__ack.value = 1
                    data = self.content[offset : offset + self.port_bytes]
                    dut.dma__dat_r.value = int.from_bytes(data, "little")
                else:
                    dut.dma__err.value = 1
            stalled = self.rng.random() < self.stall
            dut.dma__stall.value = stalled
            if dut.dma__cyc.value != 1:
                requests.clear()
            elif dut.dma__stb.value == 1 and not stalled:
                requests.append(int(dut.dma__adr.value) * self.port_bytes)
            await FallingEdge(dut.clk)
