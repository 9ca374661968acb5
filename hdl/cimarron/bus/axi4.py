"""Pipelined Wishbone in, AXI4 out: how the engine reaches the memory of an AXI system."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from . import axi, wishbone
from .bursts import Bursts

__all__ = ["Axi4"]


class Axi4(wiring.Component):
    """Manager of AXI4 that serves a pipelined Wishbone initiator.

    A request of cycle 0 is on its address channel from cycle 1 on; data and responses are passed on in the cycle in
    which they come. A request is taken in each cycle, and answered in each, while the memory does the same and at
    most ``outstanding`` are on their way: the latency that is hidden is as many cycles. `Bursts` makes bursts where
    the address channel is slower than that; every burst is ``INCR`` of whole words, all with identifier 0.

    Answers come in the order of the requests, of reads and writes alike. AXI orders a read and a write that are both
    on their way in no way at all, so a request waits while one of the other kind is not answered and may lie in the
    same page; streams of reads and writes in different pages do not wait for each other.

    A ``cyc`` that falls cancels what is owed on Wishbone. AXI knows no such thing: what was asked for is completed, its
    responses are dropped, and requests of a new cycle may follow at once.

    ``SLVERR`` and ``DECERR`` become ``err``, for each word of a burst of writes.

    Parameters
    ----------
    signature : wishbone.Signature
        With ``stall`` and ``err``.
    outstanding : int
        Words requested and not answered, at most; a power of two is cheapest.
    burst_beats : int
        Most words of a burst, 1 to 256.
    page_bytes : int
        No burst crosses a multiple of it. AXI says 4096; proofs take fewer.

    Members
    -------
    bus : In(signature)
    axi : Out(axi.Signature)
        As wide as the bus; its addresses count bytes.

    Raises
    ------
    TypeError
        If a number is not a positive integer.
    ValueError
        If the signature lacks ``stall`` or ``err``, or a number is out of its range.
    """

    def __init__(
        self,
        signature: wishbone.Signature,
        *,
        outstanding: int = 16,
        burst_beats: int = 16,
        page_bytes: int = axi.PAGE_BYTES,
    ) -> None:
        if missing := {"err", "stall"} - signature.features:
            raise ValueError(f"AXI4 bridge needs a bus with {' and '.join(sorted(missing))}")
        if not isinstance(outstanding, int) or outstanding < 1:
            raise TypeError(f"Number of outstanding requests must be a positive integer, not {outstanding!r}")
        word_bytes = signature.data_width // 8
        self._outstanding = outstanding
        self._burst_beats = burst_beats
        self._page_words = page_bytes // word_bytes
        self._shift = word_bytes.bit_length() - 1
        Bursts.check(burst_beats, self._page_words)
        super().__init__({"bus": In(signature), "axi": Out(self.axi_signature(signature))})

    @staticmethod
    def axi_signature(signature: wishbone.Signature) -> axi.Signature:
        """What a bus with that signature becomes."""
        shift = (signature.data_width // 8).bit_length() - 1
        return axi.Signature(addr_width=signature.addr_width + shift, data_width=signature.data_width)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus, port = self.bus, self.axi
        limit = self._outstanding
        lengths = {"burst_beats": self._burst_beats, "page_words": self._page_words}
        m.submodules.reads = reads = Bursts(len(bus.adr), **lengths)
        m.submodules.writes = writes = Bursts(len(bus.adr), **lengths)
        # What was asked for and not answered: 1 for a write. Words to write, and the lengths of their bursts.
        m.submodules.order = order = SyncFIFO(width=1, depth=limit)
        m.submodules.words = words = SyncFIFO(width=len(bus.dat_w) + len(bus.sel), depth=limit)
        m.submodules.bursts = bursts = SyncFIFO(width=8, depth=limit)
        m.submodules.responses = responses = SyncFIFO(width=8, depth=limit)

        taken, answered = Signal(), Signal()
        conflict, room = Signal(), Signal()
        m.d.comb += [
            room.eq(order.w_rdy & ~conflict),
            bus.stall.eq(~room | ~Mux(bus.we, writes.ready, reads.ready)),
            taken.eq(bus.cyc & bus.stb & ~bus.stall),
            reads.request.eq(bus.cyc & bus.stb & ~bus.we & room),
            writes.request.eq(bus.cyc & bus.stb & bus.we & room),
            reads.address.eq(bus.adr),
            writes.address.eq(bus.adr),
            order.w_en.eq(taken),
            order.w_data.eq(bus.we),
            order.r_en.eq(answered),
            words.w_en.eq(taken & bus.we),
            words.w_data.eq(Cat(bus.dat_w, bus.sel)),
        ]
        self._order(m, taken, answered, order, conflict)

        byte_zero = Const(0, self._shift)
        for channel, source in (("ar", reads), ("aw", writes)):
            constants = {"id": 0, "size": self._shift, "burst": 1, "lock": 0, "cache": 0b0011, "prot": 0, "qos": 0}
            m.d.comb += [getattr(port, channel + name).eq(value) for name, value in constants.items()]
            m.d.comb += [
                getattr(port, channel + "addr").eq(Cat(byte_zero, source.channel_address)),
                getattr(port, channel + "len").eq(source.channel_beats),
                getattr(port, channel + "valid").eq(source.channel_valid),
                source.channel_ready.eq(getattr(port, channel + "ready")),
            ]

        # Words leave when their burst has got its final length, whether or not its address was taken.
        beat = Signal(8)
        m.d.comb += [
            bursts.w_en.eq(writes.launched),
            bursts.w_data.eq(writes.launched_beats),
            Cat(port.wdata, port.wstrb).eq(words.r_data),
            port.wvalid.eq(bursts.r_rdy),
            port.wlast.eq(beat == bursts.r_data),
            words.r_en.eq(port.wvalid & port.wready),
            bursts.r_en.eq(words.r_en & port.wlast),
        ]
        with m.If(words.r_en):
            m.d.sync += beat.eq(Mux(port.wlast, 0, beat + 1))

        # One response answers each word of its burst in turn, and is taken with the last one.
        told = Signal(8)
        reading, writing, failed = Signal(), Signal(), Signal()
        m.d.comb += [
            responses.w_en.eq(writes.launched),
            responses.w_data.eq(writes.launched_beats),
            reading.eq(order.r_rdy & ~order.r_data),
            writing.eq(order.r_rdy & order.r_data & responses.r_rdy),
            port.rready.eq(reading),
            port.bready.eq(writing & (told == responses.r_data)),
            responses.r_en.eq(port.bvalid & port.bready),
            answered.eq(Mux(writing, port.bvalid, reading & port.rvalid)),
            failed.eq(Mux(writing, port.bresp[1], port.rresp[1])),
        ]
        with m.If(writing & answered):
            m.d.sync += told.eq(Mux(port.bready, 0, told + 1))

        # Answers that were cancelled before they came.
        stale = Signal(range(limit + 1))
        with m.If(~bus.cyc):
            m.d.sync += stale.eq(order.level - answered)
        with m.Elif(answered & (stale != 0)):
            m.d.sync += stale.eq(stale - 1)
        heard = bus.cyc & answered & (stale == 0)
        m.d.comb += [bus.ack.eq(heard & ~failed), bus.err.eq(heard & failed), bus.dat_r.eq(port.rdata)]
        return m

    def _order(self, m: Module, taken, answered, order: SyncFIFO, conflict) -> None:
        """Of each kind: how many are on their way, the page of the first, and whether others lie in another page."""
        page = self.bus.adr[self._page_words.bit_length() - 1 :]
        for we, name in enumerate(("read", "write")):
            count = Signal(range(self._outstanding + 1), name=f"{name}s_owed")
            where = Signal(len(page), name=f"{name}_page")
            elsewhere = Signal(name=f"{name}s_elsewhere")
            more = taken & (self.bus.we == we)
            m.d.sync += count.eq(count + more - (answered & (order.r_data == we)))
            with m.If(more & (count == 0)):
                m.d.sync += [where.eq(page), elsewhere.eq(0)]
            with m.Elif(more & (where != page)):
                m.d.sync += elsewhere.eq(1)
            with m.If((self.bus.we != we) & (count != 0) & (elsewhere | (where == page))):
                m.d.comb += conflict.eq(1)
