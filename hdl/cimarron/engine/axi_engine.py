"""The engine for AXI systems."""

from amaranth.hdl import ClockDomain, ClockSignal, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from ..bus.axi4 import Axi4
from ..bus.axi4_lite import Axi4Lite
from ..config import EngineConfig
from .engine import Engine
from .ports import bus_signature, dma_signature

__all__ = ["AxiEngine"]


def _pins(prefix: str, signature: wiring.Signature, flow: type[In] | type[Out]) -> dict[str, wiring.Member]:
    """Members of an interface as single pins, named as block design tools expect them."""
    members = signature.flip().members if flow is In else signature.members
    return {f"{prefix}_{name}": member for name, member in members.items()}


class AxiEngine(wiring.Component):
    """The `Engine` with AXI ports, named so that tools recognise the interfaces.

    Custom instructions and what only simulation watches are left out. Cycles of the bridges: see `Axi4Lite` and `Axi4`.

    Parameters
    ----------
    config : EngineConfig
    outstanding, burst_beats : int
        See `Axi4`.

    Members
    -------
    aclk, aresetn : In(1)
        Clock of everything, and its synchronous reset, active low.
    s_axi_* : In
        AXI4-Lite subordinate, 32 bits, 21 address bits: registers from 0 on, activation buffer from ``ACT_WINDOW`` on.
    m_axi_* : Out
        AXI4 manager, ``weight_port_bits`` wide, 32 address bits: memory with weights, inputs and job descriptors.
    irq : Out(1)
        Level, see `cimarron.isa.Register.IRQ_ENABLE`.
    """

    def __init__(self, config: EngineConfig, *, outstanding: int = 16, burst_beats: int = 16) -> None:
        self._config = config
        self._lengths = {"outstanding": outstanding, "burst_beats": burst_beats}
        super().__init__(
            {
                "aclk": In(1),
                "aresetn": In(1),
                **_pins("s_axi", Axi4Lite.axi_signature(bus_signature()), In),
                **_pins("m_axi", Axi4.axi_signature(dma_signature(config)), Out),
                "irq": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain()
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn)]
        m.submodules.engine = engine = Engine(self._config)
        m.submodules.control = control = Axi4Lite(bus_signature())
        m.submodules.memory = memory = Axi4(dma_signature(self._config), **self._lengths)
        connect(m, control.bus, engine.bus)
        connect(m, engine.dma, memory.bus)
        for prefix, port in (("s_axi", control.axi), ("m_axi", memory.axi)):
            for name, member in port.signature.members.items():
                pin, inner = getattr(self, f"{prefix}_{name}"), getattr(port, name)
                m.d.comb += pin.eq(inner) if member.flow is Out else inner.eq(pin)
        m.d.comb += [engine.command.request.valid.eq(0), engine.command.response.ready.eq(1), self.irq.eq(engine.irq)]
        return m
