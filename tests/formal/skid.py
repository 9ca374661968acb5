"""A skid buffer loses, repeats and delays nothing."""

from amaranth.hdl import Assert, Module, Mux, Signal
from amaranth.lib import wiring

__all__ = ["SkidOrder"]


class SkidOrder(wiring.Component):
    """Any sender and any receiver.

    What the receiver is offered is the oldest payload that it has not taken, in the cycle in which it comes if none
    waits. The sender is made to wait exactly while one does, whatever the receiver says in that cycle.

    Parameters
    ----------
    skid : Skid
    """

    def __init__(self, skid):
        self.skid = skid
        super().__init__(dict(skid.signature.members))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.skid = skid = self.skid
        wiring.connect(m, wiring.flipped(self), skid)
        sent, offered = self.i_stream, self.o_stream
        waiting = Signal()
        oldest = Signal.like(sent.payload)
        m.d.sync += waiting.eq(offered.valid & ~offered.ready)
        with m.If(sent.valid & sent.ready):
            m.d.sync += oldest.eq(sent.payload)
        m.d.comb += [
            Assert(sent.ready == ~waiting),
            Assert(offered.valid == (waiting | sent.valid)),
            Assert(~offered.valid | (offered.payload == Mux(waiting, oldest, sent.payload))),
        ]
        return m
