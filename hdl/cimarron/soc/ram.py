"""Main memory with a port for the CPU and a wide one for the engine."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ..bus import wishbone
from ..config import SocConfig
from ..engine.ports import dma_signature
from ..isa import RAM_BASE
from ..lax_memory import lax_memory, lax_read_port

__all__ = ["Ram", "check_contents"]


def check_contents(config: SocConfig, init: bytes) -> None:
    """Check the initial contents before anything is built.

    Raises
    ------
    ValueError
        If they do not fit the memory.
    """
    if len(init) > config.ram_bytes:
        raise ValueError(f"Initial contents of {len(init)} bytes do not fit ram_bytes {config.ram_bytes}")


class Ram(wiring.Component):
    """True dual-port memory, little-endian; neither port ever waits for the other.

    The CPU port writes in one cycle and reads in three. In an incrementing burst (``cti`` 2, any ``bte``) every beat
    but the first takes one cycle, so that a cache line of 8 words arrives in 10. What it writes is in the memory a
    cycle later, as its next read sees. The DMA port takes one request per cycle, read or write, and answers it in the
    next: ``ack``, with the data of a read, or ``err`` for an address outside the memory. Bit 31 of its byte address is
    ignored.

    Bytes that one port reads in the cycle in which the other writes them may be the old ones, the new ones or others:
    who reads what another one wrote waits for its word that it is there. Two writes to the same bytes in one cycle
    leave those of either port, as block RAM would.

    In the generated Verilog the contents are the array ``memory`` (`Ram.array`) of the module whose name ends in
    ``.ram`` (the name of this submodule): one element of ``weight_port_bits`` per DMA beat, byte 0 in bits 7..0.
    A simulation loads and reads the memory there.

    Parameters
    ----------
    config : SocConfig
        Its ``ram_bytes`` and ``engine.weight_port_bits`` shape the memory.
    init : bytes
        Contents after configuration, from the first byte on; the rest is 0.

    Members
    -------
    bus : In(wishbone.Signature(features={"cti", "bte"}))
        Word addresses from the start of the memory.
    dma : In(dma_signature(config.engine))

    Raises
    ------
    ValueError
        If the initial contents do not fit.
    """

    array = "memory"

    def __init__(self, config: SocConfig, *, init: bytes = b"") -> None:
        check_contents(config, init)
        self._row_bytes = config.engine.port_bytes
        self._rows = config.ram_bytes // self._row_bytes
        self._init = bytes(init)
        super().__init__(
            {
                "bus": In(
                    wishbone.Signature(addr_width=(config.ram_bytes // 4 - 1).bit_length(), features={"cti", "bte"})
                ),
                "dma": In(dma_signature(config.engine)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        step = self._row_bytes
        rows = [int.from_bytes(self._init[start : start + step], "little") for start in range(0, len(self._init), step)]
        array = lax_memory(m, self.array, shape=8 * step, depth=self._rows, init=rows)
        write, dma_write = array.write_port(granularity=8), array.write_port(granularity=8)
        read, dma_read = lax_read_port(m, array, "cpu"), lax_read_port(m, array, "dma")

        # Block RAMs lie all over an FPGA: what reaches them from the CPU comes from registers.
        bus = self.bus
        lane_bits = (step // 4 - 1).bit_length()
        asks = bus.cyc & bus.stb
        address = Signal.like(bus.adr)
        lane = Signal(max(1, lane_bits))  # of the word that the array shows
        written, writes = Signal.like(bus.dat_w), Signal.like(bus.sel)
        reading = Signal()  # the array reads the word at `address`
        fetched = Signal()  # the array shows the word at bus.adr
        goes_on = Signal()

        following = Signal.like(bus.adr)
        m.d.comb += following.eq(address + 1)
        with m.Switch(bus.bte):
            for bte, wrap_bits in ((1, 2), (2, 3), (3, 4)):
                with m.Case(bte):
                    m.d.comb += following[wrap_bits:].eq(address[wrap_bits:])

        m.d.comb += [
            goes_on.eq(asks & ~bus.we & (~fetched | (bus.cti == 2))),
            bus.ack.eq(asks & (bus.we | fetched)),
            bus.dat_r.eq(read.data.word_select(lane, 32)),
            read.addr.eq(address >> lane_bits),
            read.en.eq(reading & ~writes.any()),
            write.addr.eq(address >> lane_bits),
            write.data.eq(written.replicate(step // 4)),
            write.en.word_select(address[:lane_bits], 4).eq(writes),
        ]
        m.d.sync += [
            address.eq(Mux(reading & goes_on, following, bus.adr)),
            lane.eq(address[:lane_bits]),
            written.eq(bus.dat_w),
            writes.eq(Mux(asks & bus.we, bus.sel, 0)),
            # In a burst, the array reads ahead of what is acknowledged; what nobody takes is read again.
            reading.eq(goes_on & (~reading | (bus.cti == 2))),
            fetched.eq(goes_on & reading),
        ]

        dma = self.dma
        row_bits = (self._rows - 1).bit_length()
        inside = dma.adr[row_bits:-1] == RAM_BASE // step >> row_bits
        request = dma.cyc & dma.stb
        m.d.comb += [
            dma_read.addr.eq(dma.adr),
            # Whether a request may write is known late, that there is one is not: then it reads, too.
            dma_read.en.eq(request),
            dma.dat_r.eq(dma_read.data),
            dma_write.addr.eq(dma.adr),
            dma_write.data.eq(dma.dat_w),
            dma_write.en.eq(Mux(request & inside & dma.we, dma.sel, 0)),
        ]
        m.d.sync += [dma.ack.eq(request & inside), dma.err.eq(request & ~inside)]
        return m
