"""Which half of a clock cycle it is."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

__all__ = ["HalfCycle"]


class HalfCycle(wiring.Component):
    """Tells the halves of a cycle of ``sync`` apart in ``fast``, which has two cycles in one of ``sync``.

    The edges of ``sync`` are edges of ``fast``, too. A flip-flop of ``sync`` changes at each of its edges; where
    ``fast`` sees that it has, the first half is about to end.

    Members
    -------
    second : Out(1)
        High in the second half of a cycle; a register of ``fast``. Right from the second cycle after a reset on.
    """

    second: Out(1)

    def elaborate(self, platform) -> Module:
        m = Module()
        turn = Signal()
        seen = Signal(reset_less=True)
        second = Signal(reset_less=True)
        m.d.sync += turn.eq(~turn)
        m.d.fast += [seen.eq(turn), second.eq(turn ^ seen)]
        m.d.comb += self.second.eq(second)
        return m
