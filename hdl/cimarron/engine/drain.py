"""From macro results to outputs: partial sums, bias, requantisation, store."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..config import EngineConfig
from ..isa import Opcode, OutFormat
from ..macro.ports import ResultLayout
from .act_buffer import WriteSignature
from .job import JOB_LAYOUTS
from .params import RecordLayout
from .requantiser import Requantiser
from .vector import VectorBeatLayout

__all__ = ["Drain"]


class Drain(wiring.Component):
    """Takes each result apart into beats of ``lanes`` outputs, one beat per cycle.

    While a layer goes through its row tiles, outputs are summed up in the psum memory (32 bits, wrapping); the
    last row tile's beats get their bias, are requantised and written to the activation buffer. A result is released
    with its last beat, so results of n outputs follow one another every ``ceil(n / lanes)`` cycles.

    Groups of outputs that lie beyond the edge of the image take their beats, but are not written.

    Stages: select, sum, bias, requantiser, store. All of them wait when ``advance`` is low; ``flows`` says the same to
    the registers of values, which are many. The beats of a VECTOR job come in behind the bias, in place of a result's,
    and share what follows; the job scales them all alike.

    ``set_done`` pulses when the macro has delivered the last result for a weight set, ``bank_done`` when a bank of
    records has been used for the last time, ``done`` in the cycle of the job's last write.
    """

    #: Cycles from a beat's selection to its write.
    latency = 2 + Requantiser.latency + 1

    def __init__(self, config: EngineConfig):
        self.config = config
        words = config.macro.words
        super().__init__(
            {
                "job": In(JOB_LAYOUTS[Opcode.MAC]),
                "start": In(1),
                "stride": In(range(config.macro.group_words + 1)),
                "i_stream": In(stream.Signature(ResultLayout(config.macro))),
                "bank": Out(1),
                "beat": Out(range(max(2, words // config.lanes))),
                "param_enable": Out(1),
                "records": In(data.ArrayLayout(RecordLayout(), config.lanes)),
                "vector": In(VectorBeatLayout(config)),
                "write": Out(WriteSignature(config)),
                "advance": In(1),
                "flows": In(1),
                "set_done": Out(1),
                "bank_done": Out(1),
                "done": Out(1),
                "bad_address": Out(1),
                "address": Out(32),
                "psum_overflow": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        macro = config.macro
        lanes = config.lanes
        job = self.job
        vector_job = data.View(JOB_LAYOUTS[Opcode.VECTOR], job.as_value())
        advance = self.advance
        depth = config.psum_entries // lanes
        result = self.i_stream.payload

        # Where the beat at hand stands: output, pixel, tile.
        left = Signal(range(macro.words + 1))
        beat = Signal.like(self.beat)
        # A fused result sits at its lowest column, so lanes are `stride` elements apart.
        elements = [Signal(range(macro.words), name=f"element{lane}") for lane in range(lanes)]
        columns_left = Signal(16)
        lines_left = Signal(16)
        row_tiles_left = Signal(16)
        word_tiles_left = Signal(16)
        first_row_tile = Signal()
        bank = Signal()
        psum_addr = Signal(range(depth + 1))
        group_left = Signal(range(macro.words + 1))
        group_column = Signal(8)
        group_line = Signal(8)
        tile_addr = Signal(32)
        image_line_addr = Signal(32)
        pixel_addr = Signal(32)
        line_addr = Signal(32)
        group_addr = Signal(32)
        addr = Signal(32)

        fire = self.i_stream.valid & self.flows
        last_beat = Signal()  # left <= lanes, from a register: the macro and all before it wait for it
        last_column = columns_left == 1
        last_line = lines_left == 1
        last_row_tile = row_tiles_left == 1
        last_word_tile = word_tiles_left == 1
        beat_step = Signal(range(4 * lanes + 1))
        wide = Signal()  # a cycle after the job: no result is sooner
        m.d.sync += wide.eq(job.out_format == OutFormat.INT32)
        m.d.comb += [
            beat_step.eq(Mux(wide, 4 * lanes, lanes)),
            self.i_stream.ready.eq(advance & last_beat),
            self.bank.eq(bank),
            self.beat.eq(beat),
            self.param_enable.eq(self.flows),
        ]

        def begin_result(first, count):
            m.d.sync += [
                beat.eq(0),
                *(element.eq(lane * self.stride) for lane, element in enumerate(elements)),
                left.eq(count),
                last_beat.eq(count <= lanes),
                group_left.eq(job.group_words),
                group_column.eq(0),
                group_line.eq(0),
                pixel_addr.eq(first),
                line_addr.eq(first),
                group_addr.eq(first),
                addr.eq(first),
            ]

        def begin_image(first, count):
            begin_result(first, count)
            m.d.sync += [columns_left.eq(job.out_width), lines_left.eq(job.out_height)]
            m.d.sync += [psum_addr.eq(0), image_line_addr.eq(first)]

        last_group_column = group_column + 1 == job.group_columns
        next_line_addr = Signal(32)
        next_group_addr = Signal(32)
        next_image_line_addr = Signal(32)
        next_tile_addr = Signal(32)
        tile_outputs = Signal(range(macro.words + 1))
        m.d.comb += [
            next_line_addr.eq(line_addr + job.group_line_step),
            next_group_addr.eq(group_addr + job.group_step),
            next_image_line_addr.eq(image_line_addr + job.out_line_step),
            next_tile_addr.eq(tile_addr + job.out_tile_step),
            tile_outputs.eq(Mux(last_word_tile, job.last_words, job.tile_words)),
        ]
        with m.If(self.start):
            m.d.sync += [row_tiles_left.eq(job.row_tiles), word_tiles_left.eq(job.word_tiles)]
            m.d.sync += [first_row_tile.eq(1), tile_addr.eq(job.out_base)]
            begin_image(job.out_base, Mux(job.word_tiles == 1, job.last_words, job.tile_words))
        with m.Elif(fire):
            m.d.sync += psum_addr.eq(psum_addr + 1)
            with m.If(~last_beat):
                m.d.sync += [
                    beat.eq(beat + 1),
                    *(element.eq(element + lanes * self.stride) for element in elements),
                    left.eq(left - lanes),
                    last_beat.eq(left <= 2 * lanes),
                    group_left.eq(group_left - lanes),
                    addr.eq(addr + beat_step),
                ]
                with m.If(group_left <= lanes):
                    m.d.sync += group_left.eq(job.group_words)
                    with m.If(last_group_column):
                        m.d.sync += [group_column.eq(0), group_line.eq(group_line + 1)]
                        m.d.sync += [line_addr.eq(next_line_addr), group_addr.eq(next_line_addr)]
                        m.d.sync += addr.eq(next_line_addr)
                    with m.Else():
                        m.d.sync += [group_column.eq(group_column + 1), group_addr.eq(next_group_addr)]
                        m.d.sync += addr.eq(next_group_addr)
            with m.Elif(~last_column):
                begin_result(pixel_addr + job.out_pixel_step, tile_outputs)
                m.d.sync += columns_left.eq(columns_left - 1)
            with m.Elif(~last_line):
                begin_result(next_image_line_addr, tile_outputs)
                m.d.sync += [columns_left.eq(job.out_width), lines_left.eq(lines_left - 1)]
                m.d.sync += image_line_addr.eq(next_image_line_addr)
            with m.Else():
                m.d.comb += [
                    self.set_done.eq(last_row_tile & last_word_tile | ~job.shared_weights),
                    self.bank_done.eq(last_row_tile & (last_word_tile | ~job.shared_weights)),
                ]
                m.d.sync += bank.eq(bank ^ self.bank_done)
                with m.If(~last_row_tile):
                    begin_image(tile_addr, tile_outputs)
                    m.d.sync += [row_tiles_left.eq(row_tiles_left - 1), first_row_tile.eq(0)]
                with m.Else():
                    begin_image(next_tile_addr, Mux(word_tiles_left == 2, job.last_words, job.tile_words))
                    m.d.sync += [tile_addr.eq(next_tile_addr), first_row_tile.eq(1)]
                    m.d.sync += [row_tiles_left.eq(job.row_tiles), word_tiles_left.eq(word_tiles_left - 1)]

        # Select: one output per lane.
        values = data.ArrayLayout(signed(32), lanes)
        control = data.StructLayout({"addr": 32, "mask": lanes, "last": 1})
        s_valid = Signal()
        s_value = Signal(values)
        s_first = Signal()
        s_final = Signal()
        s_psum_addr = Signal(range(depth))
        s_control = Signal(control)
        results = Array(result.y[index] for index in range(macro.words))
        is_inside = Signal()
        m.d.comb += is_inside.eq(
            ~(last_column & (group_column >= job.edge_columns)) & ~(last_line & (group_line >= job.edge_lines))
        )
        with m.If(self.flows):
            m.d.sync += [
                s_valid.eq(self.i_stream.valid),
                s_first.eq(first_row_tile),
                s_final.eq(last_row_tile),
                s_psum_addr.eq(psum_addr),
                s_control.addr.eq(addr),
                s_control.mask.eq(Cat(is_inside & (left > lane) for lane in range(lanes))),
                s_control.last.eq(last_beat & last_column & last_line & last_row_tile & last_word_tile),
            ]
            for lane in range(lanes):
                m.d.sync += s_value[lane].eq(results[elements[lane]])
        keeps = (job.row_tiles != 1) & self.i_stream.valid & advance
        m.d.comb += self.psum_overflow.eq(keeps & (psum_addr >= depth))

        # Sum: what the earlier row tiles left. A beat may need what the beat right before it leaves.
        m.submodules.psum = psum = Memory(shape=32 * lanes, depth=depth, init=[])
        psum_write = psum.write_port()
        psum_read = psum.read_port(transparent_for=[psum_write])
        total = Signal(values)
        before = data.View(values, psum_read.data)
        m.d.comb += [
            psum_read.en.eq(self.flows),
            psum_read.addr.eq(psum_addr),
            psum_write.en.eq(advance & s_valid & ~s_final),
            psum_write.addr.eq(s_psum_addr),
            psum_write.data.eq(total.as_value()),
        ]
        for lane in range(lanes):
            m.d.comb += total[lane].eq(s_value[lane] + Mux(s_first, 0, before[lane]))

        # Bias.
        b_valid = Signal()
        b_value = Signal(values)
        b_records = Signal(self.records.shape())
        b_control = Signal(control)
        with m.If(self.flows):
            m.d.sync += [b_valid.eq(s_valid & s_final), b_control.eq(s_control), b_records.eq(self.records)]
            for lane in range(lanes):
                m.d.sync += b_value[lane].eq(total[lane] + self.records[lane].bias)
            with m.If(self.vector.valid):
                m.d.sync += [
                    b_valid.eq(1),
                    b_value.eq(self.vector.value),
                    b_control.addr.eq(self.vector.addr),
                    b_control.mask.eq(self.vector.mask),
                    b_control.last.eq(self.vector.last),
                ]
                for lane in range(lanes):
                    m.d.sync += [
                        b_records[lane].multiplier.eq(vector_job.multiplier),
                        b_records[lane].shift.eq(vector_job.shift),
                    ]

        # Requantise; the 32-bit value travels alongside.
        travels = data.StructLayout({"valid": 1, "control": control, "value": values})
        delayed = Signal(travels)
        m.d.comb += [delayed.valid.eq(b_valid), delayed.control.eq(b_control), delayed.value.eq(b_value)]
        for stage in range(Requantiser.latency):
            following = Signal(travels, name=f"delay{stage}")
            with m.If(self.flows):
                m.d.sync += following.eq(delayed)
            delayed = following
        scaled = []
        for lane in range(lanes):
            m.submodules[f"requantiser{lane}"] = requantiser = Requantiser()
            record = b_records[lane]
            m.d.comb += [
                requantiser.enable.eq(self.flows),
                requantiser.acc.eq(b_value[lane]),
                requantiser.multiplier.eq(record.multiplier),
                requantiser.shift.eq(record.shift),
                requantiser.profile.eq(job.profile),
                requantiser.out_unsigned.eq(job.out_format == OutFormat.UINT8),
                requantiser.zero_point.eq(job.out_zero_point),
                requantiser.clamp_min.eq(job.clamp_min),
                requantiser.clamp_max.eq(job.clamp_max),
            ]
            scaled.append(requantiser.value)

        # Store. Values that lie beyond the buffer are not written; the first of them is reported.
        w_valid = Signal()
        w_mask = Signal(config.act_port_bytes)
        w_data = Signal(config.act_port_bytes * 8)
        w_addr = Signal(32)
        w_beyond = Signal(range(max(2, lanes)))
        w_bad = Signal()
        w_last = Signal()
        kept = Signal(lanes)
        beyond = Signal(lanes)
        for lane in range(lanes):
            end = delayed.control.addr + Mux(wide, 4 * lane + 4, lane + 1)
            m.d.comb += beyond[lane].eq(delayed.control.mask[lane] & (end > config.act_buffer_bytes))
        m.d.comb += kept.eq(delayed.control.mask & ~beyond)
        with m.If(self.flows):
            m.d.sync += [
                w_valid.eq(delayed.valid),
                w_addr.eq(delayed.control.addr),
                w_last.eq(delayed.control.last),
                w_bad.eq(delayed.valid & beyond.any()),
                w_mask.eq(Mux(wide, Cat(kept[lane].replicate(4) for lane in range(lanes)), kept)),
                w_data.eq(Mux(wide, delayed.value.as_value(), Cat(scaled))),
            ]
            for lane in reversed(range(lanes)):
                with m.If(beyond[lane]):
                    m.d.sync += w_beyond.eq(lane)
        m.d.comb += [
            self.write.addr.eq(w_addr),
            self.write.data.as_value().eq(w_data),
            self.write.mask.eq(Mux(w_valid & advance, w_mask, 0)),
            self.done.eq(w_valid & advance & w_last),
            self.address.eq(w_addr + Mux(wide, w_beyond << 2, w_beyond)),
            self.bad_address.eq(w_bad),
        ]
        return m
