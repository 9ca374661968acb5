"""Bursts: every word asked for is in one burst, in order, and what a channel shows does not change."""

from amaranth.hdl import Assert, Assume, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .axi4_lite import stays

__all__ = ["BurstsOfWords"]


class BurstsOfWords(wiring.Component):
    """Any requests, and a channel that takes a burst whenever it likes.

    What the channel shows stays until taken. Its bursts are as long as allowed at most, stay inside a page, and hold
    the words asked for, in order, each once; what is launched is what the channel shows next. A request waits for
    nothing but the channel.

    Parameters
    ----------
    bursts : Bursts
    burst_beats, page_words : int
        Its own.
    """

    def __init__(self, bursts, *, burst_beats: int, page_words: int):
        self.bursts = bursts
        self.burst_beats = burst_beats
        self.page_words = page_words
        super().__init__(
            {"request": In(1), "address": In(len(bursts.address)), "channel_ready": In(1), "channel_valid": Out(1)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.bursts = bursts = self.bursts
        valid, beats = bursts.channel_valid, bursts.channel_beats
        m.d.comb += [
            bursts.request.eq(self.request),
            bursts.address.eq(self.address),
            bursts.channel_ready.eq(self.channel_ready),
            self.channel_valid.eq(valid),
        ]
        stays(m, "request", self.request, bursts.ready, self.address, rule=Assume)
        stays(m, "channel", valid, self.channel_ready, Cat(bursts.channel_address, beats), rule=Assert)

        # Words asked for and not taken with a burst, oldest first: a burst on the channel, and one that grows.
        most = 2 * self.burst_beats
        words = [Signal.like(self.address, name=f"word_{index}") for index in range(most)]
        level, kept = Signal(range(most + 1)), Signal(range(most + 1))
        taken, leaving = Signal(), Signal(range(self.burst_beats + 1))
        m.d.comb += [
            taken.eq(self.request & bursts.ready),
            leaving.eq(Mux(valid & self.channel_ready, beats + 1, 0)),
            kept.eq(level - leaving),
            Assert(leaving <= level),
            Assert(~taken | (kept != most)),
            Assert(~valid | (beats < self.burst_beats)),
            Assert(~valid | (bursts.channel_address % self.page_words + beats < self.page_words)),
        ]
        m.d.sync += level.eq(kept + taken)
        for index, word in enumerate(words):
            for gone in range(1, self.burst_beats + 1):
                if index + gone < most:
                    with m.If(leaving == gone):
                        m.d.sync += word.eq(words[index + gone])
            with m.If(taken & (kept == index)):
                m.d.sync += word.eq(self.address)
            if index < self.burst_beats:
                with m.If(valid & (beats >= index)):
                    m.d.comb += Assert((level > index) & (word == bursts.channel_address + index))

        launched, length = Signal(), Signal.like(beats)
        m.d.sync += [launched.eq(bursts.launched), length.eq(bursts.launched_beats)]
        with m.If(launched):
            m.d.comb += Assert(valid & (beats == length))
        # Words are left only with the channel busy, and a free one makes room.
        m.d.comb += Assert((level == 0) | valid)
        m.d.comb += Assert(bursts.ready | (valid & ~self.channel_ready))
        return m
