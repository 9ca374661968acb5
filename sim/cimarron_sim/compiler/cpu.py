"""What the CPU runs: steps of the program, and the tables they work with."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from cimarron.isa import ACT_WINDOW, SOFTMAX_VALUES, WINDOW_WORDS, Profile, Step

from ..graph import Graph, Node, Tensor
from ..summation import ADD
from .addition import real_sums
from .errors import CompileError
from .image import step
from .real_mean import read_real_mean
from .rows import Span
from .table import exponential_table, limits, narrow_ladder, real_ladder, real_table, scale_of, share_tables

__all__ = ["CpuLayer", "CpuStep", "read_cpu"]


#: Values, or rows of them, that are always computed together.
_ROW_VALUES = 4


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
    count : int, optional
        Which operand says how many values, or rows of values, there are; None if the step cannot do a part of them.
    """

    kind: Step
    tensors: tuple[Tensor, ...]
    operands: tuple[int, ...]
    tables: tuple[bytes, ...] = ()
    count: int | None = None

    @property
    def rows(self) -> int:
        """Rows that can be computed one at a time: four values of an elementwise step, or rows of a softmax, so that
        each begins at a multiple of 4 bytes; or all there is."""
        return 1 if self.count is None else -(-self.operands[self.count] // _ROW_VALUES)

    def span(self, tensor: Tensor, rows: range) -> Span:
        """Bytes of a tensor in some rows."""
        if self.count is None:
            return 0, tensor.nbytes
        values = tensor.size // self.operands[self.count] * tensor.dtype.itemsize * _ROW_VALUES
        return rows.start * values, min(rows.stop * values, tensor.nbytes)

    def words(self, addresses: Mapping[str, int], offset: int, rows: range | None = None) -> bytes:
        """The step.

        Parameters
        ----------
        addresses : dict of str to int
            Activation buffer address of every tensor; where only some rows lie there, of where it would begin.
        offset : int
            Of the first table in the image.
        rows : range, optional
            All by default.
        """
        rows = range(self.rows) if rows is None else rows
        offsets = itertools.accumulate((len(table) for table in self.tables), initial=offset)
        places = [addresses[tensor.name] + self.span(tensor, rows)[0] for tensor in self.tensors]
        return step(self.kind, [*places, *self._operands(rows), *itertools.islice(offsets, len(self.tables))])

    def _operands(self, rows: range) -> list[int]:
        operands = list(self.operands)
        if self.count is not None:
            count = operands[self.count]
            operands[self.count] = min(rows.stop * _ROW_VALUES, count) - rows.start * _ROW_VALUES
        return operands


@dataclass(frozen=True, eq=False)
class WindowStep(CpuStep):
    """One step whose operands are `cimarron.isa.WINDOW_WORDS`: the first tensor is an image, the others are what
    windows on it give.

    Rows are lines of output pixels of an image, if all of them begin at multiples of 4 bytes; images, if there are
    several; or all there is, if outputs add their values in different orders.
    """

    @property
    def _window(self) -> dict[str, int]:
        return dict(zip(WINDOW_WORDS, self.operands, strict=True))

    @property
    def rows(self) -> int:
        """See `CpuStep`."""
        window = self._window
        sizes = [tensor.nbytes // window["images"] for tensor in self.tensors]
        if window["orders"] > 1 or (window["images"] > 1 and any(size % 4 for size in sizes)):
            return 1
        if window["images"] > 1:
            return window["images"]
        lines = [window["stride_h"] * window["width"], window["out_width"]]
        return 1 if any(line * window["channels"] % 4 for line in lines) else window["out_height"]

    def span(self, tensor: Tensor, rows: range) -> Span:
        """See `CpuStep`."""
        window = self._window
        if self.rows == 1:
            return 0, tensor.nbytes
        if window["images"] > 1:
            size = tensor.nbytes // window["images"]
            return rows.start * size, rows.stop * size
        start, stop, width = rows.start, rows.stop, window["out_width"]
        if tensor is self.tensors[0]:
            start, width = start * window["stride_h"], window["width"]
            stop = (stop - 1) * window["stride_h"] + window["kernel_h"]
        return start * width * window["channels"], stop * width * window["channels"]

    def _operands(self, rows: range) -> list[int]:
        window = self._window
        if self.rows > 1 and window["images"] > 1:
            window["images"] = len(rows)
        elif self.rows > 1:
            window["out_height"] = len(rows)
            window["height"] = (len(rows) - 1) * window["stride_h"] + window["kernel_h"]
        return list(window.values())


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

    @property
    def rows(self) -> int:
        """See `RowLayer`."""
        return self.steps[0].rows if len(self.steps) == 1 else 1

    def _span(self, tensor: Tensor, rows: range) -> Span:
        return self.steps[0].span(tensor, rows) if len(self.steps) == 1 else (0, tensor.nbytes)

    def reads(self, rows: range) -> dict[str, Span]:
        """See `RowLayer`."""
        inputs = {tensor.name: tensor for step_ in self.steps for tensor in step_.tensors if tensor is not self.y}
        return {name: self._span(tensor, rows) for name, tensor in inputs.items()}

    def writes(self, rows: range) -> Span:
        """See `RowLayer`."""
        return self._span(self.y, rows)

    def words(self, addresses: Mapping[str, int], offset: int, rows: range | None = None) -> list[bytes]:
        """Each step, with the tables from ``offset`` in the image on; see `CpuStep.words`."""
        written = []
        for step_ in self.steps:
            written.append(step_.words(addresses, offset, rows if self.rows > 1 else None))
            offset += sum(map(len, step_.tables))
        return written


def _bytes(node: Node, *tensors: Tensor) -> None:
    for tensor in tensors:
        if tensor.dtype.itemsize != 1:
            raise CompileError(f"layer {node.name!r} works on {tensor.name!r} of {tensor.dtype}: quantise it to 8 bits")


def _inversion(tensor: Tensor) -> int:
    """Bits to invert so that bytes are in the order of their values."""
    return 0x80 if tensor.dtype == np.int8 else 0


def _requantise(graph: Graph, node: Node, x: Sequence[Tensor], y: Tensor) -> list[CpuStep]:
    _bytes(node, y)
    if graph.profile is not Profile.ONNX:
        raise CompileError(f"layer {node.name!r} requantises int32, which profile tflm does not: use an 8-bit output")
    return [CpuStep(Step.NARROW, (*x, y), (y.size,), (narrow_ladder(graph, node),), count=0)]


def _add(graph: Graph, node: Node, x: Sequence[Tensor], y: Tensor) -> list[CpuStep]:
    table = real_sums(graph, node).astype(y.dtype).tobytes()
    return [CpuStep(Step.COMBINE, (*x, y), (y.size,), (table,), count=0)]


def _softmax(graph: Graph, node: Node, x: Sequence[Tensor], y: Tensor) -> list[CpuStep]:
    _bytes(node, *x, y)
    values = y.shape[-1]
    if values > SOFTMAX_VALUES:
        raise CompileError(
            f"layer {node.name!r} is a softmax of {values} values, {SOFTMAX_VALUES} is the most there is"
        )
    shape = values, y.size // values
    inversions = [_inversion(tensor) for tensor in (x[0], y)]
    if graph.profile is Profile.ONNX:
        if not 2.0**-60 < float(scale_of(y)) < 2.0**60:
            raise CompileError(f"tensor {y.name!r} has a scale of {scale_of(y)}: quantise it again")

        def to_output(steps: np.ndarray) -> np.ndarray:
            low, high = limits(node, y)
            return np.clip(np.rint(steps.astype(np.float64)) + y.zero_point, low, high).astype(np.int64)

        tables = *share_tables(x[0], y), real_ladder(to_output)
        return [CpuStep(Step.SHARE, (*x, y), (*shape, inversions[0]), tables, count=1)]
    return [CpuStep(Step.SOFTMAX, (*x, y), (*shape, *inversions), (exponential_table(node),), count=1)]


def _settle(graph: Graph, node: Node, x: Sequence[Tensor], y: Tensor) -> list[CpuStep]:
    image = x[0]
    mean = read_real_mean(graph.tensors, dataclasses.replace(node, op=node.attributes["of"]))
    kernel, stride = (node.attributes.get(name, image.shape[1:3]) for name in ("kernel", "stride"))
    out = y.shape[1:3] if "kernel" in node.attributes else (1, 1)
    # Which byte of a window each value is, counted from the first one.
    places = [
        (row * image.shape[2] + column) * image.shape[3] for row in range(kernel[0]) for column in range(kernel[1])
    ]
    words = [[word if word == ADD else places[word] for word in order] for order in mean.orders]
    tables = real_table(image), real_ladder(mean.output), np.array(words, "<i4").tobytes()
    operands = *image.shape, *kernel, *stride, *out, len(words)
    return [WindowStep(Step.MEAN, (*x, y), operands, tables)]


_READERS: dict[str, Callable[[Graph, Node, Sequence[Tensor], Tensor], list[CpuStep]]] = {
    "requantise": _requantise,
    "add": _add,
    "softmax": _softmax,
    "settle": _settle,
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
