"""Softmax over the last axis."""

import numpy as np
from cimarron.isa import Profile

from ..graph import Graph, Node
from .fixed_point import exp_negative, multiply, reciprocal, round_shift

__all__ = ["softmax"]

#: Integer bits of the scaled differences, and of the sum of their exponentials.
_DIFFERENCE_BITS, _SUM_BITS = 5, 12

#: Bits of fraction of the exponentials that profile ONNX adds.
_TERM_BITS = 28


def _qlinear_softmax(graph: Graph, node: Node, x: np.ndarray) -> np.ndarray:
    """As ONNX Runtime's QLinearSoftmax: float32 exponentials, and a reciprocal of the scale that is an integer."""
    scale = graph.tensors[node.inputs[0]].quantization
    output = graph.tensors[node.outputs[0]]
    assert scale is not None
    assert output.quantization is not None
    largest = min(float(2**23 - 1), float(2**32 - 1) / x.shape[-1])
    differences = x.max(axis=-1, keepdims=True).astype(np.int64) - x
    exponentials = (largest * np.exp(-differences * scale.scale.astype(np.float64))).astype(np.float32)
    steps = np.floor(np.float32(1) / output.quantization.scale)
    # Added exactly, but for bits that a sum of doubles would hardly see.
    terms = (exponentials.astype(np.float64) * 2.0**_TERM_BITS).astype(np.int64)
    sums = terms.sum(axis=-1, keepdims=True).astype(np.float32) * np.float32(2.0**-_TERM_BITS)
    shares = np.rint(exponentials * steps / sums).astype(np.float64)
    limits = np.iinfo(output.dtype)
    clamps = [node.attributes.get(name, end) for name, end in (("clamp_min", limits.min), ("clamp_max", limits.max))]
    return np.clip(shares + output.zero_point, *clamps).astype(output.dtype)


def softmax(graph: Graph, node: Node, x: np.ndarray) -> np.ndarray:
    """Output of a softmax node: TensorFlow Lite Micro's, or ONNX Runtime's QLinearSoftmax.

    Parameters
    ----------
    graph : Graph
    node : Node
    x : int8 or uint8 array

    Returns
    -------
    array, shape and dtype of the node's output
    """
    output = graph.tensors[node.outputs[0]]
    if graph.profile is Profile.ONNX:
        return _qlinear_softmax(graph, node, x)
    multiplier, shift = int(node.attributes["multiplier"]), int(node.attributes["shift"])
    differences = x.astype(np.int64) - x.max(axis=-1, keepdims=True)
    # Differences too small to scale without overflow leave nothing.
    least = -(((1 << _DIFFERENCE_BITS) - 1 << 31 - _DIFFERENCE_BITS) >> shift)
    counted = differences >= least
    scaled = multiply(np.where(counted, differences, 0) << shift, multiplier)
    exponentials = np.where(counted, exp_negative(scaled), 0)
    sums = round_shift(exponentials, _SUM_BITS).sum(axis=-1, keepdims=True)
    # The sum is 1 or more: a power of two times 1 to 2, whose fraction the reciprocal takes.
    bits = np.frexp(sums.astype(np.float64))[1].astype(np.int64)
    exponent = bits - (31 - _SUM_BITS) - 1
    fraction = (sums << (32 - bits)) - (1 << 31)
    shares = multiply(exponentials, reciprocal(fraction))
    limits = np.iinfo(output.dtype)
    rounded = round_shift(shares, exponent + 31 - 8) + limits.min
    return np.where(counted, np.clip(rounded, limits.min, limits.max), limits.min).astype(output.dtype)
