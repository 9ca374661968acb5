"""What a proof of the macro leaves free."""

from amaranth.lib import stream
from amaranth.lib.wiring import In, Member
from cimarron.config import MacroConfig
from cimarron.macro.ports import OperationLayout, WriteLayout

__all__ = ["macro_inputs"]


def macro_inputs(config: MacroConfig) -> dict[str, Member]:
    """Members of a proof: any writes, and any operations, as a macro of this configuration takes them."""
    return {
        "write": In(stream.Signature(WriteLayout(config))),
        "i_stream": In(stream.Signature(OperationLayout(config))),
    }
