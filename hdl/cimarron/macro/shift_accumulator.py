"""Bit-serial accumulation."""

from amaranth.hdl import Module, Mux, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ShiftAccumulator"]


class ShiftAccumulator(wiring.Component):
    """Weighs the sums of bit planes by their place: Horner's rule, one plane per cycle, most significant first.

    ``acc = 2 * acc + i``, starting from 0 at the plane marked ``first``; the plane marked ``negative``, the sign plane,
    counts as ``-i``.

    Parameters
    ----------
    i_bits : int
        Bits of the signed sum of one plane.
    acc_bits : int
        Bits of the signed total; the caller chooses them so that it cannot wrap.

    Members
    -------
    step : In(1)
        ``i`` is accumulated at the end of this cycle.
    first, negative : In(1)
    i : In(signed(i_bits))
    acc : Out(signed(acc_bits))
    """

    #: Cycles from the last plane to the total.
    latency = 1

    def __init__(self, i_bits: int, acc_bits: int):
        super().__init__(
            {
                "step": In(1),
                "first": In(1),
                "negative": In(1),
                "i": In(signed(i_bits)),
                "acc": Out(signed(acc_bits)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        # -i is ~i + 1: one adder with a carry in serves both signs.
        term = Mux(self.negative, ~self.i, self.i)
        with m.If(self.step):
            m.d.sync += self.acc.eq(Mux(self.first, 0, self.acc << 1) + term + self.negative)
        return m
