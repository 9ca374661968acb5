"""Command queue: words of job descriptors that wait for the sequencer."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from ..config import EngineConfig
from ..isa import JOB_WORDS

__all__ = ["JobQueue"]


class JobQueue(wiring.Component):
    """First-in first-out memory of ``queue_jobs`` descriptors, word by word.

    ``free`` counts the words that fit; ``partial`` tells that the last descriptor to enter is not complete.
    """

    def __init__(self, config: EngineConfig):
        self.words = config.queue_jobs * JOB_WORDS
        super().__init__(
            {
                "i_stream": In(stream.Signature(32)),
                "o_stream": Out(stream.Signature(32)),
                "free": Out(range(self.words + 1)),
                "partial": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        entered = Signal(range(JOB_WORDS))
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=32, depth=self.words)
        m.d.comb += [
            fifo.w_data.eq(self.i_stream.payload),
            fifo.w_en.eq(self.i_stream.valid),
            self.i_stream.ready.eq(fifo.w_rdy),
            self.o_stream.payload.eq(fifo.r_data),
            self.o_stream.valid.eq(fifo.r_rdy),
            fifo.r_en.eq(self.o_stream.ready),
            self.free.eq(self.words - fifo.level),
            self.partial.eq(entered != 0),
        ]
        with m.If(self.i_stream.valid & self.i_stream.ready):
            m.d.sync += entered.eq(Mux(entered == JOB_WORDS - 1, 0, entered + 1))
        return m
