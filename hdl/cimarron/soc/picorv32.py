"""The small RISC-V core, instantiated as it is."""

from pathlib import Path
from typing import Any

from amaranth.hdl import ClockSignal, Const, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from ..bus.decoder import Decoder
from ..engine.ports import CommandSignature
from .cpu import verified_source

__all__ = ["PicoRv32", "picorv32_source"]

_PACKAGE = "pythondata_cpu_picorv32"
_VERSION = "1.0.post218"
_SHA256 = "0836050971b3c6cdd28ac3b1e5719a67fb645161912bef1e472e63995ceb0622"

#: Parameters of the core that are not its defaults.
_PARAMETERS = {
    "ENABLE_COUNTERS64": 0,
    "ENABLE_PCPI": 1,
    "ENABLE_FAST_MUL": 1,
}

#: Outputs of the core that nobody listens to, and their bits.
_UNUSED = {
    "mem_instr": 1, "mem_la_read": 1, "mem_la_write": 1, "mem_la_addr": 32, "mem_la_wdata": 32, "mem_la_wstrb": 4,
    "eoi": 32, "trace_valid": 1, "trace_data": 36,
}  # fmt: skip

_CUSTOM_0 = 0b0001011


def picorv32_source() -> Path:
    """Path of the core's Verilog (module ``picorv32``), verified.

    Raises
    ------
    CpuSourceError
        If the package is not installed, or its netlist is another one.
    """
    return verified_source(_PACKAGE, "picorv32.v", _SHA256, _VERSION)


class PicoRv32(wiring.Component):
    """PicoRV32: RV32I with multiplication (Zmmul), without caches and interrupts, with custom-0 instructions.

    An instruction takes about 4 cycles and those of its accesses to memory; a custom instruction as long as ``command``
    takes to answer and 4. ``rdcycle`` and ``rdinstret`` count 32 bits. Whatever the core cannot execute, such as an
    unknown instruction, a division or a misaligned access, stops it: it is then reset, starts from the beginning, and
    says so.

    Parameters
    ----------
    start : int
        Byte address of the first instruction, a multiple of 4.

    Members
    -------
    bus : Out(Decoder.signature_of_bus)
        Instructions and data, classic single transfers.
    command : Out(CommandSignature())
        Custom-0 instructions with funct7 = 0; one at a time, answered in the cycle in which it is taken or later.
    trapped : Out(1)
        For one cycle when the core is about to start again because it could not go on.
    """

    bus: Out(Decoder.signature_of_bus)
    command: Out(CommandSignature())
    trapped: Out(1)

    def __init__(self, start: int) -> None:
        self._start = start
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus, request, response = self.bus, self.command.request, self.command.response
        running, trap = Signal(), Signal()
        valid, instruction, a, b = Signal(), Signal(32), Signal(32), Signal(32)
        address, strobe, access = Signal(32), Signal(4), Signal()
        waiting, custom = Signal(), Signal()

        m.d.sync += running.eq(~trap)
        m.d.comb += [
            self.trapped.eq(trap & running),
            bus.cyc.eq(access),
            bus.stb.eq(access),
            bus.we.eq(strobe.any()),
            bus.sel.eq(strobe | (~strobe.any()).replicate(4)),
            bus.adr.eq(address >> 2),
            custom.eq(valid & (instruction[:7] == _CUSTOM_0) & (instruction[25:] == 0)),
            request.valid.eq(custom & ~waiting),
            request.p.function.eq(instruction[12:15]),
            request.p.a.eq(a),
            request.p.b.eq(b),
            response.ready.eq(1),
        ]
        with m.If(response.valid):
            m.d.sync += waiting.eq(0)
        with m.Elif(request.valid & request.ready):
            m.d.sync += waiting.eq(1)

        parameters: dict[str, Any] = {f"p_{name}": Const(value, 1) for name, value in _PARAMETERS.items()}
        m.submodules.core = Instance(
            "picorv32",
            **parameters,
            p_PROGADDR_RESET=Const(self._start, 32),
            i_clk=ClockSignal(),
            i_resetn=running,
            o_trap=trap,
            o_mem_valid=access,
            i_mem_ready=bus.ack,
            o_mem_addr=address,
            o_mem_wdata=bus.dat_w,
            o_mem_wstrb=strobe,
            i_mem_rdata=bus.dat_r,
            o_pcpi_valid=valid,
            o_pcpi_insn=instruction,
            o_pcpi_rs1=a,
            o_pcpi_rs2=b,
            i_pcpi_wr=response.valid,
            i_pcpi_rd=response.payload,
            i_pcpi_wait=custom,
            i_pcpi_ready=response.valid,
            i_irq=Const(0, 32),
            **{f"o_{name}": Signal(bits, name=name) for name, bits in _UNUSED.items()},
        )
        return m
