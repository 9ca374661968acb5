"""Tables for what the CPU runs: every operator on bytes is one, whatever its arithmetic."""

from collections.abc import Callable

import numpy as np
from cimarron.isa import Profile

from ..graph import Graph, Node, Tensor
from .errors import CompileError
from .fixed_point import exponential, high_multiply, requantise
from .staircase import first_reaching

__all__ = [
    "codes", "exponential_table", "ladder", "limits", "maxima", "narrow_ladder", "quantised",
    "real_ladder", "real_table", "real_values", "requantised", "scale_of", "share_tables",
]  # fmt: skip

#: Integers that order floats as the floats are: the bits, all but the sign inverted if negative.
_INFINITY = 0x7F80_0000

#: Bits of fraction of the terms of a softmax in real numbers.
_TERM_BITS = 28


def codes(tensor: Tensor) -> np.ndarray:
    """Values of an 8-bit tensor by the bits of their byte, int64, shape (256,)."""
    return np.arange(256).astype(np.uint8).view(tensor.dtype).astype(np.int64)


def scale_of(tensor: Tensor) -> np.float32:
    """The one scale of a tensor.

    Raises
    ------
    CompileError
        If it has none, or several.
    """
    if tensor.quantization is None or tensor.quantization.axis is not None:
        raise CompileError(f"tensor {tensor.name!r} has no scale, or one per channel: quantise it with one")
    return np.float32(tensor.quantization.scale)


def real_values(tensor: Tensor, values: np.ndarray) -> np.ndarray:
    """Real numbers that integers of a tensor stand for, float32; themselves if it has no scale."""
    if tensor.quantization is None:
        return values.astype(np.float32)
    return (values - tensor.zero_point).astype(np.float32) * scale_of(tensor)


def limits(node: Node, y: Tensor) -> tuple[int, int]:
    """Least and largest output of a node."""
    info = np.iinfo(y.dtype)
    attributes = node.attributes
    return int(attributes.get("clamp_min", info.min)), int(attributes.get("clamp_max", info.max))


def _narrow(node: Node, y: Tensor, steps: np.ndarray) -> np.ndarray:
    """Steps of the output's scale as its integers, int64."""
    return np.clip(steps + y.zero_point, *limits(node, y)).astype(np.int64)


def quantised(node: Node, y: Tensor, real: np.ndarray) -> np.ndarray:
    """Real numbers (float32) in the integers of a node's output, int64."""
    with np.errstate(over="ignore"):
        return _narrow(node, y, np.rint((real / scale_of(y)).astype(np.float64)))


def scaling(node: Node) -> tuple[int, int]:
    multiplier, shift = (np.asarray(node.attributes[name]).item() for name in ("multiplier", "shift"))
    return multiplier, shift


def _rescale(graph: Graph, node: Node, values: np.ndarray) -> np.ndarray:
    x, y = graph.tensors[node.inputs[0]], graph.tensors[node.outputs[0]]
    if graph.profile is Profile.ONNX:
        return quantised(node, y, real_values(x, values))
    return _narrow(node, y, requantise(values - x.zero_point, *scaling(node)))


def requantised(graph: Graph, node: Node) -> np.ndarray:
    """Output of a ``requantise`` node by the bits of its input byte, int64, shape (256,)."""
    return _rescale(graph, node, codes(graph.tensors[node.inputs[0]]))


def maxima(node: Node, y: Tensor) -> np.ndarray:
    """Output of a ``max_pool`` node by the bits of its largest input, int64, shape (256,)."""
    return np.clip(codes(y), *limits(node, y))


def ladder(function: Callable[[np.ndarray], np.ndarray], low: int, high: int) -> bytes:
    """A function that never falls, as the inputs at which it rises.

    Parameters
    ----------
    function : callable
        From an int64 array to an int64 array of values of one byte.
    low, high : int
        First and last input.

    Returns
    -------
    bytes
        Words: number of rungs, lowest value, then ascending the first input of each higher value.
    """
    bottom, top = (int(function(np.array([end]))[0]) for end in (low, high))
    values = np.arange(bottom + 1, top + 1)
    reached = first_reaching(function, values, low, high)
    return np.concatenate([[len(values), bottom], reached]).astype("<i4").tobytes()


def narrow_ladder(graph: Graph, node: Node) -> bytes:
    """`ladder` of a ``requantise`` node from int32."""
    return ladder(lambda values: _rescale(graph, node, values), -(2**31), 2**31 - 1)


def real_ladder(function: Callable[[np.ndarray], np.ndarray]) -> bytes:
    """`ladder` from the bits of a float32 number to what a function that never falls makes of it.

    Negative floats have all bits but the sign inverted, so that integers are in the order of the floats.
    """

    def value(keys: np.ndarray) -> np.ndarray:
        bits = keys.astype(np.int32)
        return function((bits ^ (bits >> 31 & 0x7FFF_FFFF)).view(np.float32))

    return ladder(value, ~_INFINITY, _INFINITY)


def real_table(x: Tensor) -> bytes:
    """Real value of each of 256 bytes, float32."""
    real = real_values(x, codes(x))
    if not 2.0**-60 < float(scale_of(x)) < 2.0**60:
        raise CompileError(f"tensor {x.name!r} has a scale of {scale_of(x)}: quantise it again")
    return real.astype("<f4").tobytes()


def exponential_table(node: Node) -> bytes:
    """TFLite's exponential of minus each difference from 0 to 255: int32, 31 bits of fraction; 0 below its range."""
    multiplier, shift = scaling(node)
    differences = -np.arange(256, dtype=np.int64)
    counted = differences >= -((31 << 26) >> shift)
    scaled = high_multiply(np.where(counted, differences, 0) << shift, multiplier)
    return np.where(counted, exponential(scaled), 0).astype("<i4").tobytes()


def share_tables(x: Tensor, y: Tensor) -> tuple[bytes, bytes]:
    """Terms and numerators of a softmax in profile ONNX, see `cimarron.isa.Step`, as ONNX Runtime's QLinearSoftmax.

    An exponential is a float32 of at most ``min(2**23 - 1, (2**32 - 1) / values)``. The reciprocal of the output's
    scale is cut off to an integer.
    """
    largest = min(float(2**23 - 1), float(2**32 - 1) / x.shape[-1])
    exponentials = (largest * np.exp(-np.arange(256) * np.float64(scale_of(x)))).astype(np.float32)
    with np.errstate(over="ignore", divide="ignore"):
        steps = np.floor(np.float32(1) / scale_of(y))
    terms = np.ldexp(exponentials.astype(np.float64), _TERM_BITS).astype(np.uint64)
    return terms.astype("<u8").tobytes(), (exponentials * steps).astype("<f4").tobytes()
