"""Softmax over the last axis."""

import numpy as np
from cimarron.isa import Profile

from ..graph import Graph, Node
from .fixed_point import exp_negative, multiply, reciprocal, round_shift
from .real import dequantised, quantised

__all__ = ["softmax"]

#: Integer bits of the scaled differences, and of the sum of their exponentials.
_DIFFERENCE_BITS, _SUM_BITS = 5, 12


def softmax(graph: Graph, node: Node, x: np.ndarray) -> np.ndarray:
    """Output of a softmax node.

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
        real = dequantised(graph, node, 0, x).astype(np.float64)
        exponentials = np.exp(real - real.max(axis=-1, keepdims=True))
        return quantised(graph, node, (exponentials / exponentials.sum(axis=-1, keepdims=True)).astype(np.float32))
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
