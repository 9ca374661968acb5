"""Several initiators on one Wishbone bus."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from . import wishbone

__all__ = ["Arbiter"]


class Arbiter(wiring.Component):
    """Round-robin arbiter of classic and registered-feedback cycles.

    An idle bus is granted in the cycle of the request, so that a single initiator never notices the arbiter. A grant
    lasts for one transfer, or for one burst (``cti`` 1 or 2 up to the beat with another value); then the other
    initiators come first. Holding ``cyc`` between transfers does not hold the bus.

    Parameters
    ----------
    initiators : int
        Number of initiators, at least 1.
    signature : wishbone.Signature
        Of every initiator and of the shared bus; classic, with or without ``cti`` and ``bte``.

    Members
    -------
    initiators : In(signature).array(initiators)
    bus : Out(signature)

    Raises
    ------
    TypeError
        If there is no initiator.
    ValueError
        If the signature has ``stall`` or ``err``: pipelined cycles cannot be told apart by their acknowledge.
    """

    def __init__(self, initiators: int, signature: wishbone.Signature) -> None:
        if not isinstance(initiators, int) or initiators < 1:
            raise TypeError(f"Number of initiators must be a positive integer, not {initiators!r}")
        if unsupported := signature.features & {"err", "stall"}:
            raise ValueError(f"Arbiter does not serve a bus with {' and '.join(sorted(unsupported))}")
        super().__init__({"initiators": In(signature).array(initiators), "bus": Out(signature)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        count = len(self.initiators)
        owner = Signal(range(count))
        last_owner = Signal(range(count))
        locked = Signal()

        m.d.comb += owner.eq(last_owner)
        with m.If(~locked), m.Switch(last_owner):
            for last in range(count):
                with m.Case(last):
                    # The last assignment wins, hence farthest first: the neighbour has precedence.
                    for distance in reversed(range(1, count)):
                        candidate = (last + distance) % count
                        with m.If(self.initiators[candidate].cyc):
                            m.d.comb += owner.eq(candidate)

        names = [name for name in self.bus.signature.members if name not in ("ack", "dat_r")]
        with m.Switch(owner):
            for index in range(count):
                initiator = self.initiators[index]
                with m.Case(index):
                    m.d.comb += Cat(getattr(self.bus, name) for name in names).eq(
                        Cat(getattr(initiator, name) for name in names)
                    )
                    m.d.comb += initiator.ack.eq(self.bus.ack)
                m.d.comb += initiator.dat_r.eq(self.bus.dat_r)

        goes_on = Signal()
        if "cti" in names:
            m.d.comb += goes_on.eq((self.bus.cti == 1) | (self.bus.cti == 2))
        m.d.sync += last_owner.eq(owner)
        m.d.sync += locked.eq(self.bus.cyc & (goes_on | ~(self.bus.stb & self.bus.ack)))
        return m
