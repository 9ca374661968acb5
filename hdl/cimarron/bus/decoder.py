"""One Wishbone bus, many targets."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from . import wishbone

__all__ = ["Decoder", "Target"]


@dataclass(frozen=True)
class Target:
    """What a decoder reaches at one address or several.

    Parameters
    ----------
    signature : wishbone.Signature
        Classic, 32 bits wide. The window is as large as its ``addr_width`` says.
    *bases : int
        Byte addresses of the window and its aliases, each a multiple of the window's size.

    Raises
    ------
    ValueError
        If the signature is not classic and 32 bits wide, or a base is not aligned.
    """

    signature: wishbone.Signature
    bases: tuple[int, ...]

    def __init__(self, signature: wishbone.Signature, *bases: int) -> None:
        if signature.data_width != 32 or signature.features & {"err", "stall"}:
            raise ValueError("Target of the decoder must be a classic 32-bit bus without err and stall")
        object.__setattr__(self, "signature", signature)
        object.__setattr__(self, "bases", bases)
        for base in bases:
            if base % self.size or not 0 <= base < 1 << 32:
                raise ValueError(
                    f"Target base {base:#x} must be a 32-bit multiple of the window's {self.size:#x} bytes"
                )

    @property
    def size(self) -> int:
        """Bytes of the window."""
        return 4 << self.signature.addr_width


class Decoder(wiring.Component):
    """Address decoder that answers every access.

    Adds no cycle to an access of a target. An unmapped address is acknowledged by the decoder itself in the next
    cycle; a target that stays silent for ``timeout_cycles`` loses ``cyc`` for one cycle in which the decoder
    acknowledges in its place. Both read as 0, leave no trace of a write, and pulse ``error``.

    Parameters
    ----------
    targets : mapping of str to Target
        By name of the member.
    timeout_cycles : int
        Cycles until an access is given up, at least 2.

    Members
    -------
    bus : In(wishbone.Signature(addr_width=30, features={"cti", "bte"}))
    <name> : Out(target.signature)
        Per target.
    error : Out(1)
        Together with the acknowledge of an access that no target answered.
    error_write : Out(1)
        Whether that access was a write.
    error_address : Out(32)
        Byte address of that access, a multiple of 4.

    Raises
    ------
    TypeError
        If the time-out is not an integer from 2 up.
    ValueError
        If two windows overlap.
    """

    signature_of_bus = wishbone.Signature(addr_width=30, features={"cti", "bte"})

    def __init__(self, targets: Mapping[str, Target], *, timeout_cycles: int = 1024) -> None:
        if not isinstance(timeout_cycles, int) or timeout_cycles < 2:
            raise TypeError(f"Time-out must be an integer number of cycles from 2 up, not {timeout_cycles!r}")
        windows = sorted((base, base + target.size, name) for name, target in targets.items() for base in target.bases)
        for (_, end, name), (start, _, other) in pairwise(windows):
            if start < end:
                raise ValueError(f"Windows of targets {name} and {other} overlap at {start:#x}")
        self._targets = dict(targets)
        self._timeout_cycles = timeout_cycles
        super().__init__(
            {
                "bus": In(self.signature_of_bus),
                "error": Out(1),
                "error_write": Out(1),
                "error_address": Out(32),
                **{name: Out(target.signature) for name, target in targets.items()},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus = self.bus
        mapped = Signal()
        given_up = Signal()
        elapsed = Signal(range(self._timeout_cycles))
        acks = Signal(len(self._targets))  # of the one that is hit, if any

        for index, (name, target) in enumerate(self._targets.items()):
            port = getattr(self, name)
            index_bits = target.signature.addr_width
            hit = Signal(name=f"{name}_hit")
            m.d.comb += hit.eq(Cat(bus.adr[index_bits:] == base // target.size for base in target.bases).any())
            m.d.comb += [
                port.adr.eq(bus.adr),
                port.dat_w.eq(bus.dat_w),
                port.sel.eq(bus.sel),
                port.we.eq(bus.we),
                port.cyc.eq(bus.cyc & hit & ~given_up),
                port.stb.eq(bus.stb & hit & ~given_up),
            ]
            for feature in sorted(target.signature.features):
                m.d.comb += getattr(port, feature).eq(getattr(bus, feature))
            m.d.comb += acks[index].eq(port.ack & port.stb)
            with m.If(hit):
                m.d.comb += [mapped.eq(1), bus.dat_r.eq(port.dat_r)]

        m.d.comb += [bus.ack.eq(acks.any() | self.error), self.error.eq(given_up & bus.cyc & bus.stb)]
        with m.If(given_up):
            m.d.comb += bus.dat_r.eq(0)
        m.d.comb += [self.error_write.eq(bus.we), self.error_address.eq(bus.adr << 2)]

        m.d.sync += [elapsed.eq(0), given_up.eq(0)]
        with m.If(bus.cyc & bus.stb & ~bus.ack):
            m.d.sync += elapsed.eq(elapsed + 1)
            m.d.sync += given_up.eq(~mapped | (elapsed == self._timeout_cycles - 1))
        return m
