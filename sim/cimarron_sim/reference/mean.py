"""Mean over axes."""

import numpy as np
from cimarron.isa import Profile

from ..graph import Graph, Node
from .requantise import narrow, requantise_onnx, requantise_tflm

__all__ = ["mean"]


def mean(graph: Graph, node: Node, x: np.ndarray) -> np.ndarray:
    """Output of a mean node.

    Profile ONNX scales the sum of integers, as ONNX Runtime's QLinearGlobalAveragePool; profile TFLM puts the division
    into the multiplier, which it shifts left as far as the count allows and divides, cutting off.

    Parameters
    ----------
    graph : Graph
    node : Node
    x : int8 or uint8 array

    Returns
    -------
    array, shape and dtype of the node's output
    """
    axes, output = node.attributes["axes"], graph.tensors[node.outputs[0]]
    count = int(np.prod([x.shape[axis] for axis in axes], dtype=np.int64))
    total = x.astype(np.int64).sum(axis=axes) - count * graph.tensors[node.inputs[0]].zero_point
    if graph.profile is Profile.ONNX:
        clamps = node.attributes["clamp_min"], node.attributes["clamp_max"]
        scaled = requantise_onnx(total, node.attributes["scale"])
        return narrow(scaled, output.zero_point, *clamps, output.dtype.type).reshape(output.shape)
    multiplier, shift = int(node.attributes["multiplier"]), int(node.attributes["shift"])
    places = min(count.bit_length() - 1, 32, 31 + shift)
    scaled = requantise_tflm(total, (multiplier << places) // count, shift - places)
    limits = np.iinfo(output.dtype)
    result = narrow(scaled, output.zero_point, limits.min, limits.max, output.dtype.type)
    return result.reshape(output.shape)
