"""Timer of the RISC-V system."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..bus import wishbone
from ..isa import TimerRegister
from .registers import Registers

__all__ = ["Timer"]


class Timer(wiring.Component):
    """64-bit cycle counter with an interrupt.

    Reading `TimerRegister.COUNT_LOW` keeps the upper half of the same moment for `TimerRegister.COUNT_HIGH`. After
    reset the comparison value is all ones, and the interrupt disabled.

    Parameters
    ----------
    start : int
        Value of the counter after reset.

    Members
    -------
    bus : In(wishbone.Signature(addr_width=3))
        Registers, see `cimarron.isa.TimerRegister`; acknowledged in the next cycle.
    irq : Out(1)
        While enabled and ``count >= compare``, one cycle later.

    Raises
    ------
    ValueError
        If the start does not fit the counter.
    """

    bus: In(wishbone.Signature(addr_width=Registers.address_bits(TimerRegister)))
    irq: Out(1)

    def __init__(self, *, start: int = 0) -> None:
        if not 0 <= start < 2**64:
            raise ValueError(f"Start of the timer must fit its 64 bits, not {start!r}")
        self._start = start
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        count = Signal(64, init=self._start)
        count_high = Signal(32)
        compare = Signal(64, init=2**64 - 1)
        enable = Signal()
        registers = Registers(
            m,
            self.bus,
            {
                TimerRegister.COUNT_LOW: count[:32],
                TimerRegister.COUNT_HIGH: count_high,
                TimerRegister.COMPARE_LOW: compare[:32],
                TimerRegister.COMPARE_HIGH: compare[32:],
                TimerRegister.CONTROL: enable,
            },
        )

        m.d.sync += [count.eq(count + 1), self.irq.eq(enable & (count >= compare))]
        with m.If(registers.reads(TimerRegister.COUNT_LOW)):
            m.d.sync += count_high.eq(count[32:])
        with m.If(registers.writes(TimerRegister.COMPARE_LOW)):
            m.d.sync += compare[:32].eq(registers.written(compare[:32]))
        with m.If(registers.writes(TimerRegister.COMPARE_HIGH)):
            m.d.sync += compare[32:].eq(registers.written(compare[32:]))
        with m.If(registers.writes(TimerRegister.CONTROL)):
            m.d.sync += enable.eq(registers.written(enable))
        return m
