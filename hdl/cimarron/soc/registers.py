"""Wishbone side of a small peripheral."""

from collections.abc import Mapping
from enum import IntEnum

from amaranth.hdl import Cat, Module, Mux, Signal, Value, ValueLike
from amaranth.lib.wiring import PureInterface

__all__ = ["Registers"]


class Registers:
    """Registers on a classic 32-bit bus: every access, of a register or not, is acknowledged in the next cycle.

    Parameters
    ----------
    m : Module
        Of the peripheral; the acknowledge and the read data are added to it.
    bus : flipped interface of `cimarron.bus.wishbone.Signature`
        ``addr_width`` as `address_bits` says.
    values : mapping of IntEnum to ValueLike
        What each register reads as, by byte offset; all others read as 0.
    """

    def __init__(self, m: Module, bus: PureInterface, values: Mapping[IntEnum, ValueLike]) -> None:
        self._bus = bus
        self._access = Signal(name="access")
        m.d.comb += self._access.eq(bus.cyc & bus.stb & ~bus.ack)
        m.d.sync += bus.ack.eq(self._access)
        with m.If(self._access), m.Switch(bus.adr):
            for register, value in values.items():
                with m.Case(register // 4):
                    m.d.sync += bus.dat_r.eq(value)
            with m.Default():
                m.d.sync += bus.dat_r.eq(0)

    @staticmethod
    def address_bits(registers: type[IntEnum]) -> int:
        """``addr_width`` of the smallest window that holds the registers."""
        return (max(registers) // 4).bit_length()

    def reads(self, register: IntEnum) -> Value:
        """High for one cycle per read, when the value is taken."""
        return self._access & ~self._bus.we & (self._bus.adr == register // 4)

    def writes(self, register: IntEnum) -> Value:
        """High for one cycle per write, when `written` is valid."""
        return self._access & self._bus.we & (self._bus.adr == register // 4)

    def written(self, old: ValueLike = 0) -> Value:
        """The word written, with the bytes that are not selected taken from ``old``."""
        old = Value.cast(old)
        return Cat(
            Mux(select, self._bus.dat_w.word_select(lane, 8), old[8 * lane : 8 * lane + 8])
            for lane, select in enumerate(self._bus.sel)
        )
