"""Registers in front of a classic Wishbone target."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from . import wishbone

__all__ = ["AccessRegister"]


class AccessRegister(wiring.Component):
    """Makes classic accesses out of registers: each begins at the target a cycle later, and ends there in any case.

    The answer arrives in the cycle in which the target gives it. Of an access that its initiator gives up, it does not
    arrive, nor does it reach the next one, which begins after it.

    Parameters
    ----------
    signature : wishbone.Signature
        Of both sides, classic, without ``err``.

    Members
    -------
    initiator : In(signature)
    bus : Out(signature)

    Raises
    ------
    ValueError
        If the bus has optional signals.
    """

    def __init__(self, signature: wishbone.Signature) -> None:
        if signature.features:
            raise ValueError(f"Access register does not serve a bus with {' and '.join(sorted(signature.features))}")
        super().__init__({"initiator": In(signature), "bus": Out(signature)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        initiator, bus = self.initiator, self.bus
        asks = initiator.cyc & initiator.stb
        begun, waits = Signal(), Signal()  # for the target, and whether whoever began it still waits
        m.d.comb += [
            bus.cyc.eq(begun),
            bus.stb.eq(begun),
            initiator.ack.eq(bus.ack & begun & waits),
            initiator.dat_r.eq(bus.dat_r),
        ]
        m.d.sync += waits.eq(waits & asks)
        with m.If(begun):
            m.d.sync += begun.eq(~bus.ack)
        with m.Elif(asks):
            m.d.sync += [
                begun.eq(1),
                waits.eq(1),
                bus.adr.eq(initiator.adr),
                bus.dat_w.eq(initiator.dat_w),
                bus.sel.eq(initiator.sel),
                bus.we.eq(initiator.we),
            ]
        return m
