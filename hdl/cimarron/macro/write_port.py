"""The way of weights into the array."""

from amaranth.hdl import Array, Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import MacroConfig
from .format import FormatLayout, top_columns
from .ports import WriteLayout

__all__ = ["WritePort"]


class WritePort(wiring.Component):
    """Checks a row of weights, brings it into the order and the code of the array, and remembers the set's format.

    The array is plane-major: bit k of all columns lies side by side, column j at ``k * words + j``. Signed weights are
    stored offset-binary: with the top bit of every weight inverted, a weight w of b bits becomes ``w + 2**(b - 1)``,
    which is never negative.

    A write waits while its set is computing, and only then. A write to a set, row, beat or width that does not exist is
    taken and dropped.

    Parameters
    ----------
    config : MacroConfig

    Members
    -------
    i_stream : In(stream.Signature(WriteLayout(config)))
    computing : In(weight_sets)
        Bit s holds off writes to set s.
    enable : Out(weight_sets)
        Bit s writes ``data`` to row ``row`` of set s at the end of this cycle.
    row : Out(range(rows))
    beat : Out(range(write_beats))
        Part of the row; absent if rows are written whole.
    data : Out(beat_bits)
        The row, or the columns of the beat, in the order of the array.
    formats : Out(data.ArrayLayout(FormatLayout(config), weight_sets))
        Format of each set: that of the last row written to it.
    error : Out(1)
        Pulses in the cycle after a write was dropped.
    """

    #: Cycles from the transfer of a row to the first plane that sees it.
    latency = 1

    def __init__(self, config: MacroConfig):
        self.config = config
        super().__init__(
            {
                "i_stream": In(stream.Signature(WriteLayout(config))),
                "computing": In(config.weight_sets),
                "enable": Out(config.weight_sets),
                "row": Out(range(config.rows)),
                **({"beat": Out(range(config.write_beats))} if config.write_beats > 1 else {}),
                "data": Out(config.beat_bits),
                "formats": Out(data.ArrayLayout(FormatLayout(config), config.weight_sets)),
                "error": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        write = self.i_stream.payload
        columns = config.beat_bits // config.cell_bits
        cells = data.View(data.ArrayLayout(config.cell_bits, columns), write.data)

        select = Signal(config.weight_sets)
        exists = Signal()
        transfer = Signal()
        inverted = Signal(config.words)
        beat_inverted: Value = inverted
        tops = Array(top_columns(width, config.words) for width in range(len(config.weight_widths)))
        addressed = select.any() & (write.row < config.rows)
        if config.write_beats > 1:
            addressed &= write.beat < config.write_beats
            beat_inverted = Signal(columns, name="beat_inverted")
            m.d.comb += [
                self.beat.eq(write.beat),
                beat_inverted.eq(inverted.word_select(self.beat, columns)),
            ]

        m.d.comb += [
            select.eq(1 << write.set),
            exists.eq(addressed & (write.width < len(config.weight_widths))),
            self.i_stream.ready.eq(~(select & self.computing).any()),
            transfer.eq(self.i_stream.valid & self.i_stream.ready),
            self.enable.eq(select & (transfer & exists).replicate(config.weight_sets)),
            self.row.eq(write.row),
            inverted.eq(tops[write.width] & write.signed.replicate(config.words)),
        ]
        planes = Cat(cells[column][bit] for bit in range(config.cell_bits) for column in range(columns))
        m.d.comb += self.data.eq(planes ^ (beat_inverted << (config.cell_bits - 1) * columns))

        m.d.sync += self.error.eq(transfer & ~exists)
        for weight_set in range(config.weight_sets):
            with m.If(self.enable[weight_set]):
                m.d.sync += [
                    self.formats[weight_set].width.eq(write.width),
                    self.formats[weight_set].signed.eq(write.signed),
                ]
        return m
