"""What every multiply-accumulate layer shares: 32-bit sums that wrap, and the way from them to the output."""

import numpy as np
from cimarron.isa import Profile

from ..graph import Graph, Node
from .requantise import narrow, requantise_onnx, requantise_tflm

__all__ = ["finish", "wrap"]


def wrap(values: np.ndarray) -> np.ndarray:
    """`values` (int64) modulo 2**32, as int32 two's complement: what a 32-bit accumulator holds."""
    return ((values + 2**31) % 2**32 - 2**31).astype(np.int32)


def finish(graph: Graph, node: Node, sums: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """Bias, requantisation, zero point and clamps.

    Parameters
    ----------
    graph : Graph
    node : Node
        Whose output `sums` become.
    sums : int64 array, shape (..., M)
        Exact sums of products.
    bias : int32 array, shape (M,), or None

    Returns
    -------
    array, shape and dtype of the node's output
    """
    output = graph.tensors[node.outputs[0]]
    acc = wrap(sums if bias is None else sums + bias)
    if output.dtype == np.int32:
        return acc.reshape(output.shape)
    attributes = node.attributes
    if graph.profile is Profile.ONNX:
        scaled = requantise_onnx(acc, attributes["scale"])
    else:
        scaled = requantise_tflm(acc, attributes["multiplier"], attributes["shift"])
    clamps = attributes["clamp_min"], attributes["clamp_max"]
    return narrow(scaled, output.zero_point, *clamps, output.dtype.type).reshape(output.shape)
