"""Pins of a serial flash memory."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from ..bus import wishbone
from ..isa import FlashRegister
from .registers import Registers

__all__ = ["FlashPins"]


class FlashPins(wiring.Component):
    """Lets software move the pins of a serial flash: what is read once, after reset, needs no controller.

    Members
    -------
    bus : In(wishbone.Signature(addr_width=1))
        Registers, see `cimarron.isa.FlashRegister`; acknowledged in the next cycle.
    clk, copi, cs_n : Out(1)
        Clock, data to the flash, and select, low while the flash listens; 0, 0 and 1 after reset.
    cipo : In(1)
        Data from the flash; two flip-flops synchronise it.
    """

    bus: In(wishbone.Signature(addr_width=1))
    clk: Out(1)
    copi: Out(1)
    cs_n: Out(1, init=1)
    cipo: In(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        line = Signal()
        m.submodules.synchronizer = FFSynchronizer(self.cipo, line)
        registers = Registers(m, self.bus, {FlashRegister.PINS: line})
        with m.If(registers.writes(FlashRegister.PINS)):
            m.d.sync += Cat(self.clk, self.copi, self.cs_n).eq(registers.written())
        return m
