"""Bit-serial accumulation."""

from amaranth.hdl import Cat, Const, Module, Mux, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ShiftAccumulator"]


class ShiftAccumulator(wiring.Component):
    """Weighs the sums of bit planes by their place, ``planes`` neighbouring planes per cycle.

    The sums of a cycle are worth ``t = sum(2**p * i[p])``; where marked ``negative``, the upper one holds the sign and
    counts as ``-i``. Without places, Horner's rule adds them up, most significant first: ``2**planes * acc + t`` at a
    ``shift`` and ``acc + t`` otherwise. With ``places`` > 1 planes may be missing, so each says where it belongs:
    ``acc + 2**(planes * place) * t``, in any order. Both start from 0 at ``first``.

    Parameters
    ----------
    i_bits : int
        Bits of the signed sum of one plane.
    acc_bits : int
        Bits of the signed total; the caller chooses them so that it cannot wrap.
    planes : int
        Planes per cycle.
    places : int
        Places to add at; 1 for Horner's rule.

    Members
    -------
    step : In(1)
        ``i`` is accumulated at the end of this cycle.
    first, negative, shift : In(1)
    place : In
    i : In(signed(i_bits)).array(planes)
    acc : Out(signed(acc_bits))
    """

    #: Cycles from the last plane to the total.
    latency = 1

    def __init__(self, i_bits: int, acc_bits: int, planes: int = 1, places: int = 1):
        self.planes = planes
        self.places = places
        super().__init__(
            {
                "step": In(1),
                "first": In(1),
                "negative": In(1),
                "shift": In(1),
                "place": In(range(max(2, places))),
                "i": In(signed(i_bits)).array(planes),
                "acc": Out(signed(acc_bits)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        # -i is ~i + 1: one adder with a carry in serves both signs.
        *lower, top = self.i
        term = (Mux(self.negative, ~top, top) + self.negative) << self.planes - 1
        for p, i in enumerate(lower):
            term += i << p
        if self.places > 1:
            kept = self.acc
            term <<= Cat(Const(0, self.planes.bit_length() - 1), self.place)
        else:
            kept = Mux(self.shift, self.acc << self.planes, self.acc)
        with m.If(self.step):
            m.d.sync += self.acc.eq(Mux(self.first, 0, kept) + term)
        return m
