"""Number format of a weight set."""

from amaranth.lib import data

from ..config import MacroConfig
from .ports import WriteLayout

__all__ = ["FormatLayout", "top_columns"]


class FormatLayout(data.StructLayout):
    """Index of the weight width in `MacroConfig.weight_widths`, and whether weights are two's complement."""

    def __init__(self, config: MacroConfig):
        super().__init__({name: WriteLayout(config)[name].shape for name in ("width", "signed")})


def top_columns(width: int, columns: int) -> int:
    """Columns that hold the most significant cell of a weight, as a bit mask.

    Parameters
    ----------
    width : int
        Index of the weight width: ``2**width`` neighbouring columns fuse.
    columns : int
        Columns in the mask, from column 0.
    """
    return sum(1 << column for column in range(columns) if (column + 1) % 2**width == 0)
