"""Every pipelined request is answered to whoever made it."""

from itertools import pairwise

from amaranth.hdl import Assert, Assume, Cat, Module, Signal
from amaranth.lib import wiring

__all__ = ["PipelinedGrants"]


class PipelinedGrants(wiring.Component):
    """Any initiators, and a target that stalls and answers as it likes, but in order and only what was asked.

    A queue beside the arbiter holds who made each request. A request is taken exactly when the bus shows it and the
    target takes it; each answer reaches the oldest request's initiator and nobody else; a stalled request stays as it
    is; and the first initiator waits for the target only.

    Parameters
    ----------
    arbiter : PipelinedArbiter
    outstanding : int
        The arbiter's own.
    """

    def __init__(self, arbiter, outstanding: int):
        self.arbiter = arbiter
        self.outstanding = outstanding
        super().__init__({name: member for name, member in arbiter.signature.members.items()})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.arbiter = arbiter = self.arbiter
        bus = self.bus
        wiring.connect(m, arbiter.bus, wiring.flipped(bus))
        limit = self.outstanding

        count = len(self.initiators)
        owners = [Signal(range(count), name=f"owner_{index}") for index in range(limit)]
        level = Signal(range(limit + 1))
        answered = bus.ack | bus.err
        taken = Signal()
        kept = Signal.like(level)
        m.d.comb += [
            taken.eq(bus.cyc & bus.stb & ~bus.stall),
            kept.eq(level - answered),
            Assume(~answered | (level != 0)),
            Assume(~(bus.ack & bus.err)),
            Assert((level != limit) | ~taken),
        ]
        m.d.sync += level.eq(kept + taken)
        with m.If(answered):
            m.d.sync += [older.eq(newer) for older, newer in pairwise(owners)]

        def request(port):
            return Cat(port.adr, port.dat_w, port.sel, port.we)

        accepted = []
        for index in range(count):
            initiator = self.initiators[index]
            wiring.connect(m, wiring.flipped(initiator), arbiter.initiators[index])
            mine = Signal(name=f"mine_{index}")
            owed = Signal.like(level, name=f"owed_{index}")
            waits = Signal(name=f"waits_{index}")
            before = Signal.like(request(initiator), name=f"before_{index}")
            accept = Signal(name=f"accept_{index}")
            turn = (level != 0) & (owners[0] == index)
            m.d.comb += [
                accept.eq(initiator.cyc & initiator.stb & ~initiator.stall),
                mine.eq(initiator.ack | initiator.err),
                Assume(initiator.cyc | ((owed == 0) & ~initiator.stb)),
                Assume(~waits | (initiator.stb & (request(initiator) == before))),
                Assert(initiator.ack == (bus.ack & turn)),
                Assert(initiator.err == (bus.err & turn)),
                Assert(~mine | (initiator.dat_r == bus.dat_r)),
                Assert(~accept | (taken & (request(bus) == request(initiator)))),
            ]
            m.d.sync += [
                owed.eq(owed + accept - mine),
                waits.eq(initiator.cyc & initiator.stb & initiator.stall),
                before.eq(request(initiator)),
            ]
            accepted.append(accept)
        m.d.comb += Assert(taken == sum(accepted))
        asker = Signal(range(count))
        for index in range(count):
            with m.If(accepted[index]):
                m.d.comb += asker.eq(index)
        with m.If(taken), m.Switch(kept):
            for index in range(limit):
                with m.Case(index):
                    m.d.sync += owners[index].eq(asker)

        stalled = Signal()
        shown = Signal.like(request(bus))
        m.d.sync += [stalled.eq(bus.cyc & bus.stb & bus.stall), shown.eq(request(bus))]
        with m.If(stalled):
            m.d.comb += Assert(bus.stb & (request(bus) == shown))
        first = self.initiators[0]
        with m.If(first.stb & (level != limit) & ~stalled):
            m.d.comb += Assert(first.stall == bus.stall)
        m.d.comb += Assert(~first.stb | (level != limit) | first.stall)
        return m
