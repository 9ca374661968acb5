"""Custom instructions reach the engine once, in order."""

from amaranth.hdl import Assert, Assume, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cimarron.engine.ports import CommandSignature

__all__ = ["CommandOrder"]


class CommandOrder(wiring.Component):
    """Any core that has at most two commands without a response, any engine that answers only what it was asked.

    The adapter must always be ready and offer the engine the oldest command that it has taken and not handed over, in
    the cycle it comes if none waits; so none is dropped, repeated, reordered or held back. Responses pass untouched.

    Parameters
    ----------
    adapter : CfuAdapter
    """

    cpu: In(CommandSignature())
    engine: Out(CommandSignature())

    def __init__(self, adapter):
        self.adapter = adapter
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.adapter = adapter = self.adapter
        wiring.connect(m, wiring.flipped(self.cpu), adapter.cpu)
        wiring.connect(m, adapter.engine, wiring.flipped(self.engine))

        request, onward = self.cpu.request, self.engine.request
        taken = request.valid & request.ready
        passed = onward.valid & onward.ready
        responded = self.engine.response.valid & self.engine.response.ready
        # Commands of the core without a response, and how many of them the engine has.
        open_commands, in_engine = Signal(range(3)), Signal(range(3))
        m.d.sync += open_commands.eq(open_commands + taken - responded)
        m.d.sync += in_engine.eq(in_engine + passed - responded)
        m.d.comb += [
            Assume((open_commands != 2) | ~request.valid),
            Assume((in_engine != 0) | ~self.engine.response.valid),
            Assert(request.ready),
            Assert(self.cpu.response.valid == self.engine.response.valid),
            Assert(self.cpu.response.ready == self.engine.response.ready),
            Assert(self.cpu.response.payload == self.engine.response.payload),
        ]

        oldest, newest = Signal.like(request.payload), Signal.like(request.payload)
        waiting = Signal(range(3))
        m.d.sync += waiting.eq(waiting + taken - passed)
        with m.If((waiting == 2) & passed):
            m.d.sync += oldest.eq(newest)
        with m.If(taken):
            m.d.sync += newest.eq(request.payload)
            with m.If((waiting == 0) | ((waiting == 1) & passed)):
                m.d.sync += oldest.eq(request.payload)
        m.d.comb += Assert(onward.valid == ((waiting != 0) | request.valid))
        with m.If(onward.valid):
            expected = Mux(waiting != 0, oldest.as_value(), request.payload.as_value())
            m.d.comb += Assert(onward.payload.as_value() == expected)
        return m
