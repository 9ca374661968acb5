"""Maximum pooling."""

import numpy as np

from ..graph import Graph, Node
from .window import windows

__all__ = ["max_pool"]


def max_pool(graph: Graph, node: Node, x: np.ndarray) -> np.ndarray:
    """Output of a maximum pool node: the largest value under the window and in the image.

    Parameters
    ----------
    graph : Graph
    node : Node
    x : int8 or uint8 array, shape (N, H, W, C)

    Returns
    -------
    array of the dtype of `x`, shape (N, OH, OW, C)
    """
    output = graph.tensors[node.outputs[0]]
    result = np.zeros(output.shape, output.dtype)
    for row, column, window in windows(node, x, *output.shape[1:3]):
        result[:, row, column] = window.max(axis=(1, 2))
    return np.clip(result, node.attributes["clamp_min"], node.attributes["clamp_max"])
