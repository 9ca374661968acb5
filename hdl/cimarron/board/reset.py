"""Reset of a board."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import AsyncFFSynchronizer, FFSynchronizer
from amaranth.lib.wiring import In, Out

__all__ = ["BoardReset"]


class BoardReset(wiring.Component):
    """Holds the reset until ``hold_cycles`` after the last cause for one is gone.

    A cause that is shorter than a cycle is not missed, since the first synchroniser is set asynchronously; the second
    one makes both edges synchronous, so that the system never sees its reset change near a clock edge. The reset is
    high from configuration on, by its initial value: the registers of the RISC-V core get theirs from nothing else.

    Members
    -------
    request : In(1)
        Asynchronous, high for a reset.
    reset : Out(1)
        For the domain ``sync``, in which this component runs without being reset itself.
    """

    hold_cycles = 16

    request: In(1)
    reset: Out(1, init=1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        caught = Signal()
        cause = Signal()
        m.submodules.catch = AsyncFFSynchronizer(self.request, caught)
        m.submodules.settle = FFSynchronizer(caught, cause, init=1, reset_less=True)
        left = Signal(range(self.hold_cycles), init=self.hold_cycles - 1, reset_less=True)
        asserted = Signal(init=1, reset_less=True)
        m.d.comb += self.reset.eq(asserted)
        with m.If(cause):
            m.d.sync += [left.eq(self.hold_cycles - 1), asserted.eq(1)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.Else():
            m.d.sync += asserted.eq(0)
        return m
