"""Memory with one port, for the small system."""

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In

from ..bus import wishbone
from ..config import BANK_BYTES

__all__ = ["Bank"]


class Bank(wiring.Component):
    """Memory, little-endian. Reads and writes take two cycles.

    In the generated Verilog it is one array, which a simulation loads and reads and which an FPGA has in block RAM:
    elements of 32 bits, byte 0 in bits 7..0. Or it is made of the large blocks of an iCE40 UltraPlus, two of 16384
    words of 16 bits side by side, which have no contents after configuration.

    Parameters
    ----------
    array : str
        Name of that array.
    size : int
        Bytes, a power of two from 8 up.
    init : bytes
        Contents after configuration, from the first byte on; the rest is 0.
    blocks : bool
        Whether the memory is made of SB_SPRAM256KA. What they have beyond ``size`` is out of reach.

    Members
    -------
    bus : In(wishbone.Signature(addr_width=log2(size) - 2))
        Word addresses from the start of the memory; acknowledged in the next cycle.

    Raises
    ------
    ValueError
        If the initial contents do not fit, or the blocks are too small or should have some.
    """

    def __init__(self, array: str, size: int, *, init: bytes = b"", blocks: bool = False) -> None:
        if len(init) > size:
            raise ValueError(f"Initial contents of {len(init)} bytes do not fit a bank of {size} bytes")
        if blocks and init:
            raise ValueError("Blocks of an iCE40 UltraPlus have no initial contents")
        if blocks and size > BANK_BYTES:
            raise ValueError(f"Two blocks of an iCE40 UltraPlus have {BANK_BYTES} bytes, not {size}")
        self._array = array
        self._words = size // 4
        self._init = bytes(init)
        self._blocks = blocks
        super().__init__({"bus": In(wishbone.Signature(addr_width=(self._words - 1).bit_length()))})

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
                    i_ADDRESS=Cat(bus.adr, Const(0, 14))[:14],
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
        words = [int.from_bytes(self._init[start : start + 4], "little") for start in range(0, len(self._init), 4)]
        m.submodules[self._array] = array = memory.Memory(shape=32, depth=self._words, init=words)
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
