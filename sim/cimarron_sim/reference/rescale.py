"""Requantisation as an operator of its own: another scale, or an activation function without a layer."""

import numpy as np
from cimarron.isa import Profile

from ..graph import Graph, Node
from .real import dequantised, quantised
from .requantise import narrow, requantise_tflm

__all__ = ["rescale"]


def rescale(graph: Graph, node: Node, x: np.ndarray) -> np.ndarray:
    """Output of a ``requantise`` node: the values of `x` in the integers of the output, clamped."""
    if graph.profile is Profile.ONNX:
        return quantised(graph, node, dequantised(graph, node, 0, x))
    output, attributes = graph.tensors[node.outputs[0]], node.attributes
    steps = x.astype(np.int64) - graph.tensors[node.inputs[0]].zero_point
    scaled = requantise_tflm(steps, attributes["multiplier"], attributes["shift"])
    clamps = attributes["clamp_min"], attributes["clamp_max"]
    return narrow(scaled, output.zero_point, *clamps, output.dtype.type)
