"""AXI4-Lite in, Wishbone out: how an AXI system reaches registers."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from . import axi, wishbone

__all__ = ["Axi4Lite"]


class Axi4Lite(wiring.Component):
    """Subordinate of AXI4-Lite that makes classic Wishbone cycles, one at a time.

    Each channel has a register of its own, so no output depends on an input in the same cycle. A read and a write
    that wait at the same time take turns. Of an access that finds the bridge idle, address (and data) are taken in
    cycle 0, ``stb`` is high from cycle 1 on, and the response comes one cycle after ``ack``: with a target that
    answers in the next cycle, ``rvalid`` or ``bvalid`` is high in cycle 3. Accesses follow each other every
    3 cycles then, as long as responses are taken at once.

    A write without a byte enable is answered and never seen by the target, whose registers may not look at ``sel``. The
    low bits of an address, and ``prot``, are ignored.

    Parameters
    ----------
    signature : wishbone.Signature
        Of the target, 32 or 64 bits wide, classic, with or without ``err``.

    Members
    -------
    axi : In(axi.LiteSignature)
        As wide as the target; its addresses count bytes.
    bus : Out(signature)

    Raises
    ------
    ValueError
        If the signature has ``stall``, ``cti`` or ``bte``.
    """

    def __init__(self, signature: wishbone.Signature) -> None:
        if unsupported := signature.features - {"err"}:
            raise ValueError(f"AXI4-Lite bridge makes classic cycles, without {' and '.join(sorted(unsupported))}")
        self._shift = (signature.data_width // 8).bit_length() - 1
        super().__init__({"axi": In(self.axi_signature(signature)), "bus": Out(signature)})

    @staticmethod
    def axi_signature(signature: wishbone.Signature) -> axi.LiteSignature:
        """What leads to a bus with that signature."""
        shift = (signature.data_width // 8).bit_length() - 1
        return axi.LiteSignature(addr_width=signature.addr_width + shift, data_width=signature.data_width)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        port, bus = self.axi, self.bus

        # What was taken and not yet answered. Nothing is taken during reset.
        awake = Signal()
        m.d.sync += awake.eq(1)
        write_address = Signal.like(port.awaddr)
        read_address = Signal.like(port.araddr)
        data, strobe = Signal.like(port.wdata), Signal.like(port.wstrb)
        has_address, has_data, has_read = Signal(), Signal(), Signal()
        m.d.comb += [
            port.awready.eq(awake & ~has_address),
            port.wready.eq(awake & ~has_data),
            port.arready.eq(awake & ~has_read),
        ]
        with m.If(port.awvalid & port.awready):
            m.d.sync += [has_address.eq(1), write_address.eq(port.awaddr)]
        with m.If(port.wvalid & port.wready):
            m.d.sync += [has_data.eq(1), data.eq(port.wdata), strobe.eq(port.wstrb)]
        with m.If(port.arvalid & port.arready):
            m.d.sync += [has_read.eq(1), read_address.eq(port.araddr)]

        # An access begins when there is room for its response.
        may_write, may_read = Signal(), Signal()
        m.d.comb += [
            may_write.eq(has_address & has_data & ~port.bvalid),
            may_read.eq(has_read & ~port.rvalid),
        ]
        # Whose turn it is stays as it is while the target has not answered.
        writes, waits, wrote = Signal(), Signal(), Signal()
        with m.If(waits):
            m.d.comb += writes.eq(wrote)
        with m.Else():
            m.d.comb += writes.eq(may_write & ~(may_read & wrote))
        go, skipped, answered, failed = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            go.eq(may_write | may_read),
            skipped.eq(writes & (strobe == 0)),
            bus.cyc.eq(go & ~skipped),
            bus.stb.eq(go & ~skipped),
            bus.we.eq(writes),
            bus.dat_w.eq(data),
        ]
        with m.If(writes):
            m.d.comb += [bus.adr.eq(write_address[self._shift :]), bus.sel.eq(strobe)]
        with m.Else():
            m.d.comb += [bus.adr.eq(read_address[self._shift :]), bus.sel.eq(~0)]
        if "err" in bus.signature.features:
            m.d.comb += failed.eq(bus.err)
        m.d.comb += answered.eq((go & skipped) | (bus.stb & (bus.ack | failed)))
        with m.If(go):
            m.d.sync += [waits.eq(~answered), wrote.eq(writes)]

        response = Cat(0, failed & ~skipped)
        with m.If(port.bvalid & port.bready):
            m.d.sync += port.bvalid.eq(0)
        with m.If(port.rvalid & port.rready):
            m.d.sync += port.rvalid.eq(0)
        with m.If(answered & writes):
            m.d.sync += [port.bvalid.eq(1), port.bresp.eq(response), has_address.eq(0), has_data.eq(0)]
        with m.If(answered & ~writes):
            m.d.sync += [port.rvalid.eq(1), port.rresp.eq(response), port.rdata.eq(bus.dat_r), has_read.eq(0)]
        return m
