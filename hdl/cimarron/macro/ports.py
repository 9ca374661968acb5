"""What crosses the boundary of the macro."""

from enum import IntEnum

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from ..config import MacroConfig

__all__ = ["BestLayout", "Operation", "OperationLayout", "ResultLayout", "WriteLayout"]


class Operation(IntEnum):
    """What a macro does with an input vector x and the weights w of a set.

    Below, ``b(n)`` are the lowest ``min(bits, w's width)`` bits of a number as they were sent or written, so that signs
    do not matter, and ``ones`` counts bits that are 1.
    """

    MAC = 0  #: ``y[j] = sum(x[i] * w[i, j])``
    AND = 1  #: ``y[j] = sum(ones(b(x[i]) & b(w[i, j])))``
    XOR = 2  #: ``y[j] = sum(ones(b(x[i]) ^ b(w[i, j])))``, the Hamming distance
    XNOR = 3  #: ``y[j] = sum(ones(b(x[i]) ~^ b(w[i, j])))``, the bits that agree: the rest of XOR's
    CARRYLESS = 4  #: ``y[j]`` is the XOR of all carry-less products of ``x[i]`` and ``w[i, j]``, polynomials over GF(2)
    TRANSPOSED = 5  #: ``y[i] = sum(x[j] * w[i, j])``


#: Bits of an operation's code; codes without a meaning, or without the hardware, are answered with an error.
OPERATION_BITS = 3


def _index_bits(count: int) -> int:
    return max(1, (count - 1).bit_length())


class WriteLayout(data.StructLayout):
    """One row of one weight set.

    ``data`` holds output j in bits ``j * w`` to ``j * w + w - 1`` for weights of w bits. ``width`` is the index of w
    in `MacroConfig.weight_widths`; it and ``signed`` become the format of the whole set.

    If a row is written in beats, ``data`` is its bits ``beat * write_bits`` and up, and only those are written.
    """

    def __init__(self, config: MacroConfig):
        super().__init__(
            {
                "set": _index_bits(config.weight_sets),
                "row": _index_bits(config.rows),
                "width": _index_bits(len(config.weight_widths)),
                "signed": 1,
                **({"beat": _index_bits(config.write_beats)} if config.write_beats > 1 else {}),
                "data": config.beat_bits,
            }
        )


class OperationLayout(data.StructLayout):
    """One vector of activations against one weight set.

    Bits of ``x`` from ``bits`` up are ignored; ``signed`` makes bit ``bits - 1`` the sign, in products that carry.
    Column groups with a 1 in ``idle`` take no part: their elements of the result stay what they were. Reset makes them
    0. A macro without gating has no such field, and products with the transposed weights ignore it. ``operation`` is
    one of `Operation`; a macro with nothing but MAC has no such field.
    """

    def __init__(self, config: MacroConfig):
        fields = {
            "x": data.ArrayLayout(unsigned(config.max_act_bits), config.vector_words),
            "bits": config.max_act_bits.bit_length(),
            "signed": 1,
            "set": _index_bits(config.weight_sets),
        }
        fields |= {"idle": config.groups} if config.gating else {}
        super().__init__(fields | ({"operation": OPERATION_BITS} if config.beyond_mac else {}))


class ResultLayout(data.StructLayout):
    """Exact dot products of one operation.

    With weights of w bits, output j is ``y[j * w // cell_bits]``; the other elements are 0. With the transposed
    weights, output i is ``y[i]``. ``input_sum`` is the sum of the activations, unsigned where signs do not matter.
    ``error`` marks an operation that asked for a width, a set or an operation that does not exist: the rest is 0.
    Elements of column groups that were idle are those of the last result that was not ``idle`` there.
    """

    def __init__(self, config: MacroConfig):
        super().__init__(
            {
                "y": data.ArrayLayout(signed(config.result_bits), config.result_words),
                "input_sum": signed(config.input_sum_bits),
                "error": 1,
            }
        )


class BestLayout(data.StructLayout):
    """The word with the least Hamming distance, and the lowest index among those.

    ``valid`` is 1 for one cycle per XOR; ``index`` is that of the output, whatever the width of the weights.
    """

    def __init__(self, config: MacroConfig):
        super().__init__({"valid": 1, "index": _index_bits(config.words), "distance": config.distance_bits})
