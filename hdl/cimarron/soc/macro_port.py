"""Custom instructions that drive a macro, where software takes the engine's place."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import EngineConfig
from ..engine.counters import COUNTERS
from ..engine.ports import CommandSignature, MonitorSignature
from ..isa import JobEvent, MacroFact, MacroInstruction
from ..macro.ports import OperationLayout, ResultLayout, WriteLayout

__all__ = ["MacroPort"]


class MacroPort(wiring.Component):
    """Hands rows of weights and vectors to a macro, and its results back, two words at a time.

    The instructions are those of `cimarron.isa.MacroInstruction`. A vector is collected in a register of ``rows``
    activations. There is one operation at a time between MULTIPLY and the RESULT that ends it; a further MULTIPLY, or a
    RESULT without one, is answered with 0 at once, so that no instruction waits for longer than the macro computes.

    Parameters
    ----------
    config : EngineConfig

    Members
    -------
    command : In(CommandSignature())
        Answered in the cycle in which it is taken.
    write : Out(stream.Signature(WriteLayout(config.macro)))
    operation : Out(stream.Signature(OperationLayout(config.macro)))
    result : In(stream.Signature(ResultLayout(config.macro)))
        Those of the macro.
    plane : In(1)
        That of the macro.
    monitor : Out(MonitorSignature())
        What software says about its jobs. ``busy`` counts cycles with a job, ``stall_input`` those of them in which the
        macro had nothing to do, and a beat is a row, or a part of one, that is written.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        macro = config.macro
        super().__init__(
            {
                "command": In(CommandSignature()),
                "write": Out(stream.Signature(WriteLayout(macro))),
                "operation": Out(stream.Signature(OperationLayout(macro))),
                "result": In(stream.Signature(ResultLayout(macro))),
                "plane": In(1),
                "monitor": Out(MonitorSignature()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        macro = config.macro
        request, response = self.command.request, self.command.response
        a, b = request.payload.a, request.payload.b
        done, in_flight = Signal(), Signal()
        told = Signal()
        vector = Signal.like(self.operation.payload.x.as_value())
        columns = Array(self.result.payload.y[column] for column in range(macro.words))
        facts = {
            MacroFact.CONFIG_HASH: config.hash,
            MacroFact.ROWS: macro.rows,
            MacroFact.WORDS: macro.words,
            MacroFact.WIDTHS: macro.cell_bits | macro.max_weight_bits << 8 | macro.max_act_bits << 16,
            MacroFact.ACT_BUFFER_BYTES: config.act_buffer_bytes,
            MacroFact.PSUM_ENTRIES: config.psum_entries,
        }

        m.d.comb += [
            response.valid.eq(request.valid & done),
            request.ready.eq(done & response.ready),
            self.write.payload.data.eq(a),
            Cat(self.operation.payload.bits).eq(a[:4]),
            self.operation.payload.signed.eq(a[4]),
            self.operation.payload.set.eq(a[8:]),
            self.operation.payload.x.eq(vector),
        ]
        payload = self.write.payload
        places = [(payload.row, 0), (payload.width, 16), (payload.signed, 20), (payload.set, 24)]
        if macro.write_beats > 1:
            places.append((payload.beat, 10))
        m.d.comb += [field.eq(b[low:]) for field, low in places]

        with m.Switch(request.payload.function):
            with m.Case(MacroInstruction.DESCRIBE):
                m.d.comb += done.eq(1)
                with m.Switch(a):
                    for fact, value in facts.items():
                        with m.Case(fact):
                            m.d.comb += response.payload.eq(value)
            with m.Case(MacroInstruction.WEIGHTS):
                m.d.comb += [self.write.valid.eq(request.valid), done.eq(self.write.ready)]
            with m.Case(MacroInstruction.ACTIVATIONS):
                m.d.comb += done.eq(1)
                eight = Cat(word.word_select(byte, 8)[: macro.max_act_bits] for word in (a, b) for byte in range(4))
                with m.If(request.valid):
                    m.d.sync += vector.eq(Cat(vector, eight)[len(eight) :])
            with m.Case(MacroInstruction.MULTIPLY):
                m.d.comb += [
                    self.operation.valid.eq(request.valid & ~in_flight),
                    response.payload.eq(~in_flight),
                    done.eq(in_flight | self.operation.ready),
                ]
                with m.If(request.valid & done):
                    m.d.sync += in_flight.eq(1)
            with m.Case(MacroInstruction.RESULT):
                last = b[0]
                m.d.comb += [
                    response.payload.eq(Mux(in_flight, columns[a[: (macro.words - 1).bit_length()]], 0)),
                    done.eq(self.result.valid | ~in_flight),
                    self.result.ready.eq(request.valid & last),
                ]
                with m.If(request.valid & done & last):
                    m.d.sync += in_flight.eq(0)
            with m.Case(MacroInstruction.JOB):
                m.d.comb += [done.eq(1), told.eq(request.valid)]
            with m.Default():
                m.d.comb += done.eq(1)

        self._watch(m, told, in_flight)
        return m

    def _watch(self, m: Module, told: Signal, in_flight: Signal) -> None:
        """What becomes of the monitor; synthesis leaves it out where nobody looks."""
        monitor, code = self.monitor, self.command.request.payload.a
        working = Signal()
        with m.If(told):
            m.d.sync += working.eq(code == JobEvent.BEGUN)
        events = {
            "busy": working,
            "compute": self.plane,
            "stall_input": working & ~in_flight,
            "operations": self.result.valid & self.result.ready,
        }
        for name in COUNTERS:
            count = getattr(monitor, name)
            if name in events:
                m.d.sync += count.eq(count + events[name])
            with m.If(told & (code == JobEvent.CLEARED)):
                m.d.sync += count.eq(0)
        m.d.sync += [
            monitor.retired.eq(told & (code == JobEvent.RETIRED)),
            monitor.beat.eq(self.write.valid & self.write.ready),
        ]
        with m.If(told & (code == JobEvent.FAILED)):
            m.d.sync += monitor.error.eq(1)
        with m.Elif(told & (code == JobEvent.CLEARED)):
            m.d.sync += monitor.error.eq(0)
