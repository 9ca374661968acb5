"""Elementwise addition of two tensors with different scales."""

import numpy as np
from cimarron.isa import Profile

from ..graph import Graph, Node
from .real import dequantised, quantised
from .requantise import narrow, requantise_tflm

__all__ = ["add"]

#: In profile TFLM both operands get so many bits of fraction before they are brought to one scale.
_FRACTION_BITS = 20


def _multiply_add(a: np.ndarray, scale: np.float32, b: np.ndarray | np.float32) -> np.ndarray:
    """``a * scale + b`` for integers of a byte, rounded once to float32: a double holds the product."""
    return (a.astype(np.float64) * np.float64(scale) + b).astype(np.float32)


def _qlinear_add(graph: Graph, node: Node, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """As ONNX Runtime's QLinearAdd, with fused multiplications and additions."""
    x = [graph.tensors[name] for name in node.inputs]
    y = graph.tensors[node.outputs[0]]
    scales = [np.float32(tensor.quantization.scale) for tensor in (*x, y) if tensor.quantization is not None]
    with np.errstate(over="ignore", under="ignore"):
        first, second = (scale / scales[2] for scale in scales[:2])
        points = [np.array(tensor.zero_point) for tensor in x]
        shares = _multiply_add(points[0], first, second * points[1].astype(np.float32))
        steps = _multiply_add(a, first, _multiply_add(b, second, np.float32(y.zero_point) - shares))
    limits = np.iinfo(y.dtype)
    return np.clip(np.rint(steps), limits.min, limits.max).astype(y.dtype)


def add(graph: Graph, node: Node, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Output of an addition node.

    Profile ONNX: ONNX Runtime's QLinearAdd; behind a clamp, which keeps it from being used, the sum of float32 numbers.

    Parameters
    ----------
    graph : Graph
    node : Node
    a, b : int8 or uint8 arrays
        Their shapes broadcast to that of the output.

    Returns
    -------
    array, shape and dtype of the node's output
    """
    output, attributes = graph.tensors[node.outputs[0]], node.attributes
    if graph.profile is Profile.ONNX:
        limits = np.iinfo(output.dtype)
        if (attributes["clamp_min"], attributes["clamp_max"]) == (limits.min, limits.max):
            return _qlinear_add(graph, node, a, b)
        return quantised(graph, node, dequantised(graph, node, 0, a) + dequantised(graph, node, 1, b))
    multiplier, shift = attributes["multiplier"], attributes["shift"]
    total = np.zeros(output.shape, np.int64)
    for i, operand in enumerate((a, b)):
        wide = (operand.astype(np.int64) - graph.tensors[node.inputs[i]].zero_point) << _FRACTION_BITS
        total += requantise_tflm(wide, multiplier[i], shift[i])
    scaled = requantise_tflm(total, multiplier[2], shift[2])
    clamps = attributes["clamp_min"], attributes["clamp_max"]
    return narrow(scaled, output.zero_point, *clamps, output.dtype.type)
