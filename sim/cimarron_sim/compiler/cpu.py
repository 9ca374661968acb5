"""What the CPU runs: one step of the program for each operator, and the tables it works with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from cimarron.isa import ACT_WINDOW, SOFTMAX_VALUES, Profile, Step

from ..graph import Graph, Node, Tensor
from .errors import CompileError
from .image import step
from .table import (
    combine_table,
    exponential_table,
    lookup_table,
    narrow_ladder,
    power_table,
    real_ladder,
    real_table,
)

__all__ = ["CpuLayer", "read_cpu"]


@dataclass(frozen=True, kw_only=True, eq=False)
class CpuLayer:
    """One layer for the CPU.

    Parameters
    ----------
    node : Node
    x : tuple of Tensor
        Inputs.
    y : Tensor
        Output.
    kind : Step
    operands : tuple of int
        What follows the addresses of inputs and output.
    tables : tuple of bytes
        Whose offsets in the image follow the operands.
    """

    node: Node
    x: tuple[Tensor, ...]
    y: Tensor
    kind: Step
    operands: tuple[int, ...]
    tables: tuple[bytes, ...]

    @property
    def name(self) -> str:
        """What reports and errors call the layer."""
        return self.node.name

    @property
    def data(self) -> bytes:
        """All tables, one behind the other."""
        return b"".join(self.tables)

    def words(self, addresses: Mapping[str, int], offset: int) -> bytes:
        """The step.

        Parameters
        ----------
        addresses : dict of str to int
            Activation buffer address of every tensor.
        offset : int
            Of the first table in the image.
        """
        offsets = np.cumsum([offset, *(len(table) for table in self.tables)])[:-1]
        places = [addresses[tensor.name] for tensor in (*self.x, self.y)]
        return step(self.kind, [*places, *self.operands, *(int(offset) for offset in offsets)])


_Parts = tuple[Step, tuple[int, ...], tuple[bytes, ...]]


def _bytes(node: Node, *tensors: Tensor) -> None:
    for tensor in tensors:
        if tensor.dtype.itemsize != 1:
            raise CompileError(f"layer {node.name!r} works on {tensor.name!r} of {tensor.dtype}: quantise it to 8 bits")


def _requantise(graph: Graph, node: Node, x: Sequence[Tensor], y: Tensor) -> _Parts:
    _bytes(node, y)
    if x[0].dtype.itemsize == 1:
        return Step.LOOKUP, (y.size,), (lookup_table(graph, node),)
    if graph.profile is not Profile.ONNX:
        raise CompileError(f"layer {node.name!r} requantises int32, which profile tflm does not: use an 8-bit output")
    return Step.NARROW, (y.size,), (narrow_ladder(graph, node),)


def _add(graph: Graph, node: Node, x: Sequence[Tensor], y: Tensor) -> _Parts:
    _bytes(node, *x, y)
    for tensor in x:
        if tensor.shape != y.shape or tensor.data is not None:
            raise CompileError(
                f"layer {node.name!r} adds {tensor.name!r} of shape {tensor.shape}"
                f"{', a constant,' if tensor.data is not None else ''} to get {y.shape}: only computed tensors of one"
                f" shape can be added"
            )
    return Step.COMBINE, (y.size,), (combine_table(graph, node),)


def _softmax(graph: Graph, node: Node, x: Sequence[Tensor], y: Tensor) -> _Parts:
    _bytes(node, *x, y)
    values = y.shape[-1]
    if values > SOFTMAX_VALUES:
        raise CompileError(
            f"layer {node.name!r} is a softmax of {values} values, {SOFTMAX_VALUES} is the most there is"
        )
    shape = values, y.size // values
    if graph.profile is Profile.ONNX:
        return Step.SHARE, shape, (power_table(x[0]), real_ladder(node, y, 1))
    inversions = [0x80 if tensor.dtype == np.int8 else 0 for tensor in (x[0], y)]
    return Step.SOFTMAX, (*shape, *inversions), (exponential_table(node),)


def _average_pool(graph: Graph, node: Node, x: Sequence[Tensor], y: Tensor) -> _Parts:
    _bytes(node, *x, y)
    if graph.profile is not Profile.ONNX:
        raise CompileError(f"layer {node.name!r} is for the engine")
    if any(node.attributes["pads"]):
        raise CompileError(f"layer {node.name!r} leaves padding out of its means: pool without padding")
    kernel, stride = node.attributes["kernel"], node.attributes["stride"]
    shape = (*x[0].shape, *kernel, *stride, *y.shape[1:3])
    return Step.MEAN, shape, (real_table(x[0]), real_ladder(node, y, kernel[0] * kernel[1]))


_READERS: dict[str, Callable[[Graph, Node, Sequence[Tensor], Tensor], _Parts]] = {
    "requantise": _requantise,
    "add": _add,
    "softmax": _softmax,
    "average_pool": _average_pool,
}


def read_cpu(graph: Graph, node: Node) -> CpuLayer:
    """The layer of a node that the CPU runs.

    Raises
    ------
    CompileError
        If it does not, and why.
    """
    if node.op not in _READERS:
        raise CompileError(f"there is no {node.op}: run it outside the model")
    x, y = tuple(graph.tensors[name] for name in node.inputs), graph.tensors[node.outputs[0]]
    kind, operands, tables = _READERS[node.op](graph, node, x, y)
    if max(tensor.nbytes for tensor in (*x, y)) > ACT_WINDOW:
        raise CompileError(f"layer {node.name!r} works on more than {ACT_WINDOW} bytes: split the model")
    return CpuLayer(node=node, x=x, y=y, kind=kind, operands=operands, tables=tables)
