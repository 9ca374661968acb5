"""Padding with a constant."""

import numpy as np

from ..graph import Graph, Node

__all__ = ["pad"]


def pad(graph: Graph, node: Node, x: np.ndarray) -> np.ndarray:
    """Output of a pad node: `x` inside a border of the attribute ``value``."""
    return np.pad(x, node.attributes["pads"], constant_values=node.attributes["value"])
