"""Elementwise addition of two tensors with different scales."""

import numpy as np
from cimarron.isa import Profile

from ..graph import Graph, Node
from .real import dequantised, quantised
from .requantise import narrow, requantise_tflm

__all__ = ["add"]

#: In profile TFLM both operands get so many bits of fraction before they are brought to one scale.
_FRACTION_BITS = 20


def add(graph: Graph, node: Node, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Output of an addition node.

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
    if graph.profile is Profile.ONNX:
        return quantised(graph, node, dequantised(graph, node, 0, a) + dequantised(graph, node, 1, b))
    output, attributes = graph.tensors[node.outputs[0]], node.attributes
    multiplier, shift = attributes["multiplier"], attributes["shift"]
    total = np.zeros(output.shape, np.int64)
    for i, operand in enumerate((a, b)):
        wide = (operand.astype(np.int64) - graph.tensors[node.inputs[i]].zero_point) << _FRACTION_BITS
        total += requantise_tflm(wide, multiplier[i], shift[i])
    scaled = requantise_tflm(total, multiplier[2], shift[2])
    clamps = attributes["clamp_min"], attributes["clamp_max"]
    return narrow(scaled, output.zero_point, *clamps, output.dtype.type)
