"""The chip without an engine in gates: a small core drives the macro itself."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..bus.decoder import Decoder, Target
from ..config import SocConfig
from ..engine.ports import MonitorSignature
from ..isa import ACT_WINDOW, BOOT_BASE, ENGINE_BASE, FLASH_BASE, RAM_BASE, SYSTEM_BASE, UART_BASE, UNCACHED
from ..macro.macro import Macro
from .bank import Bank
from .flash import FlashPins
from .macro_port import MacroPort
from .picorv32 import PicoRv32
from .rom import Rom
from .system import SystemController
from .uart import Uart

__all__ = ["SmallSoc"]


class SmallSoc(wiring.Component):
    """PicoRV32 and a macro, for small FPGAs: firmware executes the jobs that elsewhere an engine does.

    Addresses are those of `cimarron.isa`, as far as there is something; the activation buffer is memory at its usual
    place. Both memories can be loaded and read in simulation, under the names that they have in `cimarron.soc.soc.Soc`:
    the arrays ``memory`` of the Verilog module ``<top>.ram`` and ``lane0`` of ``<top>.act_buffer``.

    The firmware is in memory when the system starts: as its initial contents, or because a boot memory brings it from
    the flash first.

    Parameters
    ----------
    config : SocConfig
        With ``engine_in`` software.
    boot : bytes, optional
        First instructions, at `cimarron.isa.BOOT_BASE`; without them the core starts at the beginning of its memory.
    ram_init : bytes
        Contents of that memory after configuration, from the first byte on.
    blocks : bool
        Whether the memories are the large blocks of an iCE40 UltraPlus, see `cimarron.soc.bank.Bank`.

    Members
    -------
    uart_tx : Out(1)
    uart_rx : In(1)
    flash_clk, flash_copi, flash_cs_n : Out(1)
    flash_cipo : In(1)
        See `cimarron.soc.flash.FlashPins`; only with ``boot``.
    monitor : Out(MonitorSignature())
        What the firmware says about its jobs; free to leave unconnected.
    event_valid : Out(1)
    event : Out(32)
        See `cimarron.soc.soc.Soc`.

    Raises
    ------
    ValueError
        If the configuration has an engine in gates, or ``boot`` or ``ram_init`` does not fit.
    """

    def __init__(
        self, config: SocConfig, *, boot: bytes | None = None, ram_init: bytes = b"", blocks: bool = False
    ) -> None:
        if config.engine_in != "software":
            raise ValueError(f"The small system needs engine_in software, not {config.engine_in}")
        self._config = config
        self._rom = None if boot is None else Rom(boot)
        self._ram = Bank("memory", config.ram_bytes, init=ram_init, blocks=blocks)
        self._act_buffer = Bank("lane0", config.bank_bytes, blocks=blocks)
        flash = {"flash_clk": Out(1), "flash_copi": Out(1), "flash_cs_n": Out(1, init=1), "flash_cipo": In(1)}
        super().__init__(
            {
                "uart_tx": Out(1),
                "uart_rx": In(1, init=1),
                **(flash if self._rom else {}),
                "monitor": Out(MonitorSignature()),
                "event_valid": Out(1),
                "event": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.cpu = cpu = PicoRv32(RAM_BASE if self._rom is None else BOOT_BASE)
        m.submodules.ram = self._ram
        m.submodules.act_buffer = self._act_buffer
        m.submodules.uart = uart = Uart(config.clock_hz, config.uart_baud, block_ram=True)
        m.submodules.system = system = SystemController(config.ram_bytes, config.clock_hz)
        m.submodules.macro = macro = Macro(config.engine.macro)
        m.submodules.macro_port = port = MacroPort(config.engine)

        devices = {
            "ram": (self._ram, RAM_BASE, RAM_BASE | UNCACHED),
            "act_buffer": (self._act_buffer, ENGINE_BASE + ACT_WINDOW),
            "uart": (uart, UART_BASE),
            "system": (system, SYSTEM_BASE),
        }
        if self._rom is not None:
            m.submodules.rom = self._rom
            m.submodules.flash = flash = FlashPins()
            devices |= {"rom": (self._rom, BOOT_BASE), "flash": (flash, FLASH_BASE)}
            m.d.comb += [
                self.flash_clk.eq(flash.clk),
                self.flash_copi.eq(flash.copi),
                self.flash_cs_n.eq(flash.cs_n),
                flash.cipo.eq(self.flash_cipo),
            ]
        m.submodules.decoder = decoder = Decoder(
            {name: Target(device.bus.signature.flip(), *bases) for name, (device, *bases) in devices.items()}
        )
        wiring.connect(m, cpu.bus, decoder.bus)
        for name, (device, *_) in devices.items():
            wiring.connect(m, getattr(decoder, name), device.bus)

        wiring.connect(m, cpu.command, port.command)
        wiring.connect(m, port.write, macro.write)
        wiring.connect(m, port.operation, macro.i_stream)
        wiring.connect(m, macro.o_stream, port.result)
        wiring.connect(m, port.monitor, wiring.flipped(self.monitor))
        m.d.comb += [
            port.plane.eq(macro.plane),
            system.trapped.eq(cpu.trapped),
            system.bus_error.eq(decoder.error),
            system.bus_error_write.eq(decoder.error_write),
            system.bus_error_address.eq(decoder.error_address),
            self.uart_tx.eq(uart.tx),
            uart.rx.eq(self.uart_rx),
            self.event_valid.eq(system.event_valid),
            self.event.eq(system.event),
        ]
        return m
