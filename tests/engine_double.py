"""A stand-in for the engine: an accumulator behind custom instructions, and one register on the bus."""

import enum

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cimarron.config import SocConfig
from cimarron.engine.ports import CommandSignature, MonitorSignature, bus_signature, dma_signature
from cimarron.isa import ENGINE_ID, Instruction, Register
from cimarron.soc.subsystem import CpuSubsystem

__all__ = ["Accumulate", "DoubleSoc", "EngineDouble"]


class Accumulate(enum.IntEnum):
    """Instructions (funct3) that the engine does not have; all return the accumulator as it was before."""

    CLEAR = 4
    MAC = 5  #: acc += rs1 * rs2, modulo 2**32
    GET = 6


class EngineDouble(wiring.Component):
    """Answers a custom instruction after funct7 cycles, in the cycle of the request if that is 0.

    Being purely combinational then, it lowers ``request.ready`` whenever ``response.ready`` is low, as many custom
    units do. ``Instruction.READ`` of ``Register.ID`` works here and on the bus; a bus write to ``Register.CONTROL``
    sets ``irq`` to bit 0.
    """

    def __init__(self, config: SocConfig) -> None:
        super().__init__(
            {
                "bus": In(bus_signature()),
                "command": In(CommandSignature()),
                "dma": Out(dma_signature(config.engine)),
                "irq": Out(1),
                "monitor": Out(MonitorSignature()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        request, response = self.command.request, self.command.response
        waited = Signal(7)
        accumulator = Signal(unsigned(32))
        funct3, funct7 = request.p.function[:3], request.p.function[3:]

        m.d.comb += response.valid.eq(request.valid & (waited == funct7))
        m.d.comb += request.ready.eq(response.ready & (waited == funct7))
        m.d.comb += response.payload.eq(accumulator)
        with m.If((funct3 == Instruction.READ) & (request.p.a == Register.ID)):
            m.d.comb += response.payload.eq(ENGINE_ID)
        with m.If(request.valid & request.ready):
            m.d.sync += waited.eq(0)
            with m.Switch(funct3):
                with m.Case(Accumulate.CLEAR):
                    m.d.sync += accumulator.eq(0)
                with m.Case(Accumulate.MAC):
                    m.d.sync += accumulator.eq(accumulator + request.p.a * request.p.b)
        with m.Elif(request.valid & (waited != funct7)):
            m.d.sync += waited.eq(waited + 1)

        bus = self.bus
        m.d.sync += bus.ack.eq(bus.cyc & bus.stb & ~bus.ack)
        with m.If(bus.adr == Register.ID // 4):
            m.d.comb += bus.dat_r.eq(ENGINE_ID)
        with m.If(bus.cyc & bus.stb & bus.we & (bus.adr == Register.CONTROL // 4)):
            m.d.sync += self.irq.eq(bus.dat_w[0])
        return m


class DoubleSoc(wiring.Component):
    """The CPU subsystem with the engine's double: the pins of a `Soc` without the monitor."""

    uart_tx: Out(1)
    uart_rx: In(1, init=1)
    event_valid: Out(1)
    event: Out(32)

    def __init__(self, config: SocConfig, *, ram_init: bytes = b"") -> None:
        self._config = config
        self._ram_init = ram_init
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.system = system = CpuSubsystem(self._config, ram_init=self._ram_init)
        m.submodules.engine = engine = EngineDouble(self._config)
        wiring.connect(m, system.engine, engine.bus)
        wiring.connect(m, system.command, engine.command)
        wiring.connect(m, engine.dma, system.dma)
        m.d.comb += [
            system.engine_irq.eq(engine.irq),
            self.uart_tx.eq(system.uart_tx),
            system.uart_rx.eq(self.uart_rx),
            self.event_valid.eq(system.event_valid),
            self.event.eq(system.event),
        ]
        return m
