"""The kinds of storage by name."""

from .array import BitCellArray
from .latch_array import LatchArray
from .memory_array import BlockRamArray, LutRamArray

__all__ = ["STORAGE"]

#: What `MacroConfig.storage` names.
STORAGE: dict[str, type[BitCellArray]] = {
    "flip_flops": BitCellArray,
    "latches": LatchArray,
    "lut_ram": LutRamArray,
    "block_ram": BlockRamArray,
}
