"""Registers in front of a pipelined Wishbone target."""

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from . import wishbone

__all__ = ["RequestRegister"]


class RequestRegister(wiring.Component):
    """Makes pipelined requests out of registers: each reaches the target a cycle after it was taken.

    A request per cycle, as long as the target takes one; answers arrive in the cycle in which they are given. So a
    target far away has a whole cycle for the way there.

    Parameters
    ----------
    signature : wishbone.Signature
        Of both sides, with ``stall``.

    Members
    -------
    initiator : In(signature)
    bus : Out(signature)

    Raises
    ------
    ValueError
        If the signature lacks ``stall``.
    """

    def __init__(self, signature: wishbone.Signature) -> None:
        if "stall" not in signature.features:
            raise ValueError("Request register needs a bus with stall")
        super().__init__({"initiator": In(signature), "bus": Out(signature)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        initiator, bus = self.initiator, self.bus
        answers = [name for name in ("ack", "err", "dat_r") if name in bus.signature.members]
        names = ("adr", "dat_w", "sel", "we")
        m.d.comb += [
            initiator.stall.eq(bus.stb & bus.stall),
            Cat(getattr(initiator, name) for name in answers).eq(Cat(getattr(bus, name) for name in answers)),
        ]
        m.d.sync += bus.cyc.eq(initiator.cyc)
        with m.If(~initiator.stall):
            m.d.sync += bus.stb.eq(initiator.cyc & initiator.stb)
            m.d.sync += Cat(getattr(bus, name) for name in names).eq(Cat(getattr(initiator, name) for name in names))
        return m
