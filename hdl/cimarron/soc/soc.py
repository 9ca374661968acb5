"""The whole chip: RISC-V system and compute-in-memory engine."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import SocConfig
from ..engine.engine import Engine
from ..engine.ports import MonitorSignature
from .ram import check_contents
from .subsystem import CpuSubsystem

__all__ = ["Soc"]


class Soc(wiring.Component):
    """A CPU that controls one engine, over custom instructions and over the bus.

    Addresses are those of `cimarron.isa`. The memory is the array ``memory`` of the Verilog module
    ``<top>.system.ram``, see `cimarron.soc.ram.Ram`.

    Parameters
    ----------
    config : SocConfig
    ram_init : bytes
        Contents of the memory after configuration.

    Members
    -------
    uart_tx : Out(1)
    uart_rx : In(1)
    monitor : Out(MonitorSignature())
        What the engine does; free to leave unconnected.
    event_valid : Out(1)
        For one cycle per word that the firmware announces.
    event : Out(32)
        That word: `cimarron.isa.Event` in bits 31..24, its argument below.

    Raises
    ------
    ValueError
        If the initial contents do not fit the memory, or the configuration has no engine in gates.
    """

    uart_tx: Out(1)
    uart_rx: In(1, init=1)
    monitor: Out(MonitorSignature())
    event_valid: Out(1)
    event: Out(32)

    def __init__(self, config: SocConfig, *, ram_init: bytes = b"") -> None:
        if config.engine_in != "gates":
            raise ValueError(f"An engine in gates is not what engine_in {config.engine_in} asks for")
        check_contents(config, ram_init)
        self._config = config
        self._ram_init = ram_init
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.system = system = CpuSubsystem(self._config, ram_init=self._ram_init)
        m.submodules.engine = engine = Engine(self._config.engine)
        wiring.connect(m, system.engine, engine.bus)
        wiring.connect(m, system.command, engine.command)
        wiring.connect(m, engine.dma, system.dma)
        wiring.connect(m, engine.monitor, wiring.flipped(self.monitor))
        m.d.comb += [
            system.engine_irq.eq(engine.irq),
            self.uart_tx.eq(system.uart_tx),
            system.uart_rx.eq(self.uart_rx),
            self.event_valid.eq(system.event_valid),
            self.event.eq(system.event),
        ]
        return m
