"""Bit cells in latches."""

from pathlib import Path

from amaranth.hdl import ClockSignal, Instance, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .array import BitCellArray

__all__ = ["CELLS", "ClockGate", "LatchArray"]

#: Verilog of what Amaranth cannot describe. A foundry's own cells take the place of the modules in it, under their
#: names: define ``CIMARRON_FOUNDRY_CELLS`` to leave these out.
CELLS = Path(__file__).with_name("cells.v")


class ClockGate(wiring.Component):
    """The clock in the cycles after those with ``enable``, without glitches: a latch and an AND gate.

    Members
    -------
    enable : In(1)
        Settles in the cycle before, like the input of a flip-flop.
    gated : Out(1)
        High in the first half of the cycle.
    """

    enable: In(1)
    gated: Out(1)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.cell = Instance(
            "cimarron_clock_gate", i_clk=ClockSignal(), i_enable=self.enable, o_gated=self.gated
        )
        return m


class LatchArray(BitCellArray):
    """One latch per cell, half of a flip-flop, and one clock gate per row.

    A register takes ``data`` at the end of a cycle with a write, and the latches of the row follow it in the first half
    of the next: a write is seen from that cycle on, as with flip-flops, by a path that is longer by one latch. Nothing
    else of the array is clocked.
    """

    def selected_rows(self, m: Module) -> list[Value]:
        self._held = Signal.like(self.data, name="held", reset_less=True)
        with m.If(self.enable.any()):
            m.d.sync += self._held.eq(self.data)
        return super().selected_rows(m)

    def cells(self, m: Module, name: str, write: Value) -> Signal:
        cells = Signal(len(self.data), name=name)
        gate = ClockGate()
        m.submodules[f"gate_{name}"] = gate
        m.d.comb += gate.enable.eq(write)
        m.submodules[f"latch_{name}"] = Instance(
            "cimarron_latch", p_WIDTH=len(self.data), i_gate=gate.gated, i_d=self._held, o_q=cells
        )
        return cells
