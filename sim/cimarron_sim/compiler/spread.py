"""Additions of tensors whose shapes differ, as the engine adds them.

A VECTOR job adds runs of bytes, one after the other. One operand has the shape of the sum; the other may have each of
its runs read several times, if the axes that it lacks are neighbours: then no byte is copied. Where more is missing, or
the CPU adds, which takes tensors of one shape, axes are filled by joining the operand with itself. Constants are filled
when the network is compiled.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..graph import OPERATORS, Graph, Node, Tensor
from .addition import split

__all__ = ["Runs", "Spreading", "missing_axes", "read_runs", "scalar", "spread", "stored_constants"]

#: Copies that a node can join.
_MOST_COPIES = OPERATORS["concat"][1]


@dataclass(frozen=True)
class Runs:
    """How a tensor fills a larger shape: in each image ``outer`` runs of ``inner`` values, each ``repeats`` times.

    ``images`` is 1 where there is no batch. ``is_shared`` if all images are filled by the same runs.
    """

    images: int
    outer: int
    repeats: int
    inner: int
    is_shared: bool


@dataclass(frozen=True, eq=False)
class Spreading:
    """A graph whose operators can be run as they are.

    Parameters
    ----------
    graph : Graph
    copies : frozenset of str
        Tensors that the network has not: operands, filled up along an axis, and parts of pools (see `split_pools`).
        Each is computed just before what it is for.
    stands_for : dict of str to str
        By name of a node that does the last part of another operator's work, that operator.
    """

    graph: Graph
    copies: frozenset[str] = frozenset()
    stands_for: Mapping[str, str] = field(default_factory=dict)


def _lifted(shape: tuple[int, ...], full: tuple[int, ...]) -> tuple[int, ...]:
    return (1,) * (len(full) - len(shape)) + shape


def missing_axes(shape: tuple[int, ...], full: tuple[int, ...]) -> list[int]:
    """Axes of a shape that a tensor which broadcasts to it lacks."""
    return [axis for axis, (own, size) in enumerate(zip(_lifted(shape, full), full, strict=True)) if own < size]


def read_runs(shape: tuple[int, ...], full: tuple[int, ...]) -> Runs | None:
    """The runs of a tensor that broadcasts to ``full``; None if the axes that it lacks in an image lie apart."""
    missing, images = missing_axes(shape, full), full[0] if len(full) == 4 else 1
    is_shared = images > 1 and 0 in missing
    inside = [axis for axis in missing if axis > 0 or images == 1]
    if not inside:
        # Any cut would do: between lines.
        return Runs(images, math.prod(full[1:2]), 1, math.prod(full[2:]), is_shared)
    first, end = inside[0], inside[-1] + 1
    if math.prod(_lifted(shape, full)[first:end]) > 1:
        return None
    outer = math.prod(full[:first]) // images
    return Runs(images, outer, math.prod(full[first:end]), math.prod(full[end:]), is_shared)


def scalar(graph: Graph, node: Node) -> int | None:
    """Which operand of an ``add`` node is a single constant, so that the sum is a function of the other; or None."""
    constants = [graph.tensors[name].data is not None for name in node.inputs]
    if sum(constants) != 1 or graph.tensors[node.inputs[constants.index(True)]].size > 1:
        return None
    return constants.index(True)


def stored_constants(graph: Graph, node: Node) -> tuple[str, ...]:
    """Constants that a node reads from the activation buffer: operands of additions, except scalars."""
    if node.op != "add" or scalar(graph, node) is not None:
        return ()
    return tuple(dict.fromkeys(name for name in node.inputs if graph.tensors[name].data is not None))


def spread(graph: Graph, run_bytes: int) -> Spreading:
    """Fill operands of additions as far as needed.

    Parameters
    ----------
    graph : Graph
    run_bytes : int
        Runs of a constant are made at least so long, where that costs nothing but memory.
    """
    work = _Spreader(graph, run_bytes)
    for node in graph.nodes:
        work.visit(node)
    if not work.changed:
        return Spreading(graph)
    return Spreading(dataclasses.replace(graph, tensors=work.tensors, nodes=tuple(work.nodes)), frozenset(work.copies))


class _Spreader:
    """Walks through a graph; ``tensors`` and ``nodes`` are what has come of it so far."""

    def __init__(self, graph: Graph, run_bytes: int):
        self.graph = graph
        self.run_bytes = run_bytes
        self.tensors: dict[str, Tensor] = dict(graph.tensors)
        self.nodes: list[Node] = []
        self.copies: list[str] = []
        self.changed = False

    def visit(self, node: Node) -> None:
        """Append a node, and before it what fills its operands."""
        if node.op == "add" and self._is_for_bytes(node) and scalar(self.graph, node) is None:
            inputs = self._operands(node)
            self.changed = self.changed or inputs != node.inputs
            node = dataclasses.replace(node, inputs=inputs)
        self.nodes.append(node)

    def _is_for_bytes(self, node: Node) -> bool:
        tensors = [self.graph.tensors[name] for name in (*node.inputs, *node.outputs)]
        return all(tensor.dtype.itemsize == 1 for tensor in tensors)

    def _operands(self, node: Node) -> tuple[str, ...]:
        full = self.graph.tensors[node.outputs[0]].shape
        operands = [self.graph.tensors[name] for name in node.inputs]
        wanted = [self._axes(tensor, full) for tensor in operands]
        is_split = split(self.graph, node) is not None
        if not is_split or all(missing_axes(tensor.shape, full) for tensor in operands):
            # One has to be whole: a constant costs nothing, of others the larger one costs less.
            whole = max((0, 1), key=lambda i: (operands[i].data is not None, operands[i].size))
            for i, tensor in enumerate(operands):
                if i == whole or not is_split:
                    wanted[i] = missing_axes(tensor.shape, full)
        return tuple(
            self._filled_constant(node, tensor, full, axes)
            if tensor.data is not None
            else self._filled(node, tensor, full, axes)
            for tensor, axes in zip(operands, wanted, strict=True)
        )

    def _axes(self, tensor: Tensor, full: tuple[int, ...]) -> list[int]:
        """Axes to fill so that the rest is runs."""
        shape, axes = list(_lifted(tensor.shape, full)), []
        while True:
            missing = missing_axes(tuple(shape), full)
            runs = read_runs(tuple(shape), full)
            is_short = runs is not None and tensor.data is not None and runs.inner < self.run_bytes
            if not missing or (runs is not None and not is_short):
                return axes
            axes.append(missing[-1])
            shape[missing[-1]] = full[missing[-1]]

    def _filled_constant(self, node: Node, tensor: Tensor, full: tuple[int, ...], axes: list[int]) -> str:
        """A constant of its own for the node."""
        assert tensor.data is not None
        shape = tuple(full[axis] if axis in axes else size for axis, size in enumerate(_lifted(tensor.shape, full)))
        data = np.ascontiguousarray(np.broadcast_to(tensor.data, shape))
        name = self._fresh(f"{node.name}:{tensor.name}")
        self.tensors[name] = dataclasses.replace(tensor, name=name, shape=shape, data=data)
        return name

    def _filled(self, node: Node, tensor: Tensor, full: tuple[int, ...], axes: list[int]) -> str:
        name, shape = tensor.name, list(_lifted(tensor.shape, full))
        if any(full[axis] > _MOST_COPIES for axis in axes):
            return name
        if axes and tuple(shape) != tensor.shape:
            name = self._append(tensor, f"{node.name}:{name}", shape, "reshape", (name,), {})
        for axis in axes:
            shape[axis] = full[axis]
            name = self._append(
                tensor, f"{node.name}:{tensor.name}:{axis}", shape, "concat", (name,) * full[axis], {"axis": axis}
            )
            self.copies.append(name)
        return name

    def _fresh(self, name: str) -> str:
        """A name that no tensor and no node has."""
        while name in self.tensors or any(node.name == name for node in self.graph.nodes):
            name += "'"
        return name

    def _append(
        self, like: Tensor, name: str, shape: list[int], op: str, inputs: tuple[str, ...], attributes: dict[str, int]
    ) -> str:
        name = self._fresh(name)
        self.tensors[name] = dataclasses.replace(like, name=name, shape=tuple(shape))
        self.nodes.append(Node(name, op, inputs, (name,), attributes))
        return name
