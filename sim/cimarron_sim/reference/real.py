"""Operators of profile ONNX that have no integer form: real numbers in float32, quantised at the end."""

import numpy as np

from ..graph import Graph, Node

__all__ = ["dequantised", "quantised"]


def dequantised(graph: Graph, node: Node, place: int, x: np.ndarray) -> np.ndarray:
    """Input number `place` of a node, float32; itself if it has no scale."""
    quantization = graph.tensors[node.inputs[place]].quantization
    return x.astype(np.float32) if quantization is None else quantization.dequantize(x)


def quantised(graph: Graph, node: Node, real: np.ndarray) -> np.ndarray:
    """`real` (float32) in the integers of the node's output, inside its clamps."""
    output = graph.tensors[node.outputs[0]]
    assert output.quantization is not None
    integers = output.quantization.quantize(real, output.dtype)
    if "clamp_min" in node.attributes:
        integers = np.clip(integers, node.attributes["clamp_min"], node.attributes["clamp_max"])
    return integers.reshape(output.shape)
