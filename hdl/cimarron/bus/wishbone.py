"""Wishbone B4 interfaces."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Signature"]


class Signature(wiring.Signature):
    """Wishbone bus, as the initiator sees it.

    Classic cycles without features; with ``stall``, pipelined: a request is taken in each cycle in which
    ``cyc & stb & ~stall``, and answered in order by one cycle of ``ack`` or ``err``.

    Parameters
    ----------
    addr_width : int
        Bits of ``adr``, which counts data words.
    data_width : int
        8 to 512, a power of two; ``sel`` has one bit per byte.
    features : iterable of str
        Optional signals: any of ``err``, ``stall``, ``cti``, ``bte``.
    """

    def __init__(self, *, addr_width: int, data_width: int = 32, features: frozenset[str] | set[str] = frozenset()):
        if not isinstance(addr_width, int) or not 0 <= addr_width <= 32:
            raise TypeError(f"Address width must be an integer from 0 to 32, not {addr_width!r}")
        if data_width not in (8, 16, 32, 64, 128, 256, 512):
            raise ValueError(f"Data width must be a power of two from 8 to 512, not {data_width!r}")
        if unknown := set(features) - {"err", "stall", "cti", "bte"}:
            raise ValueError(f"Optional signals are err, stall, cti and bte, not {', '.join(sorted(unknown))}")
        self.addr_width = addr_width
        self.data_width = data_width
        self.features = frozenset(features)
        members = {
            "adr": Out(addr_width),
            "dat_w": Out(data_width),
            "dat_r": In(data_width),
            "sel": Out(data_width // 8),
            "cyc": Out(1),
            "stb": Out(1),
            "we": Out(1),
            "ack": In(1),
        }
        optional = {"err": In(1), "stall": In(1), "cti": Out(3), "bte": Out(2)}
        members.update({name: optional[name] for name in optional if name in self.features})
        super().__init__(members)
