"""Instantiation templates: every port with its width and what it means."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Shape
from amaranth.lib import data, wiring
from cimarron.config import SocConfig

__all__ = ["Port", "ports", "template"]

#: What ports mean, by pattern; the first that matches counts.
_MEANINGS = (
    (r"clk|aclk", "clock of everything"),
    (r"rst", "synchronous reset, active high"),
    (r"aresetn", "synchronous reset, active low"),
    (r"fast_clk", "clock of twice the frequency, every other rising edge with that of the first"),
    (r"fast_rst", "not used"),
    (r"irq", "interrupt, a level: see register IRQ_ENABLE"),
    # Engine.
    (r"bus__adr", "registers and activation buffer, Wishbone B4 classic: word address"),
    (r"dma__adr", "memory, Wishbone B4 pipelined: beat address"),
    (r"(bus|dma)__dat_w", "data to write"),
    (r"(bus|dma)__dat_r", "data read"),
    (r"(bus|dma)__sel", "bytes to write"),
    (r"(bus|dma)__cyc", "cycle; when it falls, what is owed is cancelled"),
    (r"(bus|dma)__stb", "request"),
    (r"(bus|dma)__we", "write, not read"),
    (r"(bus|dma)__ack", "request answered"),
    (r"dma__err", "request answered: no such address"),
    (r"dma__stall", "request not taken in this cycle"),
    (r"command__request__payload", "custom instruction: function, first and second operand"),
    (r"command__request__valid", "custom instruction offered; 0 if unused"),
    (r"command__request__ready", "custom instruction taken"),
    (r"command__response__payload", "its result"),
    (r"command__response__valid", "result offered"),
    (r"command__response__ready", "result taken; 1 if unused"),
    (r"best", "the word nearest to the input of an XOR"),
    (r"test_start", "pulse: test the macro, whose weights are lost"),
    (r"test_running", "the self-test runs"),
    (r"test_done", "the self-test has ended"),
    (r"test_march_failed", "a cell failed"),
    (r"test_compute_failed", "an adder failed"),
    (r"test_failure", "where the first failure was"),
    (r"monitor__retired", "for simulation: a job's last result is in the activation buffer"),
    (r"monitor__error", "for simulation: the engine is in error"),
    (r"monitor__beat", "for simulation: the memory port answers a beat"),
    (r"monitor__\w+", "for simulation: the counter of that name"),
    # AXI.
    (r"s_axi_\w*addr", "registers and activation buffer, AXI4-Lite: byte address"),
    (r"m_axi_\w*addr", "memory, AXI4: byte address of a burst"),
    (r"[sm]_axi_(aw|ar|w|b|r)valid", "offered"),
    (r"[sm]_axi_(aw|ar|w|b|r)ready", "taken"),
    (r"[sm]_axi_[wr]data", "data"),
    (r"[sm]_axi_wstrb", "bytes to write"),
    (r"[sm]_axi_[br]resp", "0 OKAY, 2 SLVERR, 3 DECERR"),
    (r"m_axi_[wr]last", "last word of a burst"),
    (r"m_axi_(aw|ar)len", "words of a burst less one"),
    (r"m_axi_(aw|ar|b|r)id", "always 0"),
    (r"m_axi_(aw|ar)size", "always whole words"),
    (r"m_axi_(aw|ar)burst", "always 1, INCR"),
    (r"m_axi_(aw|ar)cache", "always 3, normal memory, not cached"),
    (r"[sm]_axi_(aw|ar)(lock|prot|qos)", "always 0, or ignored"),
    # Macro.
    (r"write__payload", "part of a weight matrix"),
    (r"write__valid", "write offered"),
    (r"write__ready", "write taken"),
    (r"i_stream__payload", "operation"),
    (r"i_stream__valid", "operation offered"),
    (r"i_stream__ready", "operation taken"),
    (r"o_stream__payload", "result"),
    (r"o_stream__valid", "result offered"),
    (r"o_stream__ready", "result taken"),
    (r"plane", "a bit plane enters the array"),
    (r"write_error", "a write was refused"),
    (r"computing", "weight sets in use"),
    # System.
    (r"uart_tx", "serial output, 1 when idle"),
    (r"uart_rx", "serial input, 1 when idle"),
    (r"event_valid", "the firmware announces something: see register EVENT"),
    (r"event", "what it announces"),
)


@dataclass(frozen=True)
class Port:
    """A pin of a top.

    Parameters
    ----------
    name : str
    direction : {"input", "output"}
    width : int
        Bits.
    meaning : str
        One line; of a bunch of numbers with where each of them is.
    """

    name: str
    direction: str
    width: int
    meaning: str


def _places(shape: object) -> str:
    """Where the parts of a structure lie, from the least significant bit on."""
    if not isinstance(shape, data.StructLayout):
        return ""
    parts = []
    for name, field in shape:
        high = field.offset + Shape.cast(field.shape).width - 1
        parts.append(f"{name} {high}..{field.offset}" if high > field.offset else f"{name} {high}")
    return f" ({', '.join(parts)})"


def _meaning(name: str) -> str:
    for pattern, meaning in _MEANINGS:
        if re.fullmatch(pattern, name):
            return meaning
    raise LookupError(f"nothing is said about port {name}")


def ports(component: wiring.Component, *, clocks: Sequence[str] = ()) -> list[Port]:
    """Ports of the Verilog module of a component, clocks and reset first.

    Parameters
    ----------
    component : wiring.Component
    clocks : sequence of str
        Ports of clock domains besides the first one's.
    """
    pins = [
        Port(
            name := "__".join(map(str, path)),
            "input" if member.flow is wiring.In else "output",
            Shape.cast(member.shape).width,
            _meaning(name) + _places(member.shape),
        )
        for path, member, _ in component.signature.flatten(component)
    ]
    first = () if "aclk" in {pin.name for pin in pins} else ("clk", "rst")
    return [*(Port(name, "input", 1, _meaning(name)) for name in (*first, *clocks)), *pins]


def template(top: str, component: wiring.Component, config: SocConfig) -> str:
    """Verilog 2005 that instantiates a top: a module to copy from, which compiles as it is.

    Parameters
    ----------
    top : str
        One of `cimarron_sim.runner.tops.TOPS`.
    component : wiring.Component
        It, of which only the ports are looked at.
    config : SocConfig
    """
    pins = ports(component, clocks=("fast_clk", "fast_rst") if config.engine.macro.double_pumped else ())
    longest = max(len(pin.name) for pin in pins)
    lines = [f"// How to instantiate {top}: copy what you need.", f"module {top}_template;"]
    for pin in pins:
        width = f"[{pin.width - 1}:0] " if pin.width > 1 else ""
        lines += [f"  // {pin.direction}: {pin.meaning}", f"  wire {width}{_name(pin)};"]
    lines += ["", f"  {top} {top}_0 ("]
    lines += [f"    .{_name(pin).ljust(longest + 2)} ({_name(pin)})," for pin in pins]
    lines[-1] = lines[-1].removesuffix(",")
    return "\n".join([*lines, "  );", "endmodule", ""])


def _name(pin: Port) -> str:
    """``event`` is a keyword of Verilog."""
    return f"\\{pin.name} " if pin.name == "event" else pin.name
