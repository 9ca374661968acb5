"""AXI4-Lite: each access reaches the target once and is answered once."""

from amaranth.hdl import Assert, Assume, Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["LiteAccesses"]


def stays(m: Module, name: str, valid, ready, payload, *, rule) -> None:
    """What is offered and not taken is offered again, unchanged: `rule` is Assert or Assume."""
    waits = Signal(name=f"{name}_waits")
    before = Signal(len(payload), name=f"{name}_before")
    m.d.sync += [waits.eq(valid & ~ready), before.eq(payload)]
    with m.If(waits):
        m.d.comb += rule(valid & (payload == before))


class LiteAccesses(wiring.Component):
    """Any manager that keeps to the handshake, and a target that answers within `answer_cycles`.

    Responses are offered until taken, unchanged. The target sees each read, and each write with a byte enable, once,
    with its own address, data and enables, and unchanged until it answers; the manager gets what the target said.
    Nothing waits for longer than the other kind's access while its response is taken at once.

    Parameters
    ----------
    bridge : Axi4Lite
    answer_cycles : int
        Cycles in which the target leaves a request unanswered, at most.
    """

    def __init__(self, bridge, *, answer_cycles: int = 2):
        self.bridge = bridge
        self.answer_cycles = answer_cycles
        super().__init__({"axi": In(bridge.axi.signature.flip()), "bus": Out(bridge.bus.signature)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.bridge = self.bridge
        axi, bus = self.axi, self.bus
        wiring.connect(m, wiring.flipped(axi), self.bridge.axi)
        wiring.connect(m, self.bridge.bus, wiring.flipped(bus))
        shift = (len(bus.dat_w) // 8).bit_length() - 1

        stays(m, "aw", axi.awvalid, axi.awready, axi.awaddr, rule=Assume)
        stays(m, "w", axi.wvalid, axi.wready, Cat(axi.wdata, axi.wstrb), rule=Assume)
        stays(m, "ar", axi.arvalid, axi.arready, axi.araddr, rule=Assume)
        stays(m, "b", axi.bvalid, axi.bready, axi.bresp, rule=Assert)
        stays(m, "r", axi.rvalid, axi.rready, Cat(axi.rdata, axi.rresp), rule=Assert)
        answer = bus.ack | bus.err
        request = Cat(bus.adr, bus.we, bus.sel, bus.dat_w)
        # What is written may be anything while there is a read.
        stays(
            m,
            "bus",
            bus.stb,
            answer,
            Cat(bus.adr, bus.we, bus.sel, bus.dat_w & bus.we.replicate(len(bus.dat_w))),
            rule=Assert,
        )
        silent = Signal(range(self.answer_cycles + 1))
        m.d.comb += [
            Assert(bus.cyc == bus.stb),
            Assume(bus.stb | ~answer),
            Assume(~(bus.ack & bus.err)),
            Assume((silent != self.answer_cycles) | answer),
        ]
        with m.If(bus.stb & ~answer):
            m.d.sync += silent.eq(silent + 1)
        with m.Else():
            m.d.sync += silent.eq(0)

        # What was taken and has not reached the target, and what the target said and was not delivered.
        address, data, enables = Signal.like(axi.awaddr), Signal.like(axi.wdata), Signal.like(axi.wstrb)
        has_address, has_data, told_write, wrong_write = Signal(), Signal(), Signal(), Signal()
        read_address, has_read, told_read = Signal.like(axi.araddr), Signal(), Signal()
        said, wrong_read = Signal.like(axi.rdata), Signal()
        wrote, read, skipped = Signal(), Signal(), Signal()
        m.d.comb += [
            wrote.eq(bus.stb & bus.we & answer),
            read.eq(bus.stb & ~bus.we & answer),
            Assert(~(bus.stb & bus.we) | (has_address & has_data & (enables != 0))),
            Assert(~(bus.stb & bus.we) | (request == Cat(address[shift:], 1, enables, data))),
            Assert(~(bus.stb & ~bus.we) | (has_read & (bus.adr == read_address[shift:]) & bus.sel.all())),
            Assert(~(axi.awvalid & axi.awready & has_address & ~skipped)),
            Assert(~(axi.wvalid & axi.wready & has_data & ~skipped)),
            Assert(~(axi.arvalid & axi.arready & has_read)),
        ]
        # A write without enables is answered although the target was not asked.
        m.d.comb += [
            skipped.eq(has_address & has_data & (enables == 0) & axi.bvalid & ~told_write),
            Assert(axi.bvalid == (told_write | skipped)),
            Assert(~axi.bvalid | (axi.bresp == Cat(0, wrong_write & ~skipped))),
            Assert(axi.rvalid == told_read),
            Assert(~axi.rvalid | ((axi.rdata == said) & (axi.rresp == Cat(0, wrong_read)))),
            Assert(~(wrote & told_write)),
            Assert(~(read & told_read)),
        ]
        with m.If(axi.bvalid & axi.bready):
            m.d.sync += told_write.eq(0)
        with m.If(axi.rvalid & axi.rready):
            m.d.sync += told_read.eq(0)
        with m.If(wrote):
            m.d.sync += [told_write.eq(1), wrong_write.eq(bus.err), has_address.eq(0), has_data.eq(0)]
        with m.If(read):
            m.d.sync += [told_read.eq(1), wrong_read.eq(bus.err), said.eq(bus.dat_r), has_read.eq(0)]
        with m.If(skipped):
            m.d.sync += [told_write.eq(~axi.bready), wrong_write.eq(0), has_address.eq(0), has_data.eq(0)]
        with m.If(axi.awvalid & axi.awready):
            m.d.sync += [has_address.eq(1), address.eq(axi.awaddr)]
        with m.If(axi.wvalid & axi.wready):
            m.d.sync += [has_data.eq(1), data.eq(axi.wdata), enables.eq(axi.wstrb)]
        with m.If(axi.arvalid & axi.arready):
            m.d.sync += [has_read.eq(1), read_address.eq(axi.araddr)]

        # One access of the other kind, then its own.
        patience = 2 * (self.answer_cycles + 1)
        for name, waits in (("write", has_address & has_data & ~axi.bvalid), ("read", has_read & ~axi.rvalid)):
            waited = Signal(range(patience + 2), name=f"{name}_waited")
            m.d.comb += Assert(waited <= patience)
            with m.If(waits & ~(wrote if name == "write" else read)):
                m.d.sync += waited.eq(waited + 1)
            with m.Else():
                m.d.sync += waited.eq(0)
        return m
