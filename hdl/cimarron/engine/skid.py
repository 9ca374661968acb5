"""Skid buffer: a stream whose ``ready`` does not depend on who receives it."""

from amaranth.hdl import Module, Mux, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Skid"]


class Skid(wiring.Component):
    """Passes payloads on in the cycle in which they come, and keeps one that the receiver cannot take.

    ``i_stream.ready`` comes from a register, so that a receiver that waits holds up the sender a cycle later. No cycle
    is lost: payloads follow one another as fast as both sides allow.

    Parameters
    ----------
    shape : Shape or data.Layout
        Of the payload.

    Members
    -------
    i_stream : In(stream.Signature(shape))
    o_stream : Out(stream.Signature(shape))
    """

    def __init__(self, shape: Shape | data.Layout) -> None:
        super().__init__({"i_stream": In(stream.Signature(shape)), "o_stream": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # The opposite of each other, for two places: whoever waits, and the many bits of the payload.
        ready, full = Signal(init=1), Signal()
        kept = Signal.like(self.o_stream.payload)
        m.d.comb += [
            self.i_stream.ready.eq(ready),
            self.o_stream.valid.eq(full | self.i_stream.valid),
            self.o_stream.payload.eq(Mux(full, kept, self.i_stream.payload)),
        ]
        waits = self.o_stream.valid & ~self.o_stream.ready
        m.d.sync += [ready.eq(~waits), full.eq(waits)]
        with m.If(~full):
            m.d.sync += kept.eq(self.i_stream.payload)
        return m
