"""Writing a weight set that is idle disturbs nothing."""

from amaranth.asserts import AnyConst
from amaranth.hdl import Assert, Assume, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from .inputs import macro_inputs

__all__ = ["IdleSetWrites"]


class IdleSetWrites(wiring.Component):
    """A macro whose other sets are written answers like its twin, to the cycle and to the bit.

    Both compute with one set, which both may rewrite at the same time; the others are written in the first only, at any
    moment. Every result, the readiness for operations and the array's activity must be the same in every cycle.

    Parameters
    ----------
    macro, twin : Macro
        Of the same configuration.
    """

    def __init__(self, macro, twin):
        self.macro = macro
        self.twin = twin
        super().__init__({**macro_inputs(macro.config), "ready": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.macro = macro = self.macro
        m.submodules.twin = twin = self.twin
        active = AnyConst(len(self.write.payload.set))
        shared = Signal()
        m.d.comb += [
            shared.eq(self.write.payload.set == active),
            macro.write.valid.eq(self.write.valid),
            twin.write.valid.eq(self.write.valid & shared),
            Assume(self.i_stream.payload.set == active),
        ]
        for each in (macro, twin):
            m.d.comb += [
                each.write.payload.eq(self.write.payload),
                each.i_stream.valid.eq(self.i_stream.valid),
                each.i_stream.payload.eq(self.i_stream.payload),
                each.o_stream.ready.eq(self.ready),
            ]
        m.d.comb += [
            Assert(macro.i_stream.ready == twin.i_stream.ready),
            Assert(macro.plane == twin.plane),
            Assert(macro.o_stream.valid == twin.o_stream.valid),
            Assert(macro.o_stream.payload.as_value() == twin.o_stream.payload.as_value()),
            Assert(macro.write.ready | shared),
        ]
        return m
