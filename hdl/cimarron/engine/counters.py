"""Performance counters."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["COUNTERS", "Counters", "CountersSignature"]

#: Members of the monitor and, in capitals, registers.
COUNTERS = ("busy", "compute", "stall_input", "stall_weights", "stall_output", "operations")


class CountersSignature(wiring.Signature):
    """One value of 32 bits, or one event, per counter."""

    def __init__(self, bits: int):
        super().__init__({name: Out(bits) for name in COUNTERS})


class Counters(wiring.Component):
    """Counts, per name, the cycles in which its event is high; wraps at 32 bits; ``clear`` zeroes all.

    All but ``busy`` are counted a cycle late: what decides about them comes from all over the engine.
    """

    events: In(CountersSignature(1))
    counts: Out(CountersSignature(32))
    clear: In(1)

    def elaborate(self, platform) -> Module:
        m = Module()
        for name in COUNTERS:
            count, event = getattr(self.counts, name), getattr(self.events, name)
            if name != "busy":
                late = Signal(name=f"late_{name}")
                m.d.sync += late.eq(event & ~self.clear)
                event = late
            m.d.sync += count.eq(count + event)
            with m.If(self.clear):
                m.d.sync += count.eq(0)
        return m
