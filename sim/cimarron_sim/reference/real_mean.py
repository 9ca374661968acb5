"""Mean of real numbers over the pixels of an image."""

import numpy as np

from ..graph import Graph, Node
from ..summation import in_packets, summed
from .real import dequantised, quantised

__all__ = ["real_mean"]


def real_mean(graph: Graph, node: Node, x: np.ndarray) -> np.ndarray:
    """Output of a real_mean node, as ONNX Runtime's ReduceMean between DequantizeLinear and QuantizeLinear.

    It reads NCHW, where the pixels of a channel are neighbours, and adds them in packets of four from the first address
    that is a multiple of four numbers on.

    Parameters
    ----------
    graph : Graph
    node : Node
    x : int8 or uint8 array, shape (N, H, W, C)

    Returns
    -------
    array, shape and dtype of the node's output
    """
    images, height, width, channels = x.shape
    count = height * width
    values = dequantised(graph, node, 0, x).reshape(images, count, channels).transpose(0, 2, 1).reshape(-1, count)
    total = np.array(
        [summed(in_packets(count, -index * count % 4), pixels) for index, pixels in enumerate(values)], np.float32
    )
    return quantised(graph, node, total / np.float32(count))
