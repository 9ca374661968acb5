"""A network as one of operators that the hardware runs as they are."""

from ..graph import Graph
from .border import split_pools
from .bracket import bracket_means
from .spread import Spreading, spread

__all__ = ["expand"]


def expand(graph: Graph, run_bytes: int) -> Spreading:
    """Fill operands of additions, see `spread`, split pools that pad, and bracket means of real numbers."""
    return bracket_means(split_pools(spread(graph, run_bytes)))
