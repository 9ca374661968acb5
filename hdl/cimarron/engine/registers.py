"""Registers and custom instructions: how software sees the engine."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus import wishbone
from ..config import EngineConfig
from ..isa import ACT_WINDOW, ENGINE_ID, JOB_WORDS, EngineError, Instruction, Register
from .counters import COUNTERS, CountersSignature
from .ports import CommandSignature
from .sequencer import FailureLayout

__all__ = ["Registers"]


class Registers(wiring.Component):
    """One register file behind two ports: the bus and the CPU's custom instructions, which go first.

    Either is answered in the next cycle; PUSH takes one more. Descriptors come in word by word (``jobs``), or are left
    to the fetcher (``fetch``), which has to be done with them before others come in either way. Each failure that the
    engine's parts report sets the sticky error if none is set: from then on ``abort`` holds the engine in reset, pushes
    and fetches are refused and what is written instead ignored, until CONTROL clears it, in the cycle after the access;
    the next access waits for that. What an access itself does wrong, here or (``window_failed``) in the cycle before
    in the activation buffer's window, sets the error in the cycle after it, and the next access waits for that, too: it
    always sees the error. It waits, too, while a part is ``failing``, which ``failed`` reports in the next cycle. With
    a self-test in the macro, ``test_start`` pulses when software asks for a test of an engine that has nothing to do;
    without, its registers do not exist.
    """

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "bus": In(wishbone.Signature(addr_width=(ACT_WINDOW - 1).bit_length() - 2)),
                "command": In(CommandSignature()),
                "jobs": Out(stream.Signature(32)),
                "free": In(range(config.queue_jobs * JOB_WORDS + 1)),
                "fetch": Out(1),
                "fetch_address": Out(32),
                "fetch_jobs": Out(32),
                "fetching": In(1),
                "fetch_left": In(32),
                "waiting": In(8),
                "busy": In(1),
                "retired": In(1),
                "failing": In(1),
                "failed": In(1),
                "failure": In(FailureLayout()),
                "window_failed": In(1),
                "window_address": In(32),
                "counts": In(CountersSignature(32)),
                "clear": Out(1),
                "abort": Out(1),
                "error": Out(1),
                "irq": Out(1),
                "test_start": Out(1),
                "test_state": In(4),
                "test_address": In(32),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        bus, command = self.bus, self.command
        request = command.request

        code = Signal(EngineError)
        info = Signal(32)
        retired = Signal(32)
        irq_enable = Signal(2)
        fetch_address = Signal(32)
        went_idle = Signal()
        was_busy = Signal()
        m.d.comb += [
            self.error.eq(code != EngineError.NONE),
            self.irq.eq((irq_enable[0] & self.error) | (irq_enable[1] & went_idle)),
        ]
        m.d.sync += was_busy.eq(self.busy)

        # One access per cycle, from whichever port; what it is about does not wait for whether it comes about.
        access = Signal()
        write = Signal()
        offset = Signal(32)
        value = Signal(32)
        read_value = Signal(32)
        unknown = Signal()
        refused = Signal()
        overflow = Signal()
        interrupts = Signal()

        own = Signal(FailureLayout())
        own_failed = Signal()
        settled = Signal()
        pending = Signal()
        commands = Signal()
        # Registers are few: that an offset lies beyond them is known before whose turn it is.
        index_bits = max(Register).bit_length()
        index = Signal(index_bits + 1)

        def index_of(offset: Value) -> Value:
            return Cat(offset[:index_bits], offset[index_bits:].any())

        second = Signal(32)
        pushing = Signal()

        m.d.comb += [
            settled.eq(~self.clear & ~own_failed & ~self.failing & ~self.failed),
            commands.eq(request.valid & ~pending & ~pushing),
            request.ready.eq(~pending & ~pushing & settled),
            command.response.valid.eq(pending),
            offset.eq(Mux(commands, request.payload.a, bus.adr << 2)),
            index.eq(Mux(commands, index_of(request.payload.a), index_of(bus.adr << 2))),
            value.eq(Mux(commands, request.payload.b, bus.dat_w)),
        ]
        with m.If(command.response.ready):
            m.d.sync += pending.eq(0)
        # What software sees of the bus does not reach the reset of the whole engine in the same cycle.
        m.d.sync += [bus.ack.eq(0), self.clear.eq(0)]
        # High whenever ``error`` or ``clear`` is, but from a register of its own: it resets thousands of flip-flops.
        m.d.sync += self.abort.eq(~self.clear & (self.error | own_failed | self.failed))

        answer = Signal(32)
        free = Signal.like(self.free)
        m.d.comb += [
            free.eq(Mux(self.fetching, 0, self.free)),
            self.fetch_address.eq(fetch_address),
            self.fetch_jobs.eq(value),
        ]
        m.d.comb += command.response.payload.eq(answer)
        with m.If(pushing):
            m.d.comb += [self.jobs.valid.eq(1), self.jobs.payload.eq(second)]
            m.d.sync += [pushing.eq(0), pending.eq(1), answer.eq(1)]
        with m.Elif(request.valid & request.ready):
            reads = request.payload.function == Instruction.READ
            m.d.comb += [
                access.eq(reads | write),
                write.eq(request.payload.function == Instruction.WRITE),
            ]
            m.d.sync += [pending.eq(1), answer.eq(Mux(reads, read_value, 0))]
            with m.If(request.payload.function == Instruction.PUSH):
                with m.If((free >= 2) & ~self.error):
                    m.d.comb += [self.jobs.valid.eq(1), self.jobs.payload.eq(request.payload.a)]
                    m.d.sync += [pending.eq(0), pushing.eq(1), second.eq(request.payload.b)]
            with m.Elif(request.payload.function == Instruction.FETCH):
                m.d.comb += [self.fetch.eq(~self.fetching & ~self.error), self.fetch_address.eq(request.payload.a)]
                m.d.sync += answer.eq(self.fetch)
            with m.Elif(~access):
                m.d.comb += unknown.eq(1)
        with m.Elif(bus.cyc & bus.stb & ~bus.ack & settled):
            m.d.comb += [access.eq(1), write.eq(bus.we)]
            m.d.sync += [bus.ack.eq(1), bus.dat_r.eq(read_value)]

        readable = {
            Register.ID: ENGINE_ID,
            Register.CONFIG_HASH: self.config.hash,
            Register.STATUS: self.busy | self.error << 1 | self.fetching << 2 | self.waiting << 8 | free << 16,
            Register.ERROR: code,
            Register.ERROR_INFO: info,
            Register.IRQ_ENABLE: irq_enable,
            Register.IRQ_PENDING: self.error | went_idle << 1,
            Register.RETIRED: retired,
            Register.FETCH_ADDRESS: fetch_address,
            Register.FETCH_JOBS: self.fetch_left,
        } | {Register[name.upper()]: getattr(self.counts, name) for name in COUNTERS}
        if self.config.macro.self_test:
            readable |= {Register.SELF_TEST: self.test_state, Register.SELF_TEST_ADDRESS: self.test_address}
        with m.Switch(index):
            for register, source in readable.items():
                with m.Case(register):
                    m.d.comb += read_value.eq(source)
            with m.Default():
                m.d.comb += refused.eq(access & ~write)

        m.d.sync += [
            retired.eq(retired + self.retired),
            went_idle.eq(went_idle | (was_busy & ~self.busy & ~self.error)),
        ]
        with m.If(access & write):
            with m.Switch(index):
                with m.Case(Register.CONTROL):
                    m.d.sync += self.clear.eq(value[0])
                    with m.If(value[0]):
                        m.d.sync += self.abort.eq(1)
                with m.Case(Register.IRQ_ENABLE):
                    m.d.sync += irq_enable.eq(value)
                with m.Case(Register.IRQ_PENDING):
                    with m.If(value[1]):
                        m.d.sync += went_idle.eq(0)
                with m.Case(Register.JOB):
                    m.d.comb += [self.jobs.valid.eq(~self.fetching & ~self.error), self.jobs.payload.eq(value)]
                    m.d.comb += overflow.eq(self.fetching | ~self.jobs.ready)
                with m.Case(Register.FETCH_ADDRESS):
                    m.d.sync += fetch_address.eq(value)
                with m.Case(Register.FETCH_JOBS):
                    m.d.comb += [self.fetch.eq(~self.fetching & ~self.error), overflow.eq(self.fetching)]
                if self.config.macro.self_test:
                    with m.Case(Register.SELF_TEST):
                        with m.If(value[0] & ~self.error):
                            m.d.comb += [self.test_start.eq(~self.busy), interrupts.eq(self.busy)]
                with m.Default():
                    m.d.comb += refused.eq(1)

        # An access comes from far, and its failure would go far: that becomes an error in the cycle after it.
        did = {name: Signal(name=f"did_{name}") for name in ("unknown", "overflow", "interrupt", "refused")}
        last_function, last_offset, last_value = Signal(10), Signal(32), Signal(32)
        m.d.sync += [
            did["unknown"].eq(unknown),
            did["overflow"].eq(overflow),
            did["interrupt"].eq(interrupts),
            did["refused"].eq(refused),
            last_function.eq(request.payload.function),
            last_offset.eq(offset),
            last_value.eq(value),
        ]
        # At most one of them, but for the window, which answers while an instruction is taken; it goes first.
        for failed, kind, about in (
            (did["unknown"], EngineError.BAD_INSTRUCTION, last_function),
            (did["overflow"], EngineError.QUEUE_OVERFLOW, last_value),
            (did["interrupt"], EngineError.NOT_IDLE, last_offset),
            (did["refused"], EngineError.BAD_REGISTER, last_offset),
            (self.window_failed, EngineError.BAD_ACT_ADDRESS, self.window_address),
        ):
            with m.If(failed):
                m.d.comb += [own_failed.eq(1), own.code.eq(kind), own.info.eq(about)]

        # The access was there first.
        with m.If(~self.error):
            with m.If(own_failed):
                m.d.sync += [code.eq(own.code), info.eq(own.info)]
            with m.Elif(self.failed):
                m.d.sync += [code.eq(self.failure.code), info.eq(self.failure.info)]
        with m.If(self.clear):
            m.d.sync += [code.eq(EngineError.NONE), info.eq(0), retired.eq(0), went_idle.eq(0)]
        return m
