"""Memory of the large single-port blocks of an iCE40 UltraPlus."""

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In

from ..bus import wishbone

__all__ = ["Spram"]


class Spram(wiring.Component):
    """64 KiB, little-endian: two blocks of 16384 words of 16 bits side by side. Reads and writes take two cycles.

    The blocks have no contents after configuration. For simulation the same memory is one array in the generated
    Verilog, which can be loaded and read there: elements of 32 bits, byte 0 in bits 7..0.

    Parameters
    ----------
    array : str
        Name of that array.
    blocks : bool
        Whether the memory is made of SB_SPRAM256KA, for the device.

    Members
    -------
    bus : In(wishbone.Signature(addr_width=14))
        Word addresses from the start of the memory; acknowledged in the next cycle.
    """

    #: Bytes, and address bits of its words.
    size = 65536
    _ADDRESS_BITS = 14

    bus: In(wishbone.Signature(addr_width=_ADDRESS_BITS))

    def __init__(self, array: str, *, blocks: bool = False) -> None:
        self._array = array
        self._blocks = blocks
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus = self.bus
        m.d.sync += bus.ack.eq(bus.cyc & bus.stb & ~bus.ack)
        access = bus.cyc & bus.stb & ~bus.ack
        if self._blocks:
            for half, name in enumerate(("low", "high")):
                m.submodules[name] = Instance(
                    "SB_SPRAM256KA",
                    i_CLOCK=ClockSignal(),
                    i_ADDRESS=bus.adr,
                    i_DATAIN=bus.dat_w.word_select(half, 16),
                    o_DATAOUT=bus.dat_r.word_select(half, 16),
                    i_MASKWREN=Cat(lane.replicate(2) for lane in bus.sel.word_select(half, 2)),  # one per nibble
                    i_WREN=bus.we,
                    i_CHIPSELECT=access,
                    i_STANDBY=Const(0, 1),
                    i_SLEEP=Const(0, 1),
                    i_POWEROFF=Const(1, 1),
                )
            return m
        m.submodules[self._array] = array = memory.Memory(shape=32, depth=1 << self._ADDRESS_BITS, init=[])
        write, read = array.write_port(granularity=8), array.read_port()
        m.d.comb += [
            write.addr.eq(bus.adr),
            write.data.eq(bus.dat_w),
            write.en.eq(bus.sel & (access & bus.we).replicate(4)),
            read.addr.eq(bus.adr),
            read.en.eq(access & ~bus.we),
            bus.dat_r.eq(read.data),
        ]
        return m
