"""System controller of the RISC-V system."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..bus import wishbone
from ..isa import SystemRegister
from .registers import Registers

__all__ = ["SystemController"]


class SystemController(wiring.Component):
    """What software announces to the outside, and what went wrong on the bus.

    The first bus error since the last clear is held; one that arrives in the cycle of a clear is held as well.

    Parameters
    ----------
    ram_bytes : int
        Read back from `SystemRegister.RAM_BYTES`.
    clock_hz : int
        Read back from `SystemRegister.CLOCK_HZ`, in hertz.

    Members
    -------
    bus : In(wishbone.Signature(addr_width=3))
        Registers, see `cimarron.isa.SystemRegister`; acknowledged in the next cycle.
    event_valid : Out(1)
        For one cycle per word written to `SystemRegister.EVENT`, with the acknowledge.
    event : Out(32)
        The word, until the next one.
    bus_error : In(1)
        Pulse of the interconnect, with the two members below.
    bus_error_write : In(1)
    bus_error_address : In(32)
        Byte address.
    irq : Out(1)
        While an error is held.
    trapped : In(1)
        Pulse of a core that starts again after an instruction it cannot execute.

    Raises
    ------
    TypeError
        If a parameter is not an integer from 0 to 2**32 - 1.
    """

    bus: In(wishbone.Signature(addr_width=Registers.address_bits(SystemRegister)))
    event_valid: Out(1)
    event: Out(32)
    bus_error: In(1)
    bus_error_write: In(1)
    bus_error_address: In(32)
    irq: Out(1)
    trapped: In(1)

    def __init__(self, ram_bytes: int, clock_hz: int) -> None:
        for name, value in (("RAM size", ram_bytes), ("Clock frequency", clock_hz)):
            if not isinstance(value, int) or not 0 <= value < 2**32:
                raise TypeError(f"{name} must be an integer that fits a 32-bit register, not {value!r}")
        self._ram_bytes = ram_bytes
        self._clock_hz = clock_hz
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        write = Signal()
        address = Signal(32)
        trapped = Signal()
        registers = Registers(
            m,
            self.bus,
            {
                SystemRegister.BUS_ERROR: Cat(self.irq, write),
                SystemRegister.BUS_ERROR_ADDRESS: address,
                SystemRegister.RAM_BYTES: self._ram_bytes,
                SystemRegister.CLOCK_HZ: self._clock_hz,
                SystemRegister.TRAPPED: trapped,
            },
        )

        announced = registers.writes(SystemRegister.EVENT)
        m.d.sync += self.event_valid.eq(announced)
        with m.If(announced):
            m.d.sync += self.event.eq(registers.written())

        cleared = registers.writes(SystemRegister.BUS_ERROR)
        with m.If(self.bus_error & (cleared | ~self.irq)):
            m.d.sync += [self.irq.eq(1), write.eq(self.bus_error_write), address.eq(self.bus_error_address)]
        with m.Elif(cleared):
            m.d.sync += [self.irq.eq(0), write.eq(0), address.eq(0)]
        with m.If(self.trapped):
            m.d.sync += trapped.eq(1)
        with m.Elif(registers.writes(SystemRegister.TRAPPED)):
            m.d.sync += trapped.eq(0)
        return m
