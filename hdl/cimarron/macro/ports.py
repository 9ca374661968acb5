"""What crosses the boundary of the macro."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from ..config import MacroConfig

__all__ = ["OperationLayout", "ResultLayout", "WriteLayout"]


def _index_bits(count: int) -> int:
    return max(1, (count - 1).bit_length())


class WriteLayout(data.StructLayout):
    """One row of one weight set.

    ``data`` holds output j in bits ``j * w`` to ``j * w + w - 1`` for weights of w bits. ``width`` is the index of w
    in `MacroConfig.weight_widths`; it and ``signed`` become the format of the whole set.
    """

    def __init__(self, config: MacroConfig):
        super().__init__(
            {
                "set": _index_bits(config.weight_sets),
                "row": _index_bits(config.rows),
                "width": _index_bits(len(config.weight_widths)),
                "signed": 1,
                "data": config.row_bits,
            }
        )


class OperationLayout(data.StructLayout):
    """One vector of activations against one weight set.

    Bits of ``x`` from ``bits`` up are ignored; ``signed`` makes bit ``bits - 1`` the sign.
    """

    def __init__(self, config: MacroConfig):
        super().__init__(
            {
                "x": data.ArrayLayout(unsigned(config.max_act_bits), config.rows),
                "bits": config.max_act_bits.bit_length(),
                "signed": 1,
                "set": _index_bits(config.weight_sets),
            }
        )


class ResultLayout(data.StructLayout):
    """Exact dot products of one operation.

    With weights of w bits, output j is ``y[j * w // cell_bits]``; the other elements are 0. ``input_sum`` is the sum of
    the activations. ``error`` marks an operation that asked for a width or a set that does not exist: the rest is 0.
    """

    def __init__(self, config: MacroConfig):
        super().__init__(
            {
                "y": data.ArrayLayout(signed(config.result_bits), config.words),
                "input_sum": signed(config.input_sum_bits),
                "error": 1,
            }
        )
