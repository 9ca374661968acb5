"""Interfaces of the engine: what a system connects to."""

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus import wishbone
from ..config import EngineConfig
from ..isa import ACT_WINDOW
from .counters import COUNTERS

__all__ = ["CommandLayout", "CommandSignature", "MonitorSignature", "bus_signature", "dma_signature"]


class CommandLayout(data.StructLayout):
    """One custom instruction: CFU function id and the two source registers."""

    def __init__(self) -> None:
        super().__init__({"function": 10, "a": 32, "b": 32})


class CommandSignature(wiring.Signature):
    """Custom instructions, as the CPU side sees them.

    Every request is answered by exactly one response, in order.
    """

    def __init__(self) -> None:
        super().__init__({"request": Out(stream.Signature(CommandLayout())), "response": In(stream.Signature(32))})


class MonitorSignature(wiring.Signature):
    """What simulation watches; free to leave unconnected.

    ``retired`` pulses in the cycle in which a job's last result reaches the activation buffer. The counters are those
    of the registers (see `cimarron.isa.Register`) and include that job in that cycle. ``beat`` is high in every cycle
    in which the memory port answers a beat, read or written.
    """

    def __init__(self) -> None:
        super().__init__({"retired": Out(1), "error": Out(1), "beat": Out(1), **{name: Out(32) for name in COUNTERS}})


def bus_signature() -> wishbone.Signature:
    """Control port: 2 MiB window of 32-bit words, registers at 0, activation buffer at ``ACT_WINDOW``."""
    return wishbone.Signature(addr_width=(2 * ACT_WINDOW - 1).bit_length() - 2, data_width=32)


def dma_signature(config: EngineConfig) -> wishbone.Signature:
    """Memory port (initiator): pipelined Wishbone, ``weight_port_bits`` wide, 32-bit byte addresses.

    Only STORE jobs write, each beat once, with byte enables in its first and last one.
    """
    addr_width = 32 - (config.port_bytes - 1).bit_length()
    return wishbone.Signature(addr_width=addr_width, data_width=config.weight_port_bits, features={"err", "stall"})
