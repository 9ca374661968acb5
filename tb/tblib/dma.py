"""Memory behind a pipelined Wishbone port."""

from collections import deque
from random import Random

from cocotb.triggers import FallingEdge


class DmaMemory:
    """Answers a DUT's requests in order, as late and as irregularly as asked.

    A write is done when it is answered: whoever reads before that sees what was there.

    Parameters
    ----------
    dut : cocotb handle
        With pins ``dma__*``.
    content : bytearray
        Read and written directly with each answer; addresses from ``base`` on are inside, all others end in ``err``.
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

    def _written(self, enables: int) -> int:
        """Data of a write; what its byte enables leave out may be undefined."""
        bits = str(self.dut.dma__dat_w.value)
        lanes = [bits[8 * lane : 8 * lane + 8] for lane in reversed(range(self.port_bytes))]
        return sum(int(byte, 2) << 8 * lane for lane, byte in enumerate(lanes) if enables >> lane & 1)

    async def run(self) -> None:
        """Serve forever; pins change at the falling edge, where ``stb`` is already what the next rising edge sees."""
        dut = self.dut
        requests: deque[tuple[int, int, int]] = deque()  # address, byte enables of a write or 0, data
        while True:
            dut.dma__ack.value = dut.dma__err.value = 0
            if requests and self.rng.random() >= self.late:
                address, enables, data = requests.popleft()
                offset = address - self.base
                if 0 <= offset <= len(self.content) - self.port_bytes:
                    dut.dma__ack.value = 1
                    for lane in range(self.port_bytes):
                        if enables >> lane & 1:
                            self.content[offset + lane] = data >> 8 * lane & 0xFF
                    content = self.content[offset : offset + self.port_bytes]
                    dut.dma__dat_r.value = int.from_bytes(content, "little")
                else:
                    dut.dma__err.value = 1
            stalled = self.rng.random() < self.stall
            dut.dma__stall.value = stalled
            if dut.dma__cyc.value != 1:
                requests.clear()
            elif dut.dma__stb.value == 1 and not stalled:
                address, writes = int(dut.dma__adr.value) * self.port_bytes, dut.dma__we.value == 1
                enables, data = (int(dut.dma__sel.value), self._written(int(dut.dma__sel.value))) if writes else (0, 0)
                requests.append((address, enables, data))
            await FallingEdge(dut.clk)
