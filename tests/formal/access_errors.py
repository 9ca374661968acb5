"""Whoever accesses the engine's registers sees every error that came before."""

from amaranth.hdl import Assert, Assume, Module, Mux, Signal
from amaranth.lib import wiring
from cimarron.engine.registers import Registers
from cimarron.isa import EngineError, Instruction, Register

__all__ = ["AccessErrors"]

#: What `docs/soc.md` says of the registers of an engine without a self-test.
_WRITTEN_ONLY = {Register.CONTROL, Register.JOB}
_SELF_TEST = {Register.SELF_TEST, Register.SELF_TEST_ADDRESS}
_READABLE = set(Register) - _WRITTEN_ONLY - _SELF_TEST
_WRITABLE = _WRITTEN_ONLY | {
    Register.IRQ_ENABLE,
    Register.IRQ_PENDING,
    Register.FETCH_ADDRESS,
    Register.FETCH_JOBS,
}


class AccessErrors(wiring.Component):
    """Any accesses through both ports, any failures of the engine's parts, and of the window in the cycle after one.

    An error counts from the cycle after what caused it. Each access must find the first one that counts and was not
    cleared: reads of the registers ``STATUS``, ``ERROR`` and ``ERROR_INFO`` return it, and neither port hands over a
    job while there is one. ``error`` says the same a cycle later at the latest.

    Parameters
    ----------
    registers : Registers
        Without a self-test.
    """

    def __init__(self, registers: Registers) -> None:
        self.registers = registers
        super().__init__(dict(registers.signature.members))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.registers = registers = self.registers
        wiring.connect(m, wiring.flipped(self), registers)
        request, bus = self.command.request, self.bus

        # The cycle before. Whether it had an access of the bus, the acknowledge tells.
        def before(value, name):
            past = Signal.like(value, name=f"{name}_before")
            m.d.sync += past.eq(value)
            return past

        commanded = before(request.valid & request.ready, "commanded")
        function = before(request.payload.function, "function")
        offset = Mux(commanded, before(request.payload.a, "a"), before(bus.adr, "adr") << 2)
        value = Mux(commanded, before(request.payload.b, "b"), before(bus.dat_w, "dat_w"))
        bus_write = before(bus.we, "we")
        fetching, full = before(self.fetching, "fetching"), before(~self.jobs.ready, "full")
        part_failed, failure = before(self.failed, "failed"), before(self.failure.as_value(), "failure")
        handed_over = before(self.jobs.valid | self.fetch, "handed_over")
        m.d.comb += Assert(~(commanded & bus.ack))
        # The window answers in the place of the registers, and the bus belongs to one access at a time.
        m.d.comb += Assume(~(self.window_failed & bus.ack))

        read = Mux(commanded, function == Instruction.READ, bus.ack & ~bus_write)
        write = Mux(commanded, function == Instruction.WRITE, bus.ack & bus_write)
        unknown = commanded & ~sum((function == instruction for instruction in Instruction), start=0).bool()

        def one_of(choice):
            return sum((offset == register for register in choice), start=0).bool()

        refused = (read & ~one_of(_READABLE)) | (write & ~one_of(_WRITABLE))
        overflow = write & (
            ((offset == Register.JOB) & (fetching | full)) | ((offset == Register.FETCH_JOBS) & fetching)
        )

        # What the access before found, and what this one has to find.
        code, info = Signal(EngineError), Signal(32)
        next_code, next_info = Signal(EngineError), Signal(32)
        m.d.comb += [next_code.eq(code), next_info.eq(info)]
        m.d.sync += [code.eq(next_code), info.eq(next_info)]
        cleared = write & (offset == Register.CONTROL) & value[0]
        clearing = before(cleared, "cleared")
        with m.If(cleared):
            m.d.comb += [next_code.eq(EngineError.NONE), next_info.eq(0)]
        with m.Elif(code == EngineError.NONE):
            # Parts that are being cleared have nothing to say.
            with m.If(part_failed & ~clearing):
                fields = self.failure.shape()(failure)
                m.d.comb += [next_code.eq(fields.code), next_info.eq(fields.info)]
            with m.Elif(self.window_failed):
                m.d.comb += [next_code.eq(EngineError.BAD_ACT_ADDRESS), next_info.eq(self.window_address)]
            with m.Elif(unknown):
                m.d.comb += [next_code.eq(EngineError.BAD_INSTRUCTION), next_info.eq(function)]
            with m.Elif(refused):
                m.d.comb += [next_code.eq(EngineError.BAD_REGISTER), next_info.eq(offset)]
            with m.Elif(overflow):
                m.d.comb += [next_code.eq(EngineError.QUEUE_OVERFLOW), next_info.eq(value)]
        m.d.comb += Assume(~self.failed | (self.failure.code != EngineError.NONE))

        failing = code != EngineError.NONE
        answer = Mux(commanded, self.command.response.payload, bus.dat_r)
        with m.If(read & (offset == Register.STATUS)):
            m.d.comb += Assert(answer[1] == failing)
        with m.If(read & (offset == Register.ERROR)):
            m.d.comb += Assert(answer == code)
        with m.If(read & (offset == Register.ERROR_INFO)):
            m.d.comb += Assert(answer == info)
        with m.If((commanded | bus.ack) & failing):
            m.d.comb += Assert(~handed_over)
        m.d.comb += [
            Assert(~failing | self.error),
            Assert(~self.error | (next_code != EngineError.NONE) | self.clear),
            Assert(self.abort == (self.error | self.clear)),
        ]
        return m
