"""Single requests in, bursts out."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .axi import BURST_BEATS

__all__ = ["Bursts"]


class Bursts(wiring.Component):
    """Joins requests for neighbouring words while they wait for an address channel.

    A request that finds the channel free is on it in the next cycle, alone. Those behind it are collected as long as
    each continues the one before, and leave together as soon as the channel takes the one in front. So bursts become
    as long as the channel is slow, and waiting for a burst delays no request. What is on the channel stays as it is
    until it is taken.

    Parameters
    ----------
    addr_width : int
        Bits of an address, which counts words.
    burst_beats : int
        Most words of a burst, 1 to 256.
    page_words : int
        No burst crosses a multiple of this address; a power of two.

    Members
    -------
    request, ready : In(1), Out(1)
        A word is asked for, and taken.
    address : In(addr_width)
        Of that word.
    launched : Out(1)
        A burst goes to the channel: it will not grow any more.
    launched_beats : Out(8)
        Its words less one.
    channel_valid, channel_ready : Out(1), In(1)
    channel_address : Out(addr_width)
        First word.
    channel_beats : Out(8)
        Words less one.

    Raises
    ------
    TypeError
        If a number is not an integer.
    ValueError
        If a number is out of its range.
    """

    @staticmethod
    def check(burst_beats: int, page_words: int) -> None:
        """Raise what the constructor would raise."""
        if not isinstance(burst_beats, int) or not isinstance(page_words, int):
            raise TypeError(f"Words of a burst and of a page must be integers, not {burst_beats!r} and {page_words!r}")
        if not 1 <= burst_beats <= BURST_BEATS:
            raise ValueError(f"Words of a burst must be from 1 to {BURST_BEATS}, not {burst_beats}")
        if page_words < 1 or page_words & page_words - 1:
            raise ValueError(f"Words of a page must be a power of two, not {page_words}")

    def __init__(self, addr_width: int, *, burst_beats: int, page_words: int) -> None:
        self.check(burst_beats, page_words)
        self._burst_beats = burst_beats
        self._page_bits = page_words.bit_length() - 1
        super().__init__(
            {
                "request": In(1),
                "ready": Out(1),
                "address": In(addr_width),
                "launched": Out(1),
                "launched_beats": Out(8),
                "channel_valid": Out(1),
                "channel_ready": In(1),
                "channel_address": Out(addr_width),
                "channel_beats": Out(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # The burst that grows: its first word, the word that would continue it, and its words less one.
        waiting = Signal()
        first, following = Signal.like(self.address), Signal.like(self.address)
        beats = Signal(8)

        free, continues, joins, taken, moves = Signal(), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            free.eq(~self.channel_valid | self.channel_ready),
            continues.eq(waiting & (self.address == following) & (beats != self._burst_beats - 1)),
            self.ready.eq(free | ~waiting | joins),
            taken.eq(self.request & self.ready),
            moves.eq(free & (waiting | taken)),
            self.launched.eq(moves),
            self.launched_beats.eq(Mux(taken & joins, beats + 1, Mux(waiting, beats, 0))),
        ]
        # Also true of a page of one word, where every word is the first one.
        m.d.comb += joins.eq(continues & self.address[: self._page_bits].any())

        with m.If(free):
            m.d.sync += self.channel_valid.eq(moves)
        with m.If(moves):
            m.d.sync += [
                self.channel_address.eq(Mux(waiting, first, self.address)),
                self.channel_beats.eq(self.launched_beats),
                waiting.eq(waiting & taken & ~joins),
            ]
        with m.Elif(taken):
            m.d.sync += waiting.eq(1)
        with m.If(taken):
            m.d.sync += following.eq(self.address + 1)
            with m.If(joins):
                m.d.sync += beats.eq(beats + 1)
            with m.Else():
                m.d.sync += [first.eq(self.address), beats.eq(0)]
        return m
