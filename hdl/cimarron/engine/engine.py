"""The engine: keeps the macro busy, alone, out of a queue."""

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out, connect, flipped

from ..bus.access_register import AccessRegister
from ..bus.pipelined_arbiter import PipelinedArbiter
from ..bus.request_register import RequestRegister
from ..config import EngineConfig
from ..isa import EngineError, Opcode
from ..macro.self_test import SelfTestedMacro, macro_of
from .act_buffer import ActBuffer
from .counters import COUNTERS, Counters
from .drain import Drain
from .feeder import Feeder
from .fetcher import Fetcher
from .gather import Gather, VectorLayout
from .job import JOB_LAYOUTS
from .loader import Loader
from .params import ParamBuffer
from .ports import CommandSignature, MonitorSignature, bus_signature, dma_signature
from .queue import JobQueue
from .registers import Registers
from .sequencer import FailureLayout, Sequencer
from .skid import Skid
from .storer import Storer
from .tables import Tables
from .vector import Vector
from .window import Window

__all__ = ["Engine"]


class Engine(wiring.Component):
    """Executes job descriptors (`cimarron.isa`) with one macro.

    Parts work at the same time, each as far ahead as its inputs allow: the fetcher reads job descriptors and the
    loader fills idle weight sets, both from memory, the gather turns the activation buffer into vectors, the drain
    turns results into outputs. The feeder between gather and macro waits for the weights; the macro's own handshake
    carries back-pressure from the drain. The storer writes activations back to memory.

    Members
    -------
    bus : In(bus_signature())
        Registers and activation buffer, for any host.
    command : In(CommandSignature())
        Custom instructions.
    dma : Out(dma_signature(config))
        Memory that holds weights, inputs, job descriptors and what STORE jobs write.
    irq : Out(1)
        See `cimarron.isa.Register.IRQ_ENABLE`.
    monitor : Out(MonitorSignature())
    """

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "bus": In(bus_signature()),
                "command": In(CommandSignature()),
                "dma": Out(dma_signature(config)),
                "irq": Out(1),
                "monitor": Out(MonitorSignature()),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        m.submodules.registers = registers = Registers(config)
        m.submodules.window = window = Window(config)
        m.submodules.counters = counters = Counters()
        m.submodules.act_buffer = act_buffer = ActBuffer(config)
        m.submodules.params = params = ParamBuffer(config)

        def resettable(part):
            """An error, or software, puts every part that holds work back to its initial state."""
            return ResetInserter(registers.abort)(part)

        queue, fetcher, sequencer, loader = JobQueue(config), Fetcher(config), Sequencer(config), Loader(config)
        arbiter, requests = PipelinedArbiter(3, dma_signature(config)), RequestRegister(dma_signature(config))
        vector, tables, storer = Vector(config), Tables(config), Storer(config)
        gather, feeder, macro, drain = Gather(config), Feeder(config), macro_of(config.macro), Drain(config)
        skid = Skid(VectorLayout(config))
        m.submodules.queue = resettable(queue)
        m.submodules.fetcher = resettable(fetcher)
        m.submodules.arbiter = resettable(arbiter)
        m.submodules.requests = resettable(requests)
        m.submodules.sequencer = resettable(sequencer)
        m.submodules.loader = resettable(loader)
        m.submodules.storer = resettable(storer)
        m.submodules.gather = resettable(gather)
        m.submodules.skid = resettable(skid)
        m.submodules.feeder = resettable(feeder)
        m.submodules.macro = resettable(macro)
        m.submodules.drain = resettable(drain)
        m.submodules.vector = resettable(vector)
        m.submodules.tables = resettable(tables)

        connect(m, registers.jobs, queue.i_stream)
        connect(m, queue.o_stream, sequencer.i_words)
        connect(m, fetcher.o_stream, sequencer.i_beats)
        # A descriptor is a few beats, and without it the others have nothing to do. Nothing is loaded while the storer
        # works: it goes before the loader because whether it may go on decides about the buffer's ports.
        connect(m, fetcher.dma, arbiter.initiators[0])
        connect(m, storer.dma, arbiter.initiators[1])
        connect(m, loader.dma, arbiter.initiators[2])
        connect(m, arbiter.bus, requests.initiator)
        connect(m, requests.bus, flipped(self.dma))
        # A drain that waits holds up the macro in the same cycle, and the gather in the next.
        connect(m, gather.o_stream, skid.i_stream)
        connect(m, skid.o_stream, feeder.i_stream)
        connect(m, feeder.o_stream, macro.i_stream)
        connect(m, macro.o_stream, drain.i_stream)
        connect(m, loader.weights, macro.write)
        connect(m, counters.counts, registers.counts)

        # What software asks of the registers comes from far: it is taken now and done in the next cycle.
        m.submodules.accesses = accesses = AccessRegister(registers.bus.signature.flip())
        asked = self.command.request
        m.submodules.commands = commands = SyncFIFOBuffered(width=len(asked.payload.as_value()), depth=1)
        connect(m, accesses.bus, registers.bus)
        connect(m, registers.command.response, flipped(self.command.response))
        m.d.comb += [
            commands.w_data.eq(asked.payload),
            commands.w_en.eq(asked.valid),
            asked.ready.eq(commands.w_rdy),
            registers.command.request.payload.eq(commands.r_data),
            registers.command.request.valid.eq(commands.r_rdy),
            commands.r_en.eq(registers.command.request.ready),
        ]

        # The upper half of the window is the activation buffer.
        upper = self.bus.adr[-1]
        for target, selected in ((accesses.initiator, ~upper), (window.bus, upper)):
            m.d.comb += [
                target.adr.eq(self.bus.adr),
                target.dat_w.eq(self.bus.dat_w),
                target.sel.eq(self.bus.sel),
                target.we.eq(self.bus.we),
                target.cyc.eq(self.bus.cyc & selected),
                target.stb.eq(self.bus.stb & selected),
            ]
        m.d.comb += [
            self.bus.ack.eq(Mux(upper, window.bus.ack, accesses.initiator.ack)),
            self.bus.dat_r.eq(Mux(upper, window.bus.dat_r, accesses.initiator.dat_r)),
        ]

        # A test takes the macro away: no job gets weights or tables until it has ended.
        testing, test_running = Signal(), Signal()
        if isinstance(macro, SelfTestedMacro):
            verdict = Cat(macro.test_running, macro.test_done, macro.test_march_failed, macro.test_compute_failed)
            m.d.comb += [
                macro.test_start.eq(registers.test_start),
                test_running.eq(macro.test_running),
                testing.eq(registers.test_start | test_running),
                registers.test_state.eq(verdict),
                registers.test_address[:16].eq(macro.test_failure.column),
                registers.test_address[16:28].eq(macro.test_failure.row),
                registers.test_address[28:].eq(macro.test_failure.set),
            ]

        next_vector = data.View(JOB_LAYOUTS[Opcode.VECTOR], sequencer.next_mac.as_value())
        m.d.comb += [
            fetcher.start.eq(registers.fetch),
            fetcher.address.eq(registers.fetch_address),
            fetcher.jobs.eq(registers.fetch_jobs),
            fetcher.partial.eq(queue.partial),
            registers.fetching.eq(fetcher.busy),
            registers.fetch_left.eq(fetcher.left),
            loader.job.eq(sequencer.next_mac),
            loader.load.eq(sequencer.next_load),
            loader.width.eq(sequencer.next_width),
            loader.start_mac.eq(sequencer.start_mac),
            loader.start_tables.eq(sequencer.start_tables),
            loader.binary.eq(next_vector.binary),
            loader.table_free.eq(tables.free),
            tables.start.eq(sequencer.start_tables),
            tables.binary.eq(next_vector.binary),
            tables.beat_valid.eq(loader.table_valid),
            tables.beat.eq(loader.table_beat),
            tables.release.eq(drain.done & sequencer.vector),
            tables.enable.eq(vector.lookup),
            tables.x.eq(vector.x),
            tables.z.eq(vector.z),
            vector.a.eq(tables.a),
            vector.b.eq(tables.b),
            vector.tables_ready.eq(tables.ready),
            vector.job.eq(sequencer.job),
            vector.start.eq(sequencer.start & sequencer.vector),
            drain.vector.eq(vector.beat),
            loader.start_load.eq(sequencer.start_load),
            storer.job.eq(sequencer.next_load.as_value()),
            storer.start.eq(sequencer.start_store),
            # While activations move, nothing is read from memory that may not be written yet.
            sequencer.loader_ready.eq(loader.ready & ~storer.storing & ~testing),
            sequencer.loading.eq(loader.loading | storer.storing),
            sequencer.load_done.eq(loader.load_done | storer.done),
            loader.set_done.eq(drain.set_done),
            loader.bank_done.eq(drain.bank_done),
            params.write.eq(loader.record_write),
            params.write_bank.eq(loader.record_bank),
            params.write_index.eq(loader.record_index),
            params.write_record.eq(loader.record),
            params.enable.eq(drain.param_enable),
            params.bank.eq(drain.bank),
            params.beat.eq(drain.beat),
            drain.records.eq(params.records),
            drain.stride.eq(sequencer.stride),
            sequencer.done.eq(drain.done),
            feeder.computing.eq(sequencer.computing),
            feeder.tile_ready.eq(loader.tile_ready),
            feeder.plane.eq(macro.plane & ~test_running),
        ]
        for part in (gather, feeder, drain):
            m.d.comb += [part.job.eq(sequencer.job), part.start.eq(sequencer.start & ~sequencer.vector)]

        # Ports of the activation buffer: the bus first, then whatever job there is.
        m.d.comb += [
            window.hold.eq(gather.hold | vector.hold | storer.hold),
            gather.steal.eq(window.wants_read),
            vector.steal.eq(window.wants_read),
            storer.steal.eq(window.wants_read),
            gather.read.data.eq(act_buffer.read.data),
            vector.read.data.eq(act_buffer.read.data),
            storer.read.data.eq(act_buffer.read.data),
            window.read.data.eq(act_buffer.read.data),
            drain.advance.eq(~window.steal_write),
            drain.flows.eq(window.flows),
            vector.advance.eq(~window.steal_write),
            loader.act_advance.eq(~window.steal_write),
        ]
        read, write = act_buffer.read, act_buffer.write
        job_read = ~window.wants_read & ~storer.storing
        for granted, source in (
            (window.wants_read, window.read),
            (~window.wants_read & storer.storing, storer.read),
            (job_read & sequencer.vector, vector.read),
            (job_read & ~sequencer.vector, gather.read),
        ):
            with m.If(granted):
                m.d.comb += [read.enable.eq(source.enable), read.addr.eq(source.addr), read.align.eq(source.align)]
        with m.If(~window.flows):
            m.d.comb += [write.mask.eq(window.write.mask), write.addr.eq(window.write.addr)]
            m.d.comb += write.data.eq(window.write.data)
        with m.Elif(loader.loading):
            m.d.comb += [write.mask.eq(loader.act_write.mask), write.addr.eq(loader.act_write.addr)]
            m.d.comb += write.data.eq(loader.act_write.data)
        with m.Else():
            m.d.comb += [write.mask.eq(drain.write.mask), write.addr.eq(drain.write.addr)]
            m.d.comb += write.data.eq(drain.write.data)

        failures = [
            (sequencer.failed, sequencer.failure.code, sequencer.failure.info),
            (fetcher.failed, fetcher.failure.code, fetcher.failure.info),
            (loader.bad_address, EngineError.BAD_MEMORY_ADDRESS, loader.address),
            (storer.bad_address, EngineError.BAD_MEMORY_ADDRESS, storer.address),
            (gather.bad_address, EngineError.BAD_ACT_ADDRESS, gather.address),
            (vector.bad_address, EngineError.BAD_ACT_ADDRESS, vector.address),
            (drain.bad_address, EngineError.BAD_ACT_ADDRESS, drain.address),
            (gather.bad_shape, EngineError.BAD_SHAPE, gather.shape_word),
            (drain.psum_overflow, EngineError.PSUM_OVERFLOW, sequencer.job.psum_entries),
            (macro.o_stream.valid & macro.o_stream.payload.error, EngineError.BAD_WIDTH, sequencer.job.as_value()[:32]),
        ]
        # They come from far apart: the error is set two cycles after what caused it, and everything goes on meanwhile.
        failing, failure = Signal(), Signal(FailureLayout())
        for index, (failed, code, info) in enumerate(failures):
            with m.If(failed) if index == 0 else m.Elif(failed):
                m.d.comb += [failing.eq(1), failure.code.eq(code), failure.info.eq(info)]
        m.d.sync += [registers.failed.eq(failing & ~registers.abort), registers.failure.eq(failure)]
        # What is wrong with a hand-over is an error for the next access.
        m.d.comb += registers.failing.eq(fetcher.rejected)

        busy = fetcher.busy | queue.o_stream.valid | (sequencer.jobs != 0) | ~loader.ready | sequencer.partial
        m.d.comb += [
            registers.busy.eq(busy | test_running | registers.failed),
            registers.waiting.eq(sequencer.jobs),
            registers.free.eq(queue.free),
            registers.retired.eq(sequencer.retired),
            registers.window_failed.eq(window.bad_address),
            registers.window_address.eq(window.address),
            counters.clear.eq(registers.clear),
            counters.events.busy.eq(busy),
            counters.events.compute.eq(macro.plane & ~test_running),
            counters.events.stall_input.eq(feeder.stall_input),
            counters.events.stall_weights.eq(feeder.stall_weights),
            counters.events.stall_output.eq(feeder.stall_output),
            counters.events.operations.eq(macro.o_stream.valid & macro.o_stream.ready | vector.read_done),
            self.irq.eq(registers.irq),
            self.monitor.retired.eq(sequencer.retired),
            self.monitor.error.eq(registers.error),
            self.monitor.beat.eq(self.dma.ack),
        ]
        m.d.comb += [getattr(self.monitor, name).eq(getattr(counters.counts, name)) for name in COUNTERS]
        return m
