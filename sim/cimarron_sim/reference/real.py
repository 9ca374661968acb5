"""Operators of profile ONNX that have no integer form: real numbers in float32, quantised at the end."""

import numpy as np

from ..graph import Graph, Node

__all__ = ["dequantised", "quantised"]


def dequantised(graph: Graph, node: Node, place: int, x: np.ndarray) -> np.ndarray:
    """Input number `place` of a node, float32; itself if it has no scale."""
    quantization = graph.tensors[node.inputs[place]].quantization
    return x.astype(np.float32) if quantization is None else quantization.dequantize(x)


def quantised(graph: Graph, node: Node, real: np.ndarray, *, rounds_zero_point: bool = False) -> np.ndarray:
    """`real` (float32) in the integers of the node's output, inside its clamps.

    QuantizeLinear adds the zero point behind the rounding; some of ONNX Runtime's kernels round the sum of both.
    """
    output = graph.tensors[node.outputs[0]]
    assert output.quantization is not None
    if rounds_zero_point:
        limits = np.iinfo(output.dtype)
        steps = real / output.quantization.scale + np.float32(output.zero_point)
        integers = np.clip(np.rint(steps), limits.min, limits.max).astype(output.dtype)
    else:
        integers = output.quantization.quantize(real, output.dtype)
    if "clamp_min" in node.attributes:
        integers = np.clip(integers, node.attributes["clamp_min"], node.attributes["clamp_max"])
    return integers.reshape(output.shape)
