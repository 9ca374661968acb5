"""Arbiter and decoder with pins on every side, and the memory as one of the targets."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cimarron.bus import wishbone
from cimarron.bus.arbiter import Arbiter
from cimarron.bus.decoder import Decoder, Target
from cimarron.config import PRESETS, SocConfig
from cimarron.isa import RAM_BASE, UNCACHED
from cimarron.soc.ram import Ram

__all__ = ["DEVICE_BASE", "RAM_BYTES", "TIMEOUT_CYCLES", "BusFabric"]

DEVICE_BASE = 0xE000_0000
TIMEOUT_CYCLES = 40
RAM_BYTES = 65536


class BusFabric(wiring.Component):
    """Three initiators, a memory that understands bursts, and a slow ``device`` of 4 KiB that does not."""

    def __init__(self) -> None:
        self._device = wishbone.Signature(addr_width=10)
        super().__init__(
            {
                "initiators": In(Decoder.signature_of_bus).array(3),
                "device": Out(self._device),
                "error": Out(1),
                "error_write": Out(1),
                "error_address": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.ram = ram = Ram(SocConfig(engine=PRESETS["default"].engine, ram_bytes=RAM_BYTES))
        m.submodules.arbiter = arbiter = Arbiter(3, Decoder.signature_of_bus)
        m.submodules.decoder = decoder = Decoder(
            {
                "ram": Target(ram.bus.signature.flip(), RAM_BASE, RAM_BASE | UNCACHED),
                "device": Target(self._device, DEVICE_BASE),
            },
            timeout_cycles=TIMEOUT_CYCLES,
        )
        for index in range(3):
            wiring.connect(m, wiring.flipped(self.initiators[index]), arbiter.initiators[index])
        wiring.connect(m, arbiter.bus, decoder.bus)
        wiring.connect(m, decoder.ram, ram.bus)
        wiring.connect(m, decoder.device, wiring.flipped(self.device))
        m.d.comb += [
            self.error.eq(decoder.error),
            self.error_write.eq(decoder.error_write),
            self.error_address.eq(decoder.error_address),
        ]
        return m
