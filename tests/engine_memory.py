"""An engine with the system's memory, without the rest of the system."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from cimarron.bus import wishbone
from cimarron.config import SocConfig
from cimarron.engine.engine import Engine
from cimarron.engine.ports import CommandSignature, MonitorSignature, bus_signature
from cimarron.soc.ram import Ram


class EngineMemory(wiring.Component):
    """Ports of an `Engine` whose memory is a `Ram`, which ``memory`` writes; no CPU competes for anything."""

    def __init__(self, config: SocConfig):
        self.config = config
        address_bits = (config.ram_bytes // 4 - 1).bit_length()
        super().__init__(
            {
                "bus": In(bus_signature()),
                "command": In(CommandSignature()),
                "memory": In(wishbone.Signature(addr_width=address_bits, features={"cti", "bte"})),
                "monitor": Out(MonitorSignature()),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.engine = engine = Engine(self.config.engine)
        m.submodules.ram = ram = Ram(self.config)
        connect(m, flipped(self.bus), engine.bus)
        connect(m, flipped(self.command), engine.command)
        connect(m, flipped(self.memory), ram.bus)
        connect(m, engine.dma, ram.dma)
        connect(m, engine.monitor, flipped(self.monitor))
        return m
