"""Accesses pass a register once, and answers reach whoever waits for them."""

from amaranth.hdl import Assert, Assume, Cat, Module, Signal
from amaranth.lib import wiring

__all__ = ["AccessesPassed"]


class AccessesPassed(wiring.Component):
    """An initiator that may give up at any time, and a target that answers within `answer_cycles`.

    The target sees an access as it was asked for in the cycle before, unchanged until it has answered, and then none
    for a cycle. An acknowledge is the target's, of the very access that the initiator asks for; one who waits gets it
    after at most two accesses: its own, and the one that was given up before.

    Parameters
    ----------
    register : AccessRegister
    answer_cycles : int
        Cycles in which the target leaves an access unanswered, at most.
    """

    def __init__(self, register, *, answer_cycles: int = 2):
        self.register = register
        self.answer_cycles = answer_cycles
        super().__init__(dict(register.signature.members))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.register = register = self.register
        wiring.connect(m, wiring.flipped(self), register)
        initiator, bus = self.initiator, self.bus

        def access(port):
            return Cat(port.adr, port.dat_w, port.sel, port.we)

        asks, answered = Signal(), Signal()
        m.d.comb += [asks.eq(initiator.cyc & initiator.stb), answered.eq(bus.cyc & bus.stb & bus.ack)]

        silent = Signal(range(self.answer_cycles + 1))
        m.d.sync += silent.eq(0)
        with m.If(bus.cyc & bus.stb & ~bus.ack):
            m.d.comb += Assume(silent != self.answer_cycles)
            m.d.sync += silent.eq(silent + 1)
        m.d.comb += Assume(~bus.ack | (bus.cyc & bus.stb))

        # The cycle before.
        waited, unanswered, ended = Signal(), Signal(), Signal()
        asked, shown = Signal.like(access(initiator)), Signal.like(access(bus))
        m.d.sync += [
            waited.eq(asks & ~initiator.ack),
            asked.eq(access(initiator)),
            unanswered.eq(bus.stb & ~bus.ack),
            shown.eq(access(bus)),
            ended.eq(answered),
        ]
        m.d.comb += Assume(~waited | ~asks | (access(initiator) == asked))
        # Whether the access at the target is the one that the initiator has been waiting for ever since.
        begins, mine, still = Signal(), Signal(), Signal()
        m.d.comb += [begins.eq(bus.stb & ~unanswered), mine.eq(begins | still)]
        m.d.sync += still.eq(mine & asks)
        with m.If(begins):
            m.d.comb += [Assert(waited), Assert(access(bus) == asked)]
        m.d.comb += [
            Assert(bus.cyc == bus.stb),
            Assert(~unanswered | (bus.stb & (access(bus) == shown))),
            Assert(~ended | ~bus.stb),
        ]
        with m.If(asks):
            m.d.comb += [
                Assert(initiator.ack == (answered & mine)),
                Assert(~initiator.ack | (initiator.dat_r == bus.dat_r)),
            ]
        longest = 2 * (self.answer_cycles + 1) + 2
        patience = Signal(range(longest + 1))
        m.d.sync += patience.eq(0)
        with m.If(asks & ~initiator.ack):
            m.d.comb += Assert(patience != longest)
            m.d.sync += patience.eq(patience + 1)
        return m
