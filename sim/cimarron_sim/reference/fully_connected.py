"""Fully connected layer: every output is a weighted sum of all inputs."""

import numpy as np

from ..graph import Graph, Node
from .accumulator import finish

__all__ = ["fully_connected"]


def fully_connected(
    graph: Graph, node: Node, x: np.ndarray, w: np.ndarray, bias: np.ndarray | None = None
) -> np.ndarray:
    """Output of a fully connected node.

    Parameters
    ----------
    graph : Graph
    node : Node
    x : int8 or uint8 array, shape (N, K)
    w : int8 array, shape (M, K)
    bias : int32 array, shape (M,), or None

    Returns
    -------
    array of the output's dtype, shape (N, M)
    """
    x_zero_point, w_zero_point = (graph.tensors[name].zero_points for name in node.inputs[:2])
    x_wide = x.astype(np.int64) - x_zero_point
    w_wide = w.astype(np.int64) - w_zero_point
    return finish(graph, node, x_wide @ w_wide.T, bias)
