"""The RISC-V core, instantiated as it is."""

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..bus.decoder import Decoder
from ..engine.ports import CommandSignature
from ..isa import RAM_BASE

__all__ = ["Cpu", "CpuSourceError", "cpu_source", "verified_source"]

_PACKAGE = "pythondata_cpu_vexriscv"
_SHA256 = "04dc3c5c9f906c0f78de6955aaea44f9ba06ec8dff6d6314c4fe141c803cf332"


class CpuSourceError(RuntimeError):
    """The Verilog of the core is missing or is not the one this project was tested with."""


def verified_source(package: str, file: str, sha256: str, version: str) -> Path:
    """Path of a core's Verilog in a Python package, if it is the one this project was tested with.

    Parameters
    ----------
    package : str
        Name of the module; with hyphens, of the package.
    file : str
        In its folder ``verilog``.
    sha256 : str
        Of the file, in hexadecimal.
    version : str
        Of the package that holds it.

    Raises
    ------
    CpuSourceError
        If the package is not installed, or its file is another one.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise CpuSourceError(f"Package {package} is missing: pip install {package.replace('_', '-')}")
    path = Path(spec.submodule_search_locations[0], "verilog", file)
    if not path.is_file():
        raise CpuSourceError(f"Package {package} contains no {path.name}: reinstall it")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != sha256:
        raise CpuSourceError(
            f"{path.name} has sha256 {digest[:16]}..., tested is {sha256[:16]}...:"
            f" pip install {package.replace('_', '-')}=={version}"
        )
    return path


def cpu_source() -> Path:
    """Path of the core's Verilog (module ``VexRiscv``), verified.

    Raises
    ------
    CpuSourceError
        If the package is not installed, or its netlist is another one.
    """
    return verified_source(_PACKAGE, "VexRiscv_FullCfu.v", _SHA256, "1.0.1.post407")


class Cpu(wiring.Component):
    """VexRiscv, RV32IM, with 4 KiB of instruction and 4 KiB of data cache and a port for custom instructions.

    Starts at ``RAM_BASE``. The data cache writes through and does not see what others write to memory; addresses with
    bit 31 set bypass it. The core has no use for bus errors: whoever answers the buses raises an interrupt instead.

    Members
    -------
    ibus, dbus : Out(Decoder.signature_of_bus)
        Instruction and data bus. Cache lines are bursts of 8 words, everything else classic single transfers.
    command : Out(CommandSignature())
        Custom-0 instructions. ``request.ready`` must be constantly 1: see `cimarron.soc.cfu.CfuAdapter`.
    irq : In(31)
        Level interrupts, numbered by `cimarron.isa.Interrupt`. There is no interrupt 31: its bit in the mask, CSR
        0xBC0, enables the custom instructions instead.
    """

    ibus: Out(Decoder.signature_of_bus)
    dbus: Out(Decoder.signature_of_bus)
    command: Out(CommandSignature())
    irq: In(31)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ports: dict[str, Any] = {}
        for prefix, bus in (("iBus", self.ibus), ("dBus", self.dbus)):
            for name in ("cyc", "stb", "we", "adr", "sel", "cti", "bte"):
                ports[f"o_{prefix}Wishbone_{name.upper()}"] = getattr(bus, name)
            ports[f"o_{prefix}Wishbone_DAT_MOSI"] = bus.dat_w
            ports[f"i_{prefix}Wishbone_DAT_MISO"] = bus.dat_r
            ports[f"i_{prefix}Wishbone_ACK"] = bus.ack
            ports[f"i_{prefix}Wishbone_ERR"] = Const(0, 1)
        request, response = self.command.request, self.command.response
        function, a, b = Signal(10), Signal(32), Signal(32)
        m.d.comb += [request.p.function.eq(function), request.p.a.eq(a), request.p.b.eq(b)]
        m.submodules.core = Instance(
            "VexRiscv",
            i_clk=ClockSignal(),
            i_reset=ResetSignal(),
            i_externalResetVector=Const(RAM_BASE, 32),
            i_timerInterrupt=Const(0, 1),
            i_softwareInterrupt=Const(0, 1),
            i_externalInterruptArray=Cat(self.irq, Const(0, 1)),
            o_CfuPlugin_bus_cmd_valid=request.valid,
            i_CfuPlugin_bus_cmd_ready=request.ready,
            o_CfuPlugin_bus_cmd_payload_function_id=function,
            o_CfuPlugin_bus_cmd_payload_inputs_0=a,
            o_CfuPlugin_bus_cmd_payload_inputs_1=b,
            i_CfuPlugin_bus_rsp_valid=response.valid,
            o_CfuPlugin_bus_rsp_ready=response.ready,
            i_CfuPlugin_bus_rsp_payload_outputs_0=response.payload,
            **ports,
        )
        return m
