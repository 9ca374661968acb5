"""AXI4 behind a pipelined Wishbone bus: nothing lost, nothing twice, nothing out of turn."""

from amaranth.hdl import Assert, Assume, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .axi4_lite import stays

__all__ = ["MemoryAccesses"]


class _Queue:
    """Ghost of a queue, oldest entry first; any number may leave at once.

    Parameters
    ----------
    m : Module
    name : str
    depth, width : int
    """

    def __init__(self, m: Module, name: str, depth: int, width: int):
        self.m, self.depth = m, depth
        self.entries = [Signal(width, name=f"{name}_{index}") for index in range(depth)]
        self.level = Signal(range(depth + 1), name=f"{name}_level")

    def has(self, index: int):
        return self.level > index

    def move(self, leaving, most: int, entering, value) -> None:
        """In each cycle, `leaving` entries go, and one comes if `entering`."""
        m = self.m
        kept = Signal.like(self.level)
        m.d.comb += [kept.eq(self.level - leaving), Assert(leaving <= self.level)]
        m.d.comb += Assert(~entering | (kept != self.depth))
        m.d.sync += self.level.eq(kept + entering)
        for index, entry in enumerate(self.entries):
            for gone in range(1, most + 1):
                if index + gone < self.depth:
                    with m.If(leaving == gone):
                        m.d.sync += entry.eq(self.entries[index + gone])
            with m.If(entering & (kept == index)):
                m.d.sync += entry.eq(value)


class MemoryAccesses(wiring.Component):
    """Any initiator, and any memory that answers only what was asked for, each kind in order.

    What is offered on an address or data channel stays until taken. Words of the bursts are those asked for, in order,
    each once, in bursts that stay inside their page, with the data and byte enables of their request; a burst of writes
    ends with its last word. Each answer on Wishbone is that of the oldest request, a read's with its data, a write's
    with its burst's response; no request is answered that was cancelled, or twice. No read is on its way with a write
    of the same word. A bridge that owes nothing takes a request at once.

    Parameters
    ----------
    bridge : Axi4
    outstanding, burst_beats, page_words : int
        The bridge's own.
    """

    def __init__(self, bridge, *, outstanding: int, burst_beats: int, page_words: int):
        self.bridge = bridge
        self.outstanding = outstanding
        self.burst_beats = burst_beats
        self.page_words = page_words
        super().__init__({"bus": In(bridge.bus.signature.flip()), "axi": Out(bridge.axi.signature)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.bridge = self.bridge
        bus, axi, limit = self.bus, self.axi, self.outstanding
        wiring.connect(m, wiring.flipped(bus), self.bridge.bus)
        wiring.connect(m, self.bridge.axi, wiring.flipped(axi))

        stays(m, "ar", axi.arvalid, axi.arready, Cat(axi.araddr, axi.arlen), rule=Assert)
        stays(m, "aw", axi.awvalid, axi.awready, Cat(axi.awaddr, axi.awlen), rule=Assert)
        stays(m, "w", axi.wvalid, axi.wready, Cat(axi.wdata, axi.wstrb, axi.wlast), rule=Assert)
        stays(m, "r", axi.rvalid, axi.rready, Cat(axi.rdata, axi.rresp), rule=Assume)
        stays(m, "b", axi.bvalid, axi.bready, axi.bresp, rule=Assume)
        m.d.comb += Assume(bus.cyc | ~bus.stb)

        taken, read, write = Signal(), Signal(), Signal()
        m.d.comb += [taken.eq(bus.cyc & bus.stb & ~bus.stall), read.eq(taken & ~bus.we), write.eq(taken & bus.we)]

        # Words asked for that no burst has shown to the memory.
        for channel, asked in (("ar", read), ("aw", write)):
            words = _Queue(m, f"{channel}_words", limit, len(bus.adr))
            address, beats = getattr(axi, f"{channel}addr"), getattr(axi, f"{channel}len")
            valid = getattr(axi, f"{channel}valid")
            leaving = Mux(valid & getattr(axi, f"{channel}ready"), beats + 1, 0)
            for index in range(self.burst_beats):
                with m.If(valid & (beats >= index)):
                    m.d.comb += Assert(words.has(index) & (words.entries[index] == address + index))
            page = address % self.page_words
            m.d.comb += Assert(~valid | ((beats < self.burst_beats) & (page + beats < self.page_words)))
            words.move(leaving, self.burst_beats, asked, bus.adr)

        self._data(m, write)
        self._answers(m, taken)
        return m

    def _data(self, m: Module, write) -> None:
        """Words that are written, and where their bursts end."""
        bus, axi, limit = self.bus, self.axi, self.outstanding
        data = _Queue(m, "data", limit, len(bus.dat_w) + len(bus.sel))
        lengths = _Queue(m, "lengths", limit, 8)
        beat = Signal(8)
        passes, ends, shown = Signal(), Signal(), Signal(8)
        m.d.comb += [
            passes.eq(axi.wvalid & axi.wready),
            ends.eq(passes & axi.wlast),
            shown.eq(Mux(lengths.has(0), lengths.entries[0], axi.awlen)),
        ]
        with m.If(axi.wvalid):
            m.d.comb += [
                Assert(data.has(0) & (data.entries[0] == Cat(axi.wdata, axi.wstrb))),
                Assert(lengths.has(0) | axi.awvalid),
                Assert(axi.wlast == (beat == shown)),
            ]
        with m.If(passes):
            m.d.sync += beat.eq(Mux(axi.wlast, 0, beat + 1))
        data.move(passes, 1, write, Cat(bus.dat_w, bus.sel))
        # A burst whose words are all through before its address is taken needs no entry any more.
        early = Signal(range(limit + 1))
        address = Signal()
        m.d.comb += address.eq(axi.awvalid & axi.awready)
        skip = address & (early != 0)
        ahead = ends & ~lengths.has(0) & ~(address & ~skip)
        m.d.comb += Assert(~(ends & (early != 0)))
        m.d.sync += early.eq(early + ahead - skip)
        through = ends & ~lengths.has(0) & address & ~skip
        lengths.move(ends & lengths.has(0), 1, address & ~skip & ~through, axi.awlen)
        # Bursts that the memory has got completely, and has not answered.
        got = Signal(range(limit + 1))
        complete = (ends & (lengths.has(0) | (address & ~skip))) | skip
        m.d.sync += got.eq(got + complete - (axi.bvalid & axi.bready))
        m.d.comb += Assume(~axi.bvalid | (got != 0))

    def _answers(self, m: Module, taken) -> None:
        """Who is answered with what."""
        bus, axi, limit = self.bus, self.axi, self.outstanding
        # Oldest first: kind and word.
        owed = _Queue(m, "owed", limit, 1 + len(bus.adr))
        valid = [Signal(name=f"valid_{index}") for index in range(limit)]
        read_pending = Signal(range(limit + 1))
        reads = axi.rvalid & axi.rready
        on_the_way = Mux(axi.arvalid & axi.arready, axi.arlen + 1, 0)
        m.d.sync += read_pending.eq(read_pending + on_the_way - reads)
        m.d.comb += Assume(~axi.rvalid | (read_pending != 0))

        answered = Signal()
        kind = owed.entries[0][0]
        # A write's response is held while the words of its burst are answered one by one.
        m.d.comb += [
            answered.eq(owed.has(0) & Mux(kind, axi.bvalid, axi.rvalid)),
            Assert(~reads | (owed.has(0) & ~kind)),
            Assert(~axi.bready | (owed.has(0) & kind)),
            Assert(~(axi.rvalid & ~axi.rready & owed.has(0)) | kind),
        ]
        heard = answered & valid[0] & bus.cyc
        failed = Mux(kind, axi.bresp[1], axi.rresp[1])
        m.d.comb += [
            Assert(bus.ack == (heard & ~failed)),
            Assert(bus.err == (heard & failed)),
            Assert(~(bus.ack & ~kind) | (bus.dat_r == axi.rdata)),
        ]
        with m.If(taken):
            for index in range(limit):
                other = owed.entries[index]
                clash = owed.has(index) & (other[0] != bus.we) & (other[1:] == bus.adr)
                # The one that is answered in this cycle is through.
                m.d.comb += Assert(~clash | (answered & (index == 0)))
        with m.If(bus.stb & (owed.level == 0)):
            m.d.comb += Assert(~bus.stall)

        owed.move(answered, 1, taken, Cat(bus.we, bus.adr))
        kept = owed.level - answered
        for index, flag in enumerate(valid):
            with m.If(~bus.cyc):
                m.d.sync += flag.eq(0)
            with m.Elif(taken & (kept == index)):
                m.d.sync += flag.eq(1)
            with m.Elif(answered):
                m.d.sync += flag.eq(valid[index + 1] if index + 1 < limit else 0)
        # Each answer of a read is a beat of R; each burst of writes has one response, taken with its last word.
        last = Signal()
        m.d.comb += last.eq(answered & kind & axi.bready)
        unfinished = Signal()
        with m.If(answered & kind):
            m.d.sync += unfinished.eq(~last)
        m.d.comb += Assert(~unfinished | (owed.has(0) & kind))
