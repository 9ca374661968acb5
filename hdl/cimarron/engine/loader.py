"""Weight loader: streams weights, requantisation records and inputs out of memory."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from ..config import EngineConfig
from ..isa import TABLE_WORDS, Opcode
from ..macro.ports import WriteLayout
from .act_buffer import WriteSignature
from .job import JOB_LAYOUTS
from .params import RecordLayout
from .ports import dma_signature

__all__ = ["Loader"]


class Loader(wiring.Component):
    """Runs ahead of the computation, one tile after the other, as far as free weight sets allow.

    A MAC job's weight stream (see `cimarron.isa`) is contiguous, so one address counts through it: one memory
    beat per cycle. A tile's rows are requested when a set is free, a word tile's records when one of the
    two banks is; both free up in order, by ``set_done`` and ``bank_done``. Rows are written out of registers, a cycle
    after their answer. ``tile_ready`` pulses with the answer to the last row of a set: no vector that it lets go is in
    the array sooner than that row. A LOAD job copies to the activation buffer, ``act_port_bytes`` per cycle or as fast
    as the memory answers, from two cycles after the first answer on; ``load_done`` pulses with the last write. Tables
    of a VECTOR job are handed on beat by beat, each requested when the one before has left.

    A new job may be started while ``ready``: then every request of the previous one has been answered.
    """

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "job": In(JOB_LAYOUTS[Opcode.MAC]),
                "load": In(JOB_LAYOUTS[Opcode.LOAD]),
                "width": In(range(max(2, len(config.macro.weight_widths)))),
                "start_mac": In(1),
                "start_tables": In(1),
                "binary": In(1),
                "start_load": In(1),
                "ready": Out(1),
                "loading": Out(1),
                "dma": Out(dma_signature(config)),
                "weights": Out(stream.Signature(WriteLayout(config.macro))),
                "record_write": Out(1),
                "record_bank": Out(1),
                "record_index": Out(range(config.macro.words)),
                "record": Out(RecordLayout()),
                "table_valid": Out(1),
                "table_beat": Out(config.weight_port_bits),
                "table_free": In(1),
                "act_write": Out(WriteSignature(config)),
                "act_advance": In(1),
                "set_done": In(1),
                "bank_done": In(1),
                "tile_ready": Out(1),
                "load_done": Out(1),
                "bad_address": Out(1),
                "address": Out(32),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        macro = config.macro
        port_shift = (config.port_bytes - 1).bit_length()

        # A private copy, so that the next job can be loaded for while the present one computes.
        address = Signal(32)
        width = Signal.like(self.width)
        is_signed = Signal()
        outputs = Signal(range(macro.words + 1))
        last_outputs = Signal.like(outputs)
        last_rows = Signal(range(macro.rows + 1))
        row_tiles = Signal(16)
        tiles_left = Signal(16)
        words_left = Signal(16)
        is_shared = Signal()

        items_left = Signal(range(max(macro.rows, macro.words) + 1))
        beat = Signal(range(max(2, config.row_beats, config.param_beats)))
        index = Signal(range(max(macro.rows, macro.words)))
        load_set = Signal(range(max(2, macro.weight_sets)))
        sets_free = Signal(range(macro.weight_sets + 1), init=macro.weight_sets)
        banks_free = Signal(range(3), init=2)

        # A tag per request says what to do with the answer; answers come in order and are always taken.
        tag = data.StructLayout({"record": 1, "last_beat": 1, "index": len(index), "set": len(load_set), "last": 1})
        m.submodules.tags = tags = SyncFIFO(width=tag.size, depth=4)
        is_record, last_beat, last = Signal(), Signal(), Signal()
        answered = data.View(tag, tags.r_data)
        request = Signal()
        outstanding = Signal(range(8))
        taken = Signal()
        answer = Signal()
        dma = self.dma
        m.d.comb += [
            tags.w_data.eq(Cat(is_record, last_beat, index, load_set, last)),
            request.eq(dma.stb & dma.cyc),
            taken.eq(request & ~dma.stall),
            answer.eq(dma.ack | dma.err),
            dma.adr.eq(address[port_shift:]),
            dma.sel.eq(~0),
            self.bad_address.eq((outstanding != 0) & dma.err),
        ]
        m.d.sync += outstanding.eq(outstanding + taken - (answer & (outstanding != 0)))
        with m.If(taken):
            m.d.sync += address.eq(address + config.port_bytes)
        answered_address = Signal(32)
        with m.If(self.ready):
            m.d.sync += answered_address.eq(Mux(self.start_load, self.load.source, self.job.weight_addr))
        with m.Elif(answer):
            m.d.sync += answered_address.eq(answered_address + config.port_bytes)

        take_set = Signal()
        take_bank = Signal()
        m.d.sync += [
            sets_free.eq(sets_free - take_set + self.set_done),
            banks_free.eq(banks_free - take_bank + self.bank_done),
        ]

        # Beats of a LOAD land in a queue: writing one takes several cycles, or has to wait.
        m.submodules.landing = landing = SyncFIFO(width=config.weight_port_bits, depth=4)
        reserved = Signal(range(landing.depth + 1))
        table_beats = 4 * TABLE_WORDS // config.port_bytes
        beats_left = Signal(max(config.act_addr_bits + 1 - port_shift, (2 * table_beats).bit_length()))
        load_length = Signal(config.act_addr_bits + 1)
        load_addr = Signal(config.act_addr_bits)
        ratio = config.port_bytes // config.act_port_bytes
        piece = Signal(range(max(2, ratio)))
        loading_tables = Signal()

        last_item = items_left == 1

        def begin_records(count):
            m.d.sync += [items_left.eq(count), index.eq(0), beat.eq(0)]

        def next_item(beats: int):
            """Counts one request of an item of ``beats`` beats."""
            m.d.comb += last_beat.eq(beat == beats - 1)
            with m.If(taken):
                m.d.sync += beat.eq(beat + 1)
                with m.If(beat == beats - 1):
                    m.d.sync += [beat.eq(0), index.eq(index + 1), items_left.eq(items_left - 1)]

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.ready.eq(outstanding == 0)
                with m.If(self.start_mac):
                    m.d.sync += [
                        is_signed.eq(self.job.weight_signed),
                        is_shared.eq(self.job.shared_weights),
                        width.eq(self.width),
                        outputs.eq(self.job.tile_words),
                        last_outputs.eq(self.job.last_words),
                        last_rows.eq(self.job.last_rows),
                        row_tiles.eq(self.job.row_tiles),
                        tiles_left.eq(self.job.row_tiles),
                        words_left.eq(self.job.word_tiles),
                        address.eq(self.job.weight_addr),
                    ]
                    begin_records(Mux(self.job.word_tiles == 1, self.job.last_words, self.job.tile_words))
                    m.next = "RECORDS"
                with m.Elif(self.start_tables):
                    # The tables lie where a MAC job's weights do.
                    m.d.sync += [
                        address.eq(self.job.weight_addr),
                        beats_left.eq(Mux(self.binary, 2 * table_beats, table_beats)),
                    ]
                    m.next = "TABLES"
                with m.Elif(self.start_load):
                    m.d.sync += [
                        address.eq(self.load.source),
                        beats_left.eq((self.load.length + config.port_bytes - 1) >> port_shift),
                        load_length.eq(self.load.length),
                        load_addr.eq(self.load.destination),
                        piece.eq(0),
                    ]
                    m.next = "LOAD"

            with m.State("RECORDS"):
                m.d.comb += [
                    is_record.eq(1),
                    dma.stb.eq((banks_free != 0) & tags.w_rdy),
                ]
                next_item(config.param_beats)
                with m.If(taken & last_item & last_beat):
                    m.d.comb += [take_bank.eq(1), last.eq(1)]
                    m.d.sync += [
                        items_left.eq(Mux(tiles_left == 1, last_rows, macro.rows)),
                        index.eq(0),
                    ]
                    m.next = "ROWS"

            with m.State("ROWS"):
                m.d.comb += dma.stb.eq((sets_free != 0) & tags.w_rdy)
                next_item(config.row_beats)
                with m.If(taken & last_item & last_beat):
                    m.d.comb += [take_set.eq(1), last.eq(1)]
                    m.d.sync += [
                        load_set.eq(Mux(load_set == macro.weight_sets - 1, 0, load_set + 1)),
                        tiles_left.eq(tiles_left - 1),
                        items_left.eq(Mux(tiles_left == 2, last_rows, macro.rows)),
                        index.eq(0),
                    ]
                    with m.If(tiles_left == 1):
                        m.d.sync += [tiles_left.eq(row_tiles), words_left.eq(words_left - 1)]
                        begin_records(Mux(words_left == 2, last_outputs, outputs))
                        m.next = "RECORDS"
                    with m.If(is_shared | (tiles_left == 1) & (words_left == 1)):
                        m.next = "IDLE"

            with m.State("TABLES"):
                m.d.comb += [
                    loading_tables.eq(1),
                    dma.stb.eq((outstanding == 0) & self.table_free),
                    self.table_valid.eq(dma.ack),
                ]
                with m.If(dma.ack):
                    m.d.sync += beats_left.eq(beats_left - 1)
                    with m.If(beats_left == 1):
                        m.next = "IDLE"

            with m.State("LOAD"):
                m.d.comb += [
                    self.loading.eq(1),
                    dma.stb.eq((beats_left != 0) & (reserved != landing.depth)),
                    landing.w_en.eq(dma.ack),
                    self.act_write.addr.eq(load_addr),
                    self.act_write.data.as_value().eq(landing.r_data.word_select(piece, 8 * config.act_port_bytes)),
                ]
                with m.If(taken):
                    m.d.sync += beats_left.eq(beats_left - 1)
                with m.If(landing.r_rdy):
                    m.d.comb += self.act_write.mask.eq(Cat(load_length > i for i in range(config.act_port_bytes)))
                with m.If(landing.r_rdy & self.act_advance):
                    m.d.sync += [
                        load_addr.eq(load_addr + config.act_port_bytes),
                        load_length.eq(load_length - config.act_port_bytes),
                        piece.eq(Mux(piece == ratio - 1, 0, piece + 1)),
                    ]
                    with m.If(load_length <= config.act_port_bytes):
                        m.d.comb += [landing.r_en.eq(1), self.load_done.eq(1)]
                        m.next = "IDLE"
                    with m.Elif(piece == ratio - 1):
                        m.d.comb += landing.r_en.eq(1)

        m.d.comb += landing.w_data.eq(dma.dat_r)
        m.d.sync += reserved.eq(reserved + (taken & self.loading) - landing.r_en)
        m.d.comb += [dma.cyc.eq(dma.stb | (outstanding != 0)), self.address.eq(answered_address)]
        m.d.comb += [tags.w_en.eq(taken & ~self.loading & ~loading_tables), self.table_beat.eq(dma.dat_r)]

        # Answers: beats of one item are gathered, lowest first, until the last one completes it. Beats that the macro
        # takes as they come need no gathering.
        in_beats = macro.write_beats > 1
        beats = max(1 if in_beats else config.row_beats, config.param_beats)
        collect_beat = Signal(range(max(2, config.row_beats, config.param_beats)))
        item = Signal(data.ArrayLayout(config.weight_port_bits, beats))
        store = Signal()
        m.d.comb += [
            item[0].eq(dma.dat_r),
            tags.r_en.eq(answer & tags.r_rdy),
            store.eq(tags.r_en & dma.ack),
        ]
        if beats > 1:
            collected = Signal(item.shape())
            m.d.comb += [item.eq(collected), item[collect_beat].eq(dma.dat_r)]
            with m.If(store):
                m.d.sync += collected.eq(item)
        if beats > 1 or in_beats:
            with m.If(store):
                m.d.sync += collect_beat.eq(Mux(answered.last_beat, 0, collect_beat + 1))

        complete = store & answered.last_beat
        record = Signal(data.StructLayout({"bias": 32, "multiplier": 32, "shift": 8}))
        bank = Signal()
        weights = self.weights.payload
        m.d.comb += [
            record.as_value().eq(item.as_value()),
            self.record_write.eq(complete & answered.record),
            self.record_bank.eq(bank),
            self.record_index.eq(answered.index),
            self.record.bias.eq(record.bias),
            self.record.multiplier.eq(record.multiplier),
            self.record.shift.eq(record.shift),
            self.tile_ready.eq(complete & ~answered.record & answered.last),
        ]
        # The cells of the macro are many, and lie far from the memory.
        m.d.sync += self.weights.valid.eq((store if in_beats else complete) & ~answered.record)
        with m.If(store):
            m.d.sync += [
                weights.set.eq(answered.set),
                weights.row.eq(answered.index),
                weights.width.eq(width),
                weights.signed.eq(is_signed),
                weights.data.eq(dma.dat_r if in_beats else item.as_value()),
            ]
            if in_beats:
                m.d.sync += weights.beat.eq(collect_beat)
        with m.If(self.record_write & answered.last):
            m.d.sync += bank.eq(~bank)
        return m
