"""Average pooling."""

import numpy as np
from cimarron.isa import Profile

from ..graph import Graph, Node
from ..summation import in_sequence, summed
from .real import dequantised, quantised
from .window import windows

__all__ = ["average_pool"]


def average_pool(graph: Graph, node: Node, x: np.ndarray) -> np.ndarray:
    """Output of an average pool node: the mean of what lies under the window and in the image.

    Profile TFLM rounds the mean of the integers half away from zero and leaves their scale; profile ONNX means real
    numbers, as ONNX Runtime's QLinearAveragePool: one after the other, and rounded with the zero point.

    Parameters
    ----------
    graph : Graph
    node : Node
    x : int8 or uint8 array, shape (N, H, W, C)

    Returns
    -------
    array of the output's dtype, shape (N, OH, OW, C)
    """
    output = graph.tensors[node.outputs[0]]
    _, out_h, out_w, _ = output.shape
    if graph.profile is Profile.ONNX:
        real = np.zeros(output.shape, np.float32)
        for row, column, window in windows(node, dequantised(graph, node, 0, x), out_h, out_w):
            values = window.reshape(window.shape[0], -1, window.shape[3]).swapaxes(0, 1)
            real[:, row, column] = summed(in_sequence(len(values)), values) / np.float32(len(values))
        return quantised(graph, node, real, rounds_zero_point=True)
    result = np.zeros(output.shape, np.int64)
    for row, column, window in windows(node, x.astype(np.int64), out_h, out_w):
        count = window.shape[1] * window.shape[2]
        total = window.sum(axis=(1, 2))
        result[:, row, column] = np.sign(total) * ((np.abs(total) + count // 2) // count)
    return np.clip(result, node.attributes["clamp_min"], node.attributes["clamp_max"]).astype(output.dtype)
