"""The RISC-V system without the engine."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..bus.arbiter import Arbiter
from ..bus.decoder import Decoder, Target
from ..config import SocConfig
from ..engine.ports import CommandSignature, bus_signature, dma_signature
from ..isa import ENGINE_BASE, RAM_BASE, SYSTEM_BASE, TIMER_BASE, UART_BASE, UNCACHED, Interrupt
from .cfu import CfuAdapter
from .cpu import Cpu
from .ram import Ram, check_contents
from .system import SystemController
from .timer import Timer
from .uart import Uart

__all__ = ["CpuSubsystem"]


class CpuSubsystem(wiring.Component):
    """CPU, memory and peripherals, with the ports that an engine is connected to.

    Instruction and data bus share one Wishbone bus with every target; the engine's memory port has the second port of
    the memory to itself. Interrupts are numbered by `cimarron.isa.Interrupt`.

    Parameters
    ----------
    config : SocConfig
    ram_init : bytes
        Contents of the memory after configuration.

    Members
    -------
    engine : Out(bus_signature())
        Registers and activation buffer.
    command : Out(CommandSignature())
        Custom instructions.
    dma : In(dma_signature(config.engine))
        The engine's way to the memory.
    engine_irq : In(1)
    uart_tx : Out(1)
    uart_rx : In(1)
    event_valid : Out(1)
        For one cycle per word written to `SystemRegister.EVENT`.
    event : Out(32)

    Raises
    ------
    ValueError
        If the initial contents do not fit the memory.
    """

    def __init__(self, config: SocConfig, *, ram_init: bytes = b"") -> None:
        check_contents(config, ram_init)
        self._config = config
        self._ram_init = ram_init
        super().__init__(
            {
                "engine": Out(bus_signature()),
                "command": Out(CommandSignature()),
                "dma": In(dma_signature(config.engine)),
                "engine_irq": In(1),
                "uart_tx": Out(1),
                "uart_rx": In(1, init=1),
                "event_valid": Out(1),
                "event": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.cpu = cpu = Cpu()
        m.submodules.cfu = cfu = CfuAdapter()
        m.submodules.arbiter = arbiter = Arbiter(2, Decoder.signature_of_bus)
        m.submodules.ram = ram = Ram(config, init=self._ram_init)
        m.submodules.uart = uart = Uart(config.clock_hz, config.uart_baud)
        m.submodules.timer = timer = Timer()
        m.submodules.system = system = SystemController(config.ram_bytes, config.clock_hz)
        m.submodules.decoder = decoder = Decoder(
            {
                "ram": Target(ram.bus.signature.flip(), RAM_BASE, RAM_BASE | UNCACHED),
                "engine": Target(self.engine.signature, ENGINE_BASE),
                "uart": Target(uart.bus.signature.flip(), UART_BASE),
                "timer": Target(timer.bus.signature.flip(), TIMER_BASE),
                "system": Target(system.bus.signature.flip(), SYSTEM_BASE),
            }
        )

        wiring.connect(m, cpu.ibus, arbiter.initiators[0])
        wiring.connect(m, cpu.dbus, arbiter.initiators[1])
        wiring.connect(m, arbiter.bus, decoder.bus)
        wiring.connect(m, decoder.ram, ram.bus)
        wiring.connect(m, decoder.engine, wiring.flipped(self.engine))
        wiring.connect(m, decoder.uart, uart.bus)
        wiring.connect(m, decoder.timer, timer.bus)
        wiring.connect(m, decoder.system, system.bus)
        wiring.connect(m, wiring.flipped(self.dma), ram.dma)
        wiring.connect(m, cpu.command, cfu.cpu)
        wiring.connect(m, cfu.engine, wiring.flipped(self.command))

        m.d.comb += [
            system.bus_error.eq(decoder.error),
            system.bus_error_write.eq(decoder.error_write),
            system.bus_error_address.eq(decoder.error_address),
            cpu.irq[Interrupt.ENGINE].eq(self.engine_irq),
            cpu.irq[Interrupt.BUS_ERROR].eq(system.irq),
            cpu.irq[Interrupt.UART].eq(uart.irq),
            cpu.irq[Interrupt.TIMER].eq(timer.irq),
            self.uart_tx.eq(uart.tx),
            uart.rx.eq(self.uart_rx),
            self.event_valid.eq(system.event_valid),
            self.event.eq(system.event),
        ]
        return m
