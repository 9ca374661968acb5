"""Concatenation: tensors of one scale, one behind the other along an axis."""

import numpy as np

from ..graph import Graph, Node

__all__ = ["concat"]


def concat(graph: Graph, node: Node, *parts: np.ndarray) -> np.ndarray:
    """Output of a concatenation node."""
    return np.concatenate(parts, axis=node.attributes["axis"])
