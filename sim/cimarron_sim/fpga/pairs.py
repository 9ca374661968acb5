"""Flip-flops and the look-up tables in front of them."""

from collections.abc import Mapping
from typing import Any

__all__ = ["lone_flip_flops"]


def lone_flip_flops(module: Mapping[str, Any]) -> int:
    """How many flip-flops need a look-up table that does nothing but pass their data.

    Of a part in which the data of a flip-flop come from the look-up table beside it and from nowhere else: a look-up
    table of the design feeds one of the flip-flops that read it; each other one, and each that another flip-flop, a
    memory or an adder feeds, gets a look-up table of its own from nextpnr.

    Parameters
    ----------
    module : dict
        Of a flat netlist that Yosys wrote as JSON, with cells of Gowin.
    """
    cells = module["cells"].values()
    tables = {cell["connections"]["F"][0] for cell in cells if cell["type"].startswith("LUT")}
    data = [cell["connections"]["D"][0] for cell in cells if cell["type"].startswith("DFF")]
    return len(data) - len(tables.intersection(data))
