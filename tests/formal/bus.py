"""Every Wishbone request is answered, once and by the right party."""

from amaranth.hdl import Assert, Assume, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ArbiterGrants", "DecoderAnswers"]


def _assume_patience(m: Module, bus, name: str) -> None:
    """The initiator holds a request until it is acknowledged."""
    waits = Signal(name=f"{name}_waits")
    held = Cat(bus.adr, bus.we, bus.dat_w, bus.sel)
    before = Signal.like(held, name=f"{name}_before")
    m.d.sync += [waits.eq(bus.cyc & bus.stb & ~bus.ack), before.eq(held)]
    with m.If(waits):
        m.d.comb += Assume(bus.cyc & bus.stb & (held == before))
    # Classic cycles without wait states of the initiator.
    m.d.comb += Assume(bus.cyc == bus.stb)


class ArbiterGrants(wiring.Component):
    """Any initiators, and any target that answers within `answer_cycles`.

    At most one initiator is acknowledged, exactly when the target acknowledges, and it is the one whose request was on
    the bus. Each waits for at most one transfer of every other initiator.

    Parameters
    ----------
    arbiter : Arbiter
    answer_cycles : int
        Cycles in which the target leaves a request unanswered, at most.
    """

    def __init__(self, arbiter, *, answer_cycles: int = 2):
        self.arbiter = arbiter
        self.answer_cycles = answer_cycles
        super().__init__({name: member for name, member in arbiter.signature.members.items()})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.arbiter = arbiter = self.arbiter
        bus = self.bus
        wiring.connect(m, arbiter.bus, wiring.flipped(bus))
        count = len(self.initiators)

        silent = Signal(range(self.answer_cycles + 1))
        m.d.sync += silent.eq(0)
        with m.If(bus.cyc & bus.stb & ~bus.ack):
            m.d.comb += Assume(silent != self.answer_cycles)
            m.d.sync += silent.eq(silent + 1)
        # A classic target acknowledges requests only.
        m.d.comb += Assume(~bus.ack | (bus.cyc & bus.stb))

        longest = count * (self.answer_cycles + 1)
        acknowledged = Cat(initiator.ack & initiator.stb for initiator in self.initiators)
        m.d.comb += Assert(acknowledged.any() == bus.ack)
        m.d.comb += Assert((acknowledged & (acknowledged - 1)) == 0)
        for index in range(count):
            initiator = self.initiators[index]
            wiring.connect(m, wiring.flipped(initiator), arbiter.initiators[index])
            _assume_patience(m, initiator, f"initiator_{index}")
            with m.If(initiator.ack & initiator.stb):
                m.d.comb += [
                    Assert(
                        Cat(bus.adr, bus.we, bus.dat_w, bus.sel)
                        == Cat(initiator.adr, initiator.we, initiator.dat_w, initiator.sel)
                    ),
                    Assert(initiator.dat_r == bus.dat_r),
                ]
            waited = Signal(range(longest + 1), name=f"waited_{index}")
            m.d.sync += waited.eq(0)
            with m.If(initiator.cyc & initiator.stb & ~initiator.ack):
                m.d.comb += Assert(waited != longest)
                m.d.sync += waited.eq(waited + 1)
        return m


class DecoderAnswers(wiring.Component):
    """Any initiator, and targets that acknowledge at any time or never.

    Every request is acknowledged within the time-out and never without a request. A target sees a request only at its
    own addresses. An acknowledge is either the target's, passed with its data, or the decoder's, with ``error`` and 0:
    immediately for an address that nothing has, else after `timeout_cycles` of silence.

    Parameters
    ----------
    decoder : Decoder
    windows : dict of str to tuple of int
        First and last byte address of each target.
    timeout_cycles : int
    """

    def __init__(self, decoder, windows: dict[str, tuple[int, int]], timeout_cycles: int):
        self.decoder = decoder
        self.windows = windows
        self.timeout_cycles = timeout_cycles
        self.targets = {name: getattr(decoder, name).signature for name in windows}
        super().__init__(
            {"bus": In(decoder.signature_of_bus), **{name: Out(signature) for name, signature in self.targets.items()}}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.decoder = decoder = self.decoder
        bus = self.bus
        wiring.connect(m, wiring.flipped(bus), decoder.bus)
        _assume_patience(m, bus, "bus")

        requested = bus.cyc & bus.stb
        elapsed = Signal(range(self.timeout_cycles + 2))
        m.d.sync += elapsed.eq(0)
        with m.If(requested & ~bus.ack):
            m.d.sync += elapsed.eq(elapsed + 1)

        owned, answer = Signal(), Signal.like(bus.dat_r)
        answered = Signal()
        for name, (first, last) in self.windows.items():
            target = getattr(self, name)
            wiring.connect(m, getattr(decoder, name), wiring.flipped(target))
            address = bus.adr << 2
            inside = Signal(name=f"{name}_inside")
            m.d.comb += inside.eq((address >= first) & (address <= last))
            m.d.comb += Assert(~target.stb | (inside & requested))
            m.d.comb += Assert(target.cyc == target.stb)
            with m.If(target.stb):
                m.d.comb += [
                    Assert(
                        Cat(target.adr, target.we, target.dat_w, target.sel)
                        == Cat(bus.adr[: len(target.adr)], bus.we, bus.dat_w, bus.sel)
                    )
                ]
            with m.If(inside):
                m.d.comb += [owned.eq(1), answered.eq(target.stb & target.ack), answer.eq(target.dat_r)]

        given_up = Signal()
        with m.If(owned):
            m.d.comb += given_up.eq(elapsed == self.timeout_cycles)
        with m.Else():
            m.d.comb += given_up.eq(elapsed == 1)
        m.d.comb += [
            Assert(bus.ack == (requested & (answered | given_up))),
            Assert(decoder.error == (requested & given_up)),
            Assert(elapsed <= self.timeout_cycles),
        ]
        with m.If(bus.ack):
            m.d.comb += Assert(bus.dat_r == Mux(given_up, 0, answer))
            m.d.comb += Assert((decoder.error_address == bus.adr << 2) & (decoder.error_write == bus.we))
        return m
