"""What the CPU runs: steps of the program, and the tables they work with."""

import itertools
import math
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
    largest_table,
    lookup_table,
    narrow_ladder,
    power_table,
    real_ladder,
    real_table,
)

__all__ = ["CpuLayer", "CpuStep", "read_cpu"]


@dataclass(frozen=True, eq=False)
class CpuStep:
    """One step.

    Parameters
    ----------
    kind : Step
    tensors : tuple of Tensor
        Inputs, then the output, whose addresses come first.
    operands : tuple of int
        What follows them.
    tables : tuple of bytes
        Whose offsets in the image follow the operands.
    """

    kind: Step
    tensors: tuple[Tensor, ...]
    operands: tuple[int, ...]
    tables: tuple[bytes, ...] = ()

    def words(self, addresses: Mapping[str, int], offset: int) -> bytes:
        """The step.

        Parameters
        ----------
        addresses : dict of str to int
            Activation buffer address of every tensor.
        offset : int
            Of the first table in the image.
        """
        offsets = itertools.accumulate((len(table) for table in self.tables), initial=offset)
        places = [addresses[tensor.name] for tensor in self.tensors]
        return step(self.kind, [*places, *self.operands, *itertools.islice(offsets, len(self.tables))])


@dataclass(frozen=True, eq=False)
class CpuLayer:
    """One layer for the CPU.

    Parameters
    ----------
    y : Tensor
        Output.
    steps : tuple of CpuStep
    """

    y: Tensor
    steps: tuple[CpuStep, ...]

    @property
    def data(self) -> bytes:
        """All tables, one behind the other."""
        return b"".join(table for step_ in self.steps for table in step_.tables)

    def words(self, addresses: Mapping[str, int], offset: int) -> bytes:
        """All steps, with their tables from ``offset`` in the image on; see `CpuStep.words`."""
        written = []
        for step_ in self.steps:
            written.append(step_.words(addresses, offset))
            offset += sum(map(len, step_.tables))
        return b"".join(written)


def _bytes(node: Node, *tensors: Tensor) -> None:
    for tensor in tensors:
        if tensor.dtype.itemsize != 1:
            raise CompileError(f"layer {node.name!r} works on {tensor.name!r} of {tensor.dtype}: quantise it to 8 bits")


def _inversion(tensor: Tensor) -> int:
    """Bits to invert so that bytes are in the order of their values."""
    return 0x80 if tensor.dtype == np.int8 else 0


def _window(node: Node, x: Tensor, y: Tensor) -> tuple[int, ...]:
    """`cimarron.isa.WINDOW_WORDS` of a pool."""
    return (*x.shape, *node.attributes["kernel"], *node.attributes["stride"], *y.shape[1:3])


def _requantise(graph: Graph, node: Node, x: Sequence[Tensor], y: Tensor) -> list[CpuStep]:
    _bytes(node, y)
    if x[0].dtype.itemsize == 1:
        return [CpuStep(Step.LOOKUP, (*x, y), (y.size,), (lookup_table(graph, node),))]
    if graph.profile is not Profile.ONNX:
        raise CompileError(f"layer {node.name!r} requantises int32, which profile tflm does not: use an 8-bit output")
    return [CpuStep(Step.NARROW, (*x, y), (y.size,), (narrow_ladder(graph, node),))]


def _add(graph: Graph, node: Node, x: Sequence[Tensor], y: Tensor) -> list[CpuStep]:
    _bytes(node, *x, y)
    for tensor in x:
        if tensor.shape != y.shape or tensor.data is not None:
            raise CompileError(
                f"layer {node.name!r} adds {tensor.name!r} of shape {tensor.shape}"
                f"{', a constant,' if tensor.data is not None else ''} to get {y.shape}: only computed tensors of one"
                f" shape can be added"
            )
    return [CpuStep(Step.COMBINE, (*x, y), (y.size,), (combine_table(graph, node),))]


def _softmax(graph: Graph, node: Node, x: Sequence[Tensor], y: Tensor) -> list[CpuStep]:
    _bytes(node, *x, y)
    values = y.shape[-1]
    if values > SOFTMAX_VALUES:
        raise CompileError(
            f"layer {node.name!r} is a softmax of {values} values, {SOFTMAX_VALUES} is the most there is"
        )
    shape = values, y.size // values
    if graph.profile is Profile.ONNX:
        return [CpuStep(Step.SHARE, (*x, y), shape, (power_table(x[0]), real_ladder(node, y, 1)))]
    inversions = [_inversion(tensor) for tensor in (x[0], y)]
    return [CpuStep(Step.SOFTMAX, (*x, y), (*shape, *inversions), (exponential_table(node),))]


def _average_pool(graph: Graph, node: Node, x: Sequence[Tensor], y: Tensor) -> list[CpuStep]:
    _bytes(node, *x, y)
    if graph.profile is not Profile.ONNX:
        raise CompileError(f"layer {node.name!r} is for the engine")
    if any(node.attributes["pads"]):
        raise CompileError(f"layer {node.name!r} leaves padding out of its means: pool without padding")
    tables = real_table(x[0]), real_ladder(node, y, math.prod(node.attributes["kernel"]))
    return [CpuStep(Step.MEAN, (*x, y), _window(node, x[0], y), tables)]


def _max_pool(graph: Graph, node: Node, x: Sequence[Tensor], y: Tensor) -> list[CpuStep]:
    _bytes(node, *x, y)
    top, left, bottom, right = node.attributes["pads"]
    kernel_h, kernel_w = node.attributes["kernel"]
    if max(top, bottom) >= kernel_h or max(left, right) >= kernel_w:
        raise CompileError(f"layer {node.name!r} pools windows of nothing but padding: pad less")
    operands = (*_window(node, x[0], y), top, left, _inversion(x[0]))
    return [CpuStep(Step.LARGEST, (*x, y), operands, (largest_table(node, y),))]


def _concat(graph: Graph, node: Node, x: Sequence[Tensor], y: Tensor) -> list[CpuStep]:
    axis = node.attributes["axis"] % len(y.shape)
    size, runs = y.dtype.itemsize, math.prod(y.shape[:axis])
    y_bytes = math.prod(y.shape[axis:]) * size
    steps, start = [], 0
    for tensor in x:
        if tensor.data is not None:
            raise CompileError(f"layer {node.name!r} joins the constant {tensor.name!r}: only computed tensors can be")
        run = math.prod(tensor.shape[axis:]) * size
        steps.append(CpuStep(Step.COPY, (tensor, y), (0, start, run, runs, run, y_bytes)))
        start += run
    return steps


def _pad(graph: Graph, node: Node, x: Sequence[Tensor], y: Tensor) -> list[CpuStep]:
    _bytes(node, *x, y)
    # Axes behind which nothing is padded are one; the last two of the others are copied by one step.
    axes = [(1, 0, 0)]
    widths = np.reshape(node.attributes["pads"], (len(y.shape), 2)).tolist()
    axes += [(size, low, high) for size, (low, high) in zip(x[0].shape, widths, strict=True)]
    while len(axes) > 2 and axes[-1][1:] == (0, 0):
        inner = axes.pop()[0]
        size, low, high = axes[-1]
        axes[-1] = (inner * size, inner * low, inner * high)
    sizes, lows = [axis[0] for axis in axes], [axis[1] for axis in axes]
    padded = [sum(axis) for axis in axes]
    runs, run = sizes[-2:]
    steps = [CpuStep(Step.FILL, (y,), (y.size, int(node.attributes["value"]) & 0xFF))]
    for count, index in enumerate(np.ndindex(*sizes[:-2])):
        start = np.ravel_multi_index([*np.add(index, lows[:-2]).astype(int), *lows[-2:]], padded)
        steps.append(CpuStep(Step.COPY, (x[0], y), (count * runs * run, int(start), run, runs, run, padded[-1])))
    return steps


_READERS: dict[str, Callable[[Graph, Node, Sequence[Tensor], Tensor], list[CpuStep]]] = {
    "requantise": _requantise,
    "add": _add,
    "softmax": _softmax,
    "average_pool": _average_pool,
    "max_pool": _max_pool,
    "pad": _pad,
    "concat": _concat,
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
    if max(tensor.nbytes for tensor in (*x, y)) > ACT_WINDOW:
        raise CompileError(f"layer {node.name!r} works on more than {ACT_WINDOW} bytes: split the model")
    return CpuLayer(y, tuple(_READERS[node.op](graph, node, x, y)))
