"""Custom instructions from the core to the engine."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..engine.ports import CommandLayout, CommandSignature

__all__ = ["CfuAdapter"]


class CfuAdapter(wiring.Component):
    """Lets the engine take its time without ever lowering the core's ``request.ready``.

    The core issues a second, spurious command when its execute stage stalls after a command was taken and ``ready``
    is low by then: its hold flag is set again and outlives the instruction. With ``ready`` constantly 1 the flag is
    never set. What the engine does not take at once waits in a queue of two: the core has at most two commands without
    a response, one in its execute stage and one in its memory stage. The core buffers one response and lowers
    ``response.ready`` meanwhile; as a stream, the engine's response waits for it.

    One command per cycle; no added latency in either direction.

    Members
    -------
    cpu : In(CommandSignature())
        ``request.ready`` is constantly 1.
    engine : Out(CommandSignature())
    """

    cpu: In(CommandSignature())
    engine: Out(CommandSignature())

    def elaborate(self, platform: object) -> Module:
        m = Module()
        request, onward = self.cpu.request, self.engine.request
        queue = Signal(data.ArrayLayout(CommandLayout(), 2))
        level = Signal(range(3))

        m.d.comb += request.ready.eq(1)
        m.d.comb += onward.valid.eq(request.valid | (level != 0))
        with m.If(level == 0):
            m.d.comb += onward.payload.eq(request.payload)
        with m.Else():
            m.d.comb += onward.payload.eq(queue[0])

        taken = Signal()
        remaining = Signal.like(level)
        m.d.comb += taken.eq((level != 0) & onward.ready)
        m.d.comb += remaining.eq(level - taken)
        with m.If(taken):
            m.d.sync += queue[0].eq(queue[1])
        with m.If(request.valid & ~((level == 0) & onward.ready)):
            m.d.sync += queue[remaining[0]].eq(request.payload)
            m.d.sync += level.eq(remaining + 1)
        with m.Else():
            m.d.sync += level.eq(remaining)

        wiring.connect(m, wiring.flipped(self.cpu.response), wiring.flipped(self.engine.response))
        return m
