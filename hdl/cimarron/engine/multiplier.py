"""Pipelined unsigned multiplier."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Multiplier"]


class Multiplier(wiring.Component):
    """Unsigned 32 x 32-bit multiplier, one product per cycle.

    Four registered products of 16 x 16 bits, then their registered sum: each product fits the multiplier of any FPGA
    family, with its output register, and no path crosses more than one of them.

    Members
    -------
    a, b : In(32)
        Factors; register them outside, next to the multipliers.
    product : Out(64)
        ``a * b``, ``latency`` cycles later.
    """

    latency = 2

    a: In(32)
    b: In(32)
    product: Out(64)

    def elaborate(self, platform: object) -> Module:
        m = Module()

        low, cross_a, cross_b, high = (Signal(32, reset_less=True, name=f"part{n}") for n in range(4))
        m.d.sync += [
            low.eq(self.a[:16] * self.b[:16]),
            cross_a.eq(self.a[16:] * self.b[:16]),
            cross_b.eq(self.a[:16] * self.b[16:]),
            high.eq(self.a[16:] * self.b[16:]),
        ]

        # The outer products do not overlap, so their sum is a concatenation, and its low half is final.
        m.d.sync += self.product.eq(Cat(low[:16], Cat(low[16:], high) + cross_a + cross_b))

        return m
