"""Requests pass a register once, in order, and answers are left alone."""

from amaranth.hdl import Assert, Assume, Cat, Module, Signal
from amaranth.lib import wiring

__all__ = ["RequestsPassed"]


class RequestsPassed(wiring.Component):
    """Any initiator that lets the bus go when nothing is owed to it, and any target.

    A request that was taken is on the bus in the next cycle, and stays until the target takes it; nothing else is.
    The initiator waits only for a target that does. Answers pass in the same cycle.

    Parameters
    ----------
    register : RequestRegister
    owed : int
        Requests without an answer, at most.
    """

    def __init__(self, register, owed: int = 3):
        self.register = register
        self.owed = owed
        super().__init__(dict(register.signature.members))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.register = register = self.register
        wiring.connect(m, wiring.flipped(self), register)
        initiator, bus = self.initiator, self.bus

        def request(port):
            return Cat(port.adr, port.dat_w, port.sel, port.we)

        taken, passed = Signal(), Signal()
        waiting = Signal()
        oldest = Signal.like(request(initiator))
        owed = Signal(range(self.owed + 1))
        m.d.comb += [
            taken.eq(initiator.cyc & initiator.stb & ~initiator.stall),
            passed.eq(bus.cyc & bus.stb & ~bus.stall),
            Assume((owed == 0) | initiator.cyc),
            Assume((owed != self.owed) | ~initiator.stb),
            # A target answers what it has taken before.
            Assume(~(bus.ack | bus.err) | (owed > waiting)),
            Assume(~(bus.ack & bus.err)),
        ]
        m.d.sync += [owed.eq(owed + taken - (bus.ack | bus.err)), waiting.eq((waiting & ~passed) | taken)]
        with m.If(taken):
            m.d.sync += oldest.eq(request(initiator))
        m.d.comb += [
            Assert(bus.stb == waiting),
            Assert(~bus.stb | (bus.cyc & (request(bus) == oldest))),
            Assert(initiator.stall == (waiting & bus.stall)),
            Assert((owed == 0) | bus.cyc),
            Assert(initiator.ack == bus.ack),
            Assert(initiator.err == bus.err),
            Assert(initiator.dat_r == bus.dat_r),
        ]
        return m
