"""Read-only memory for the first instructions."""

from amaranth.hdl import Module
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In

from ..bus import wishbone

__all__ = ["Rom"]


class Rom(wiring.Component):
    """Words that are there after configuration, little-endian; writes are acknowledged and do nothing.

    Parameters
    ----------
    contents : bytes
        From the first byte on; the rest of the 1 KiB is 0.

    Members
    -------
    bus : In(wishbone.Signature(addr_width=8))
        Word addresses; acknowledged in the next cycle.

    Raises
    ------
    ValueError
        If the contents do not fit.
    """

    size = 1024

    bus: In(wishbone.Signature(addr_width=8))

    def __init__(self, contents: bytes) -> None:
        if len(contents) > self.size:
            raise ValueError(f"Contents of {len(contents)} bytes do not fit the {self.size} bytes of the boot memory")
        self._contents = bytes(contents)
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus, contents = self.bus, self._contents
        words = [int.from_bytes(contents[start : start + 4], "little") for start in range(0, len(contents), 4)]
        m.submodules.words = array = memory.Memory(shape=32, depth=self.size // 4, init=words)
        read = array.read_port()
        m.d.sync += bus.ack.eq(bus.cyc & bus.stb & ~bus.ack)
        m.d.comb += [read.addr.eq(bus.adr), bus.dat_r.eq(read.data)]
        return m
