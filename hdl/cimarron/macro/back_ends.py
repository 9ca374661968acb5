"""The adder trees to choose from, and which one suits a target."""

from ..config import MacroConfig
from .adder_tree import AdderTree
from .carry_save import CarrySaveTree
from .ripple import CounterTree, RippleTree

__all__ = ["BACK_ENDS", "adder_tree"]

#: Every back-end by its name in `MacroConfig.adder`.
BACK_ENDS: dict[str, type[AdderTree]] = {
    "carry_save": CarrySaveTree,
    "ripple": RippleTree,
    "counters": CounterTree,
}


def adder_tree(config: MacroConfig, *, rows: int, words: int, bits: int) -> AdderTree:
    """The tree that adds ``bits``-wide numbers from ``rows`` in the configured back-end."""
    return BACK_ENDS[config.adder_for(bits)](rows=rows, words=words, bits=bits)
