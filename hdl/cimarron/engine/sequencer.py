"""Sequencer: takes jobs from the queue or the fetcher, checks them, starts them in order."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import EngineConfig
from ..isa import JOB_BYTES, JOB_FIELDS, JOB_WORDS, EngineError, Opcode, OutFormat
from .job import JOB_LAYOUTS

__all__ = ["FailureLayout", "Sequencer"]


class FailureLayout(data.StructLayout):
    """An error on its way to the error register."""

    def __init__(self) -> None:
        super().__init__({"code": EngineError, "info": 32})


class Sequencer(wiring.Component):
    """Two jobs deep: while one computes, the next one's weights are loaded.

    A descriptor is collected and checked in one cycle more than it has words, those in the queue, or beats, those of
    the fetcher. Words go first: none enter while the fetcher has beats, so they are older. A MAC job goes to the loader
    as soon as that is free and to the computing part (gather, macro, drain) as soon as that is free; ``start`` pulses
    in the cycle after ``job`` has changed, while ``vector`` says that it is a VECTOR job, which computes in the vector
    path and the end of the drain. Such a job goes the same two ways, but its tables wait until those of another one
    have served. A LOAD or STORE job waits until nothing computes, and everything else until it is done; the next
    descriptor is collected meanwhile. ``retired`` pulses in the cycle after a job's last write.
    """

    def __init__(self, config: EngineConfig):
        self.config = config
        macro = config.macro
        mac = JOB_LAYOUTS[Opcode.MAC]
        super().__init__(
            {
                "i_words": In(stream.Signature(32)),
                "i_beats": In(stream.Signature(config.weight_port_bits)),
                "next_mac": Out(mac),
                "next_load": Out(JOB_LAYOUTS[Opcode.LOAD]),
                "next_width": Out(range(max(2, len(macro.weight_widths)))),
                "start_mac": Out(1),
                "start_tables": Out(1),
                "start_load": Out(1),
                "start_store": Out(1),
                "loader_ready": In(1),
                "loading": In(1),
                "load_done": In(1),
                "job": Out(mac),
                "stride": Out(range(macro.group_words + 1)),
                "start": Out(1),
                "vector": Out(1),
                "computing": Out(1),
                "done": In(1),
                "retired": Out(1),
                "jobs": Out(range(4)),
                "partial": Out(1),
                "failed": Out(1),
                "failure": Out(FailureLayout()),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        macro = self.config.macro
        words = Signal(8 * JOB_BYTES)  # a shift register: the descriptor needs no multiplexer
        count = Signal(range(JOB_WORDS + 1))
        mac, load = self.next_mac, self.next_load
        limit = Signal(range(macro.words + 1))  # outputs of one operation
        next_stride = Signal.like(self.stride)
        m.d.comb += [mac.as_value().eq(words), load.as_value().eq(words)]

        with m.Switch(mac.weight_bits):
            for index, width in enumerate(macro.weight_widths):
                with m.Case(width):
                    m.d.comb += [self.next_width.eq(index), limit.eq(macro.outputs(width))]
                    m.d.comb += next_stride.eq(width // macro.cell_bits)

        given_loader = Signal()
        given_compute = Signal()
        waiting = Signal()
        m.d.comb += [self.jobs.eq(waiting + self.computing + self.loading), self.partial.eq(count != 0)]
        m.d.sync += [self.start.eq(0), self.retired.eq(self.done | self.load_done)]
        with m.If(self.done):
            m.d.sync += self.computing.eq(0)

        def collect(pieces: int):
            m.d.sync += count.eq(count + 1)
            with m.If(count == pieces - 1):
                m.d.sync += [count.eq(0), given_loader.eq(0), given_compute.eq(0)]
                m.next = "CHECK"

        def take_beat():
            m.d.comb += self.i_beats.ready.eq(1)
            with m.If(self.i_beats.valid):
                m.d.sync += words.eq(Cat(words[self.config.weight_port_bits :], self.i_beats.payload))
                m.next = "BEATS"
                collect(JOB_BYTES // self.config.port_bytes)

        with m.FSM():
            with m.State("WORDS"):
                m.d.comb += self.i_words.ready.eq(1)
                with m.If(self.i_words.valid):
                    m.d.sync += words.eq(Cat(words[32:], self.i_words.payload))
                    collect(JOB_WORDS)
                with m.Elif(count == 0):
                    take_beat()

            with m.State("BEATS"):
                take_beat()

            with m.State("CHECK"):
                m.d.comb += waiting.eq(1)
                m.next = "MAC"
                with m.If((mac.opcode == Opcode.LOAD) | (mac.opcode == Opcode.STORE)):
                    m.next = "COPY"
                self._check(m, limit)
                with m.If(self.failed):
                    m.next = "CHECK"  # until the error resets everything

            with m.State("MAC"):
                m.d.comb += waiting.eq(1)
                wants_tables = mac.opcode == Opcode.VECTOR
                loader_free = Signal()
                m.d.comb += loader_free.eq(self.loader_ready & ~(wants_tables & self.computing & self.vector))
                taken_loader = given_loader | loader_free
                compute_free = ~self.computing & ~self.loading & ~self.start
                taken_compute = given_compute | compute_free
                m.d.comb += [
                    self.start_mac.eq(loader_free & ~given_loader & ~wants_tables),
                    self.start_tables.eq(loader_free & ~given_loader & wants_tables),
                ]
                m.d.sync += [given_loader.eq(taken_loader), given_compute.eq(taken_compute)]
                with m.If(~given_compute & compute_free):
                    m.d.sync += [self.job.eq(mac), self.stride.eq(next_stride), self.vector.eq(wants_tables)]
                    m.d.sync += [self.start.eq(1), self.computing.eq(1)]
                with m.If(taken_loader & taken_compute):
                    m.next = "WORDS"

            with m.State("COPY"):
                free = self.loader_ready & ~self.computing
                m.d.comb += [
                    waiting.eq(1),
                    self.start_load.eq(free & (load.opcode == Opcode.LOAD)),
                    self.start_store.eq(free & (load.opcode == Opcode.STORE)),
                ]
                with m.If(free):
                    m.next = "WORDS"
        return m

    def _check(self, m: Module, limit: Value) -> None:
        """Raises ``failed`` for the first rule that the job at hand breaks."""
        config = self.config
        macro = config.macro
        mac, load = self.next_mac, self.next_load
        fields = JOB_FIELDS[Opcode.MAC]

        def zero(name: str):
            return mac[name] == 0, EngineError.BAD_SHAPE, fields[name].word

        known_width: Value = Const(0)
        for width in macro.weight_widths:
            known_width |= mac.weight_bits == width
        good_width = known_width & (mac.act_bits != 0) & (mac.act_bits <= macro.max_act_bits)

        # What both kinds of walk have to be lies in the same bits.
        walk_rules = [
            *(zero(name) for name in ("row_bytes", "in_height", "out_width", "out_height")),
            *(zero(name) for name in ("kernel_h", "runs", "run_bytes")),
            (mac.weight_addr & config.port_bytes - 1 != 0, EngineError.BAD_SHAPE, fields["weight_addr"].word),
        ]
        vector_rules = [
            (mac.out_format > OutFormat.UINT8, EngineError.BAD_WIDTH, mac.as_value()[:32]),
            *walk_rules,
        ]
        mac_rules = [
            (~good_width | (mac.out_format > OutFormat.INT32), EngineError.BAD_WIDTH, mac.as_value()[:32]),
            *walk_rules,
            zero("row_tiles"),
            ((mac.last_rows == 0) | (mac.last_rows > macro.rows), EngineError.BAD_SHAPE, fields["last_rows"].word),
            zero("word_tiles"),
            ((mac.last_words == 0) | (mac.last_words > limit), EngineError.BAD_SHAPE, fields["last_words"].word),
            ((mac.tile_words == 0) | (mac.tile_words > limit), EngineError.BAD_SHAPE, fields["tile_words"].word),
            (
                (mac.group_words == 0) | (mac.group_words > macro.words) | (mac.group_words & config.lanes - 1 != 0),
                EngineError.BAD_SHAPE,
                fields["group_words"].word,
            ),
            zero("group_columns"),
            (
                (mac.row_tiles != 1) & (mac.psum_entries > config.psum_entries),
                EngineError.PSUM_OVERFLOW,
                mac.psum_entries,
            ),
        ]
        end = load.destination + load.length
        # The buffer's end of a LOAD and of a STORE lies in the same bits; the latter needs no alignment.
        is_load = load.opcode == Opcode.LOAD
        copy_rules = [
            (is_load & (load.source & config.port_bytes - 1 != 0), EngineError.BAD_SHAPE, 1),
            (is_load & (load.destination & config.act_port_bytes - 1 != 0), EngineError.BAD_SHAPE, 2),
            (load.length == 0, EngineError.BAD_SHAPE, 3),
            (end > config.act_buffer_bytes, EngineError.BAD_ACT_ADDRESS, Mux(end[32], ~0, end[:32])),
        ]

        def first_broken(rules) -> None:
            for index, (broken, code, info) in enumerate(rules):
                with m.If(broken) if index == 0 else m.Elif(broken):
                    m.d.comb += [self.failed.eq(1), self.failure.code.eq(code), self.failure.info.eq(info)]

        with m.If(mac.opcode == Opcode.MAC):
            first_broken(mac_rules)
        with m.Elif(mac.opcode == Opcode.VECTOR):
            first_broken(vector_rules)
        with m.Elif(is_load | (mac.opcode == Opcode.STORE)):
            first_broken(copy_rules)
        with m.Else():
            m.d.comb += [
                self.failed.eq(1),
                self.failure.code.eq(EngineError.BAD_OPCODE),
                self.failure.info.eq(mac.opcode),
            ]
