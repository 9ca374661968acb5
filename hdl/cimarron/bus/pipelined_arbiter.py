"""Several initiators on one pipelined Wishbone bus."""

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from . import wishbone

__all__ = ["PipelinedArbiter"]


class PipelinedArbiter(wiring.Component):
    """Arbiter of pipelined cycles: the first initiator goes first.

    A request reaches the bus in the cycle in which it is made, and may change hands in each; only one that the target
    stalls stays until it is taken. The target answers in order, so a queue of whose turn it is tells every
    initiator its own answers, in the cycle in which they come. Initiators lower ``cyc`` together or when nothing is
    owed to them: what is owed is forgotten when all have.

    Parameters
    ----------
    initiators : int
        Number of initiators, at least 1.
    signature : wishbone.Signature
        Of every initiator and of the shared bus, with ``stall`` and ``err``.
    outstanding : int
        Requests without an answer, at most; further ones are stalled.

    Members
    -------
    initiators : In(signature).array(initiators)
    bus : Out(signature)

    Raises
    ------
    TypeError
        If a number is not a positive integer.
    ValueError
        If the signature lacks ``stall`` or ``err``.
    """

    def __init__(self, initiators: int, signature: wishbone.Signature, *, outstanding: int = 8) -> None:
        for name, value in (("initiators", initiators), ("outstanding requests", outstanding)):
            if not isinstance(value, int) or value < 1:
                raise TypeError(f"Number of {name} must be a positive integer, not {value!r}")
        if missing := {"err", "stall"} - signature.features:
            raise ValueError(f"Pipelined arbiter needs a bus with {' and '.join(sorted(missing))}")
        self._outstanding = outstanding
        super().__init__({"initiators": In(signature).array(initiators), "bus": Out(signature)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus = self.bus
        count = len(self.initiators)
        owner = Signal(range(count))
        last_owner = Signal.like(owner)
        stalled = Signal()
        owners = SyncFIFO(width=len(owner), depth=self._outstanding)
        m.submodules.owners = ResetInserter(~bus.cyc)(owners)

        # Whose turn it is. Each initiator looks at those before it alone: none waits for what a later one decides.
        mine = [Signal(name=f"mine_{index}") for index in range(count)]
        asking = Cat(initiator.stb for initiator in self.initiators)
        m.d.comb += [
            turn.eq(Mux(stalled, last_owner == index, asking[index] & ~asking[:index].any()))
            for index, turn in enumerate(mine)
        ]
        for index, turn in enumerate(mine):
            with m.If(turn):
                m.d.comb += owner.eq(index)
        m.d.sync += [last_owner.eq(owner), stalled.eq(bus.cyc & bus.stb & bus.stall)]

        request = Signal()
        names = [name for name in bus.signature.members if name in ("adr", "dat_w", "sel", "we")]
        m.d.comb += [
            bus.cyc.eq(Cat(initiator.cyc for initiator in self.initiators).any()),
            bus.stb.eq(request & owners.w_rdy),
            owners.w_data.eq(owner),
            owners.w_en.eq(bus.stb & ~bus.stall),
            owners.r_en.eq(bus.ack | bus.err),
        ]
        for index in range(count):
            initiator = self.initiators[index]
            turn = Signal(name=f"turn_{index}")
            m.d.comb += [
                initiator.stall.eq(1),
                turn.eq(owners.r_rdy & (owners.r_data == index)),
                initiator.ack.eq(turn & bus.ack),
                initiator.err.eq(turn & bus.err),
                initiator.dat_r.eq(bus.dat_r),
            ]
            with m.If(mine[index]):
                m.d.comb += [
                    request.eq(initiator.cyc & initiator.stb),
                    Cat(getattr(bus, name) for name in names).eq(Cat(getattr(initiator, name) for name in names)),
                    initiator.stall.eq(bus.stall | ~owners.w_rdy),
                ]
        return m
