"""Job fetcher: reads job descriptors out of memory ahead of time."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from ..config import EngineConfig
from ..isa import JOB_BYTES, EngineError
from .ports import dma_signature
from .sequencer import FailureLayout

__all__ = ["Fetcher"]


class Fetcher(wiring.Component):
    """Lets jobs follow one another with no CPU in between.

    ``start``, in a cycle without ``busy``, hands over ``jobs`` descriptors, one after the other from ``address`` on;
    they leave as beats of the memory port. A beat is requested per cycle, from the second cycle on, as long as the
    queue has room for the answer. It holds one descriptor: the next one is there when the sequencer asks for it, and
    the memory port is needed for one descriptor per job. ``busy`` until the last beat has left.

    An address that is no multiple of the port's width, no jobs at all, or ``partial``, a descriptor of which only some
    words have been pushed, are ``rejected`` in the cycle after ``start``, which is ``busy``, and fail in it; a beat
    that the memory refuses fails when it says so.
    """

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "address": In(32),
                "jobs": In(32),
                "partial": In(1),
                "left": Out(32),
                "busy": Out(1),
                "dma": Out(dma_signature(config)),
                "o_stream": Out(stream.Signature(config.weight_port_bits)),
                "rejected": Out(1),
                "failed": Out(1),
                "failure": Out(FailureLayout()),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        port_bytes = self.config.port_bytes
        port_shift = (port_bytes - 1).bit_length()
        job_beats = JOB_BYTES // port_bytes
        m.submodules.beats = beats = SyncFIFO(width=self.config.weight_port_bits, depth=job_beats)
        dma = self.dma

        running, refused = Signal(), Signal()
        left = Signal(32)
        # Beats that were requested and have not left yet.
        reserved = Signal(range(job_beats + 1))
        beat = Signal(range(max(2, job_beats)))
        adr = Signal.like(dma.adr)
        taken = Signal()
        leaves = Signal()
        m.d.comb += [
            taken.eq(dma.stb & ~dma.stall),
            leaves.eq(self.o_stream.valid & self.o_stream.ready),
            self.left.eq(Mux(running, left, 0)),
            self.busy.eq(running | (reserved != 0) | self.rejected),
            dma.adr.eq(adr),
            dma.sel.eq(~0),
            dma.stb.eq(running & (reserved != job_beats)),
            dma.cyc.eq(dma.stb | (reserved != beats.level)),
            beats.w_data.eq(dma.dat_r),
            beats.w_en.eq(dma.ack),
            beats.r_en.eq(self.o_stream.ready),
            self.o_stream.valid.eq(beats.r_rdy),
            self.o_stream.payload.eq(beats.r_data),
        ]
        m.d.sync += reserved.eq(reserved + taken - leaves)
        with m.If(taken):
            m.d.sync += [adr.eq(adr + 1), beat.eq(beat + 1)]
            with m.If(beat == job_beats - 1):
                m.d.sync += [beat.eq(0), left.eq(left - 1), running.eq(left != 1)]

        answered = Signal.like(adr)
        first_address = Signal(32)
        m.d.comb += [
            refused.eq((self.address[:port_shift] != 0) | (self.jobs == 0) | self.partial),
            answered.eq(adr - (reserved - beats.level)),
        ]
        m.d.sync += self.rejected.eq(self.start & refused)
        with m.If(self.start & ~refused):
            m.d.sync += running.eq(1)
        # That there is a start is known late, so what comes with it is taken in every cycle in which one may come.
        with m.If(~running & (reserved == 0)):
            m.d.sync += [first_address.eq(self.address), adr.eq(self.address[port_shift:]), left.eq(self.jobs)]
        with m.If(self.rejected):
            m.d.comb += [self.failed.eq(1), self.failure.code.eq(EngineError.BAD_FETCH)]
            m.d.comb += self.failure.info.eq(first_address)
        with m.Elif(dma.err):
            m.d.comb += [self.failed.eq(1), self.failure.code.eq(EngineError.BAD_MEMORY_ADDRESS)]
            m.d.comb += self.failure.info.eq(Cat(Const(0, port_shift), answered))
        return m
