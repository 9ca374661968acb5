"""A graph while some of its nodes are replaced by several."""

import dataclasses
import itertools

from ..graph import Node, Tensor
from .spread import Spreading

__all__ = ["Rewriter"]


class Rewriter:
    """Builds a graph out of another one; ``tensors`` and ``nodes`` are what has come of it so far.

    Parameters
    ----------
    spreading : Spreading
        Whose graph is rewritten.
    """

    def __init__(self, spreading: Spreading) -> None:
        self.graph = spreading.graph
        self.tensors: dict[str, Tensor] = dict(self.graph.tensors)
        self.nodes: list[Node] = []
        #: Tensors that only prepare others.
        self.parts: list[str] = []
        self.stands_for: dict[str, str] = {}
        self._spreading = spreading
        self._taken = {*self.graph.tensors, *(node.name for node in self.graph.nodes)}

    def result(self) -> Spreading:
        """What has come of it."""
        graph = dataclasses.replace(self.graph, tensors=self.tensors, nodes=tuple(self.nodes))
        before = self._spreading
        return Spreading(graph, before.copies | set(self.parts), {**before.stands_for, **self.stands_for})

    def tensor(self, node: Node, like: Tensor, shape: tuple[int, ...]) -> str:
        """Define a tensor for what a node becomes; its name."""
        name = self.fresh(node)
        self.tensors[name] = dataclasses.replace(like, name=name, shape=shape)
        return name

    def fresh(self, node: Node) -> str:
        """A name that no tensor and no node has."""
        names = (f"{node.name}:{number}" for number in itertools.count())
        name = next(name for name in names if name not in self._taken)
        self._taken.add(name)
        return name
