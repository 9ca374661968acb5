"""Tables of the vector path: what each byte of an operand becomes."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import EngineConfig
from ..isa import TABLE_WORDS
from ..lax_memory import lax_memory, lax_read_port

__all__ = ["Tables"]


class Tables(wiring.Component):
    """One table of 256 int32 for each operand, in as many copies as there are lanes.

    Copies fit block RAM: one read, one write, 32 bits wide. A memory beat is written one word per cycle while the next
    one waits its turn, so loading takes a cycle per word, or ``latency + 2`` per beat if memory answers later than
    that.

    Members
    -------
    start : In(1)
        Loading begins; ``binary`` says whether a second table follows the first.
    beat_valid, beat : In
        The next words, lowest first; only while ``free``, and one at a time.
    free : Out(1)
        A beat would find room.
    ready : Out(1)
        The tables are complete. ``release`` ends that.
    enable : In(1)
        ``a`` and ``b`` are the entries of ``x`` and ``z`` in the cycle after.
    """

    def __init__(self, config: EngineConfig):
        self.config = config
        lanes = config.lanes
        super().__init__(
            {
                "start": In(1),
                "binary": In(1),
                "beat_valid": In(1),
                "beat": In(config.weight_port_bits),
                "free": Out(1),
                "ready": Out(1),
                "release": In(1),
                "enable": In(1),
                "x": In(data.ArrayLayout(8, lanes)),
                "z": In(data.ArrayLayout(8, lanes)),
                "a": Out(data.ArrayLayout(signed(32), lanes)),
                "b": Out(data.ArrayLayout(signed(32), lanes)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        beat_words = config.weight_port_bits // 32

        waits = Signal()
        waiting = Signal(config.weight_port_bits)
        held = Signal(config.weight_port_bits)
        left = Signal(range(max(3, beat_words + 1)))
        index = Signal(range(2 * TABLE_WORDS))
        last = Signal.like(index)

        m.d.comb += self.free.eq(~waits)
        with m.If(self.beat_valid):
            m.d.sync += [waiting.eq(self.beat), waits.eq(1)]
        with m.If(left != 0):
            m.d.sync += [held.eq(held >> 32), left.eq(left - 1), index.eq(index + 1)]
            with m.If(index == last):
                m.d.sync += self.ready.eq(1)
        with m.If(waits & (left <= 1)):
            m.d.sync += [held.eq(waiting), waits.eq(0), left.eq(beat_words)]
        with m.If(self.release):
            m.d.sync += self.ready.eq(0)
        with m.If(self.start):
            m.d.sync += [index.eq(0)]
            m.d.sync += last.eq((TABLE_WORDS - 1) | (self.binary << (TABLE_WORDS - 1).bit_length()))

        operands = [("a", self.x, self.a), ("b", self.z, self.b)]
        for half, (name, keys, values) in enumerate(operands):
            for lane in range(config.lanes):
                words = lax_memory(m, f"{name}{lane}", shape=signed(32), depth=TABLE_WORDS)
                read, write = lax_read_port(m, words, f"{name}{lane}"), words.write_port()
                m.d.comb += [
                    write.en.eq((left != 0) & (index[-1] == half)),
                    write.addr.eq(index[:-1]),
                    write.data.eq(held[:32]),
                    read.en.eq(self.enable),
                    read.addr.eq(keys[lane]),
                    values[lane].eq(read.data),
                ]
        return m
