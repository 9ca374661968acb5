"""What a front end understood of a model, some of whose operators it may have refused."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cimarron.isa import Profile

from ..graph import Graph, Node, Tensor
from .model import Operator

__all__ = ["Survey", "part_of"]


@dataclass(frozen=True, eq=False)
class Survey:
    """Every operator of a model file, and the layers it has apart from what is refused.

    Parameters
    ----------
    operators : tuple of Operator
        In the order of execution.
    absorbed : dict of str to int
        Types of the operators that are not in `operators`, since they only hold constants or scales, and how many.
    part : Graph
        All layers that are understood. What nothing computes in it is an input, what nobody reads an output.
    """

    operators: tuple[Operator, ...]
    absorbed: Mapping[str, int]
    part: Graph


def part_of(name: str, tensors: Mapping[str, Tensor], nodes: Iterable[Node], profile: Profile) -> Graph:
    """A graph of `nodes`, whatever is missing between them."""
    nodes = tuple(nodes)
    computed = [output for node in nodes for output in node.outputs]
    read = dict.fromkeys(name for node in nodes for name in node.inputs)
    inputs = tuple(name for name in read if name not in computed and tensors[name].data is None)
    return Graph(name, tensors, nodes, inputs, tuple(output for output in computed if output not in read), profile)
