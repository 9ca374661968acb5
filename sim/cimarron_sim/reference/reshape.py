"""Reshape: the values keep their row-major order."""

import numpy as np

from ..graph import Graph, Node

__all__ = ["reshape"]


def reshape(graph: Graph, node: Node, x: np.ndarray) -> np.ndarray:
    """Output of a reshape node: the values of `x` in the output's shape."""
    return x.reshape(graph.tensors[node.outputs[0]].shape)
