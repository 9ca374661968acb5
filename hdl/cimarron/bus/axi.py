"""AXI4 and AXI4-Lite interfaces."""

import enum

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["BURST_BEATS", "LiteSignature", "PAGE_BYTES", "Response", "Signature"]

#: Most beats of an incrementing burst.
BURST_BEATS = 256
#: No burst crosses a multiple of this address.
PAGE_BYTES = 4096


class Response(enum.IntEnum):
    """Values of ``bresp`` and ``rresp``; bit 1 says that the access failed."""

    OKAY = 0
    EXOKAY = 1
    SLVERR = 2
    DECERR = 3


class LiteSignature(wiring.Signature):
    """AXI4-Lite, as the manager sees it; members have the names of the specification, in lower case.

    Parameters
    ----------
    addr_width : int
        Bits of a byte address, 1 to 64.
    data_width : int
        32 or 64; ``wstrb`` has one bit per byte. Proofs use 8.
    """

    def __init__(self, *, addr_width: int, data_width: int = 32):
        if not isinstance(addr_width, int) or not 1 <= addr_width <= 64:
            raise TypeError(f"Address width must be an integer from 1 to 64, not {addr_width!r}")
        if data_width not in (8, 32, 64):
            raise ValueError(f"Data width of AXI4-Lite must be 32 or 64, or 8 in a proof, not {data_width!r}")
        self.addr_width = addr_width
        self.data_width = data_width
        super().__init__(
            {
                "awaddr": Out(addr_width),
                "awprot": Out(3),
                "awvalid": Out(1),
                "awready": In(1),
                "wdata": Out(data_width),
                "wstrb": Out(data_width // 8),
                "wvalid": Out(1),
                "wready": In(1),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
                "araddr": Out(addr_width),
                "arprot": Out(3),
                "arvalid": Out(1),
                "arready": In(1),
                "rdata": In(data_width),
                "rresp": In(2),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )


class Signature(wiring.Signature):
    """AXI4, as the manager sees it; members have the names of the specification, in lower case.

    Without the optional ``region`` and ``user`` signals. ``awsize`` and the like are there, although a manager may
    give them one value only: interconnects expect them.

    Parameters
    ----------
    addr_width : int
        Bits of a byte address, 1 to 64.
    data_width : int
        8 to 1024, a power of two; ``wstrb`` has one bit per byte.
    id_width : int
        Bits of ``arid`` and the like, at least 1.
    """

    def __init__(self, *, addr_width: int, data_width: int, id_width: int = 1):
        if not isinstance(addr_width, int) or not 1 <= addr_width <= 64:
            raise TypeError(f"Address width must be an integer from 1 to 64, not {addr_width!r}")
        if data_width not in (8, 16, 32, 64, 128, 256, 512, 1024):
            raise ValueError(f"Data width of AXI4 must be a power of two from 8 to 1024, not {data_width!r}")
        if not isinstance(id_width, int) or id_width < 1:
            raise TypeError(f"Identifier width must be a positive integer, not {id_width!r}")
        self.addr_width = addr_width
        self.data_width = data_width
        self.id_width = id_width
        members = {}
        for channel in ("aw", "ar"):
            address = {
                "id": id_width, "addr": addr_width, "len": 8, "size": 3, "burst": 2, "lock": 1, "cache": 4, "prot": 3,
                "qos": 4, "valid": 1,
            }  # fmt: skip
            members |= {f"{channel}{name}": Out(width) for name, width in address.items()}
            members[f"{channel}ready"] = In(1)
        members |= {"wdata": Out(data_width), "wstrb": Out(data_width // 8), "wlast": Out(1), "wvalid": Out(1)}
        members |= {"wready": In(1)}
        members |= {"bid": In(id_width), "bresp": In(2), "bvalid": In(1), "bready": Out(1)}
        members |= {"rid": In(id_width), "rdata": In(data_width), "rresp": In(2), "rlast": In(1), "rvalid": In(1)}
        members |= {"rready": Out(1)}
        super().__init__(members)
