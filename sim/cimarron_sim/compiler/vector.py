"""What the engine's vector path runs: functions of bytes, maximum pools, and moves."""

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from cimarron.config import EngineConfig
from cimarron.isa import Opcode, OutFormat, Profile, pack_job

from ..graph import Graph, Node, Tensor
from .addition import Addition, split
from .bound import Bound
from .errors import CompileError
from .rows import Span, join
from .table import limits, maxima, requantised
from .window import read_window

__all__ = ["VectorJob", "VectorLayer", "read_vector"]

#: A row of an elementwise operator: whole beats of any memory port.
_ROW_BYTES = 64

#: A requantisation that changes nothing.
_IDENTITY = {"profile": Profile.ONNX, "multiplier": 1 << 23, "shift": -23}


class Rows(enum.Enum):
    """What a row of a job's layer is."""

    BYTES = enum.auto()  #: so many bytes of one long pixel
    PIXELS = enum.auto()  #: a pixel of a line that has no others around it
    LINES = enum.auto()  #: a line of windows


@dataclass(frozen=True, kw_only=True, eq=False)
class VectorJob:
    """One job.

    Parameters
    ----------
    x, y : Tensor
        Input and output.
    second : Tensor or None
        Second operand, read like the first one.
    x_offset, y_offset : int
        Bytes from the start of the tensors.
    table : int32 array, shape (256,) or (2, 256)
    walk, output : dict of str to int
        Fields of `cimarron.isa.JOB_FIELDS` about the walk, and about the outputs.
    kind : Rows
    row_bytes : int
        Output bytes of a row, of Rows.BYTES.
    first_row : int
        Row of the layer with which the job begins.
    """

    x: Tensor
    y: Tensor
    second: Tensor | None = None
    x_offset: int = 0
    y_offset: int = 0
    table: np.ndarray
    walk: Mapping[str, int]
    output: Mapping[str, int]
    kind: Rows
    row_bytes: int = 0
    first_row: int = 0

    @property
    def rows(self) -> range:
        """Rows of the layer that the job computes, or a part of."""
        count = {
            Rows.BYTES: -(-self.walk["pixel_bytes"] // (self.row_bytes or 1)),
            Rows.PIXELS: self.walk["out_width"],
            Rows.LINES: self.walk["out_height"],
        }[self.kind]
        return range(self.first_row, self.first_row + count)

    def part(self, rows: range) -> "VectorJob | None":
        """The job for some rows of the layer; None if it has none of them."""
        start, stop = max(rows.start, self.rows.start), min(rows.stop, self.rows.stop)
        if start >= stop:
            return None
        skipped, count = start - self.first_row, stop - start
        walk = dict(self.walk)
        if self.kind is Rows.BYTES:
            x_step = y_step = self.row_bytes
            size = min(count * x_step, walk["pixel_bytes"] - skipped * x_step)
            walk |= _run_walk(size)
        elif self.kind is Rows.PIXELS:
            x_step, y_step = walk["pixel_bytes"], walk["out_pixel_step"]
            walk |= {"row_bytes": count * x_step, "out_width": count}
        else:
            x_step, y_step = 0, walk["out_width"] * walk["out_pixel_step"]
            walk |= {"first_row": walk["first_row"] + skipped * walk["stride_h"], "out_height": count}
        return replace(
            self,
            x_offset=self.x_offset + skipped * x_step,
            y_offset=self.y_offset + skipped * y_step,
            walk=walk,
            first_row=start,
        )

    @property
    def span(self) -> Span:
        """Bytes of the input, or of both, that it reads."""
        walk = self.walk
        if self.kind is not Rows.LINES:
            return self.x_offset, self.x_offset + walk["row_bytes"] * walk["in_height"]
        last = walk["first_row"] + (walk["out_height"] - 1) * walk["stride_h"] + walk["kernel_h"]
        low, high = max(walk["first_row"], 0), min(last, walk["in_height"])
        return self.x_offset + low * walk["row_bytes"], self.x_offset + high * walk["row_bytes"]

    def words(self, addresses: Mapping[str, int], table_address: int) -> list[int]:
        """The descriptor; ValueError if a number does not fit its field."""
        first_row = self.walk["first_row"] * self.walk["row_bytes"]
        return pack_job(
            Opcode.VECTOR,
            x_signed=int(self.x.dtype == np.int8),
            binary=int(self.second is not None),
            in_base=addresses[self.x.name] + self.x_offset + first_row & 0xFFFF_FFFF,
            second_base=addresses[self.second.name] + self.x_offset if self.second else 0,
            out_base=addresses[self.y.name] + self.y_offset,
            table_addr=table_address,
            **self.walk,
            **self.output,
        )

    def bound(self, config: EngineConfig) -> Bound:
        """Reads of the activation buffer, and outputs, ``lanes`` at a time, per pixel."""
        walk = self.walk
        pixels = walk["out_width"] * walk["out_height"]
        pieces = -(-walk["pixel_bytes"] // config.act_port_bytes)
        reads = walk["kernel_h"] * walk["kernel_w"] + (self.second is not None)
        return Bound(
            compute=0,
            weights=4 * self.table.size // config.port_bytes,
            activations=pixels * pieces * reads,
            outputs=pixels * -(-walk["pixel_bytes"] // config.lanes),
        )


@dataclass(frozen=True, eq=False)
class VectorLayer:
    """One layer for the vector path.

    Parameters
    ----------
    node : Node
    y : Tensor
        Output.
    steps : tuple of VectorJob
    row_bytes : int
        Output bytes of a row; the last one may have fewer.
    """

    node: Node
    y: Tensor
    steps: tuple[VectorJob, ...]
    row_bytes: int

    @property
    def rows(self) -> int:
        """See `RowLayer`."""
        return -(-self.y.nbytes // self.row_bytes)

    def reads(self, rows: range) -> dict[str, Span]:
        """See `RowLayer`."""
        spans: dict[str, Span] = {}
        for job in self.steps:
            part = job.part(rows)
            for tensor in (job.x, job.second):
                if part is not None and tensor is not None and tensor is not self.y:
                    join(spans, tensor.name, part.span)
        return spans

    def writes(self, rows: range) -> Span:
        """See `RowLayer`."""
        return rows.start * self.row_bytes, min(rows.stop * self.row_bytes, self.y.nbytes)

    @property
    def data(self) -> bytes:
        """All tables, one behind the other; each is a whole number of memory beats."""
        return b"".join(job.table.astype("<i4").tobytes() for job in self.steps)

    def descriptors(
        self, addresses: Mapping[str, int], table_address: int, rows: range | None = None
    ) -> list[list[int]]:
        """Words of each job's descriptor.

        Parameters
        ----------
        addresses : dict of str to int
            Activation buffer address of every tensor; where only some rows lie there, of where it would begin.
        table_address : int
            Memory address of the first table.
        rows : range, optional
            All by default.

        Raises
        ------
        CompileError
            If a number does not fit its field.
        """
        written = []
        for job in self.steps:
            part = job if rows is None else job.part(rows)
            try:
                if part is not None:
                    written.append(part.words(addresses, table_address))
            except ValueError as error:
                raise CompileError(f"layer {self.node.name!r} is too large for a job: {error}") from None
            table_address += 4 * job.table.size
        return written

    def bound(self, config: EngineConfig) -> Bound:
        """Bound over all its jobs."""
        bounds = [job.bound(config) for job in self.steps]
        return Bound(
            compute=0,
            weights=sum(bound.weights for bound in bounds),
            activations=sum(bound.activations for bound in bounds),
            outputs=sum(bound.outputs for bound in bounds),
        )


def _run_walk(run: int, runs: int = 1, out_step: int = 0) -> dict[str, int]:
    """Runs of bytes that lie next to each other and are written ``out_step`` apart: pixels of one row."""
    return {
        "row_bytes": run * runs, "in_height": 1, "first_row": 0, "first_position": 0, "pixel_step": run, "line_step": 0,
        "stride_h": 1, "out_width": runs, "out_height": 1, "kernel_h": 1, "kernel_w": 1, "pixel_bytes": run,
        "column_step": 0, "second_pixel_step": 0, "out_pixel_step": out_step,
    }  # fmt: skip


def _output(dtype: np.dtype, zero_point: int, low: int, high: int, scaling: Mapping[str, int]) -> dict[str, int]:
    return {
        "out_format": OutFormat.INT8 if dtype == np.int8 else OutFormat.UINT8,
        "out_zero_point": zero_point & 0xFF,
        "clamp_min": low & 0xFF,
        "clamp_max": high & 0xFF,
        **scaling,
    }


def _as_is(dtype: np.dtype) -> dict[str, int]:
    """Table entries are the outputs."""
    info = np.iinfo(dtype)
    return _output(dtype, 0, int(info.min), int(info.max), _IDENTITY)


def _need_bytes(node: Node, *tensors: Tensor) -> None:
    for tensor in tensors:
        if tensor.dtype.itemsize != 1:
            raise CompileError(f"layer {node.name!r} works on {tensor.name!r} of {tensor.dtype}: quantise it to 8 bits")


def _requantise(graph: Graph, node: Node, x: Sequence[Tensor], y: Tensor) -> list[VectorJob]:
    table = requantised(graph, node).astype(np.int32)
    return [
        VectorJob(
            x=x[0], y=y, table=table, walk=_run_walk(y.size), output=_as_is(y.dtype), kind=Rows.BYTES,
            row_bytes=_ROW_BYTES,
        )
    ]  # fmt: skip


def _add(graph: Graph, node: Node, x: Sequence[Tensor], y: Tensor, addition: Addition) -> list[VectorJob]:
    scaling = {"profile": graph.profile, "multiplier": addition.multiplier, "shift": addition.shift}
    output = _output(y.dtype, y.zero_point, *limits(node, y), scaling)
    return [
        VectorJob(
            x=x[0], second=x[1], y=y, table=addition.tables, walk=_run_walk(y.size), output=output, kind=Rows.BYTES,
            row_bytes=_ROW_BYTES,
        )
    ]  # fmt: skip


def _max_pool(graph: Graph, node: Node, x: Sequence[Tensor], y: Tensor) -> list[VectorJob]:
    (source,) = x
    _need_bytes(node, source, y)
    kernel_h, kernel_w = node.attributes["kernel"]
    top, left, bottom, right = node.attributes["pads"]
    if max(top, bottom) >= kernel_h or max(left, right) >= kernel_w:
        raise CompileError(f"layer {node.name!r} pools windows of nothing but padding: pad less")
    window = read_window(node, source, (kernel_h, kernel_w), y)
    channels = window.channels
    row_bytes = window.width * channels
    walk = {
        "row_bytes": row_bytes, "in_height": window.height, "first_row": -top, "first_position": -left * channels,
        "pixel_step": window.stride_w * channels, "line_step": window.stride_h * row_bytes,
        "stride_h": window.stride_h, "out_width": window.out_width, "out_height": window.out_height,
        "kernel_h": kernel_h, "kernel_w": kernel_w, "pixel_bytes": channels, "column_step": channels,
        "second_pixel_step": 0, "out_pixel_step": channels,
    }  # fmt: skip
    table = maxima(node, y).astype(np.int32)
    sizes = [tensor.size // source.shape[0] for tensor in (source, y)]
    return [
        VectorJob(
            x=source, y=y, x_offset=image * sizes[0], y_offset=image * sizes[1], table=table, walk=walk,
            output=_as_is(y.dtype), kind=Rows.LINES, first_row=image * window.out_height,
        )
        for image in range(source.shape[0])
    ]  # fmt: skip


def _move(x: Tensor, y: Tensor, x_offset: int, y_offset: int, run: int, runs: int, out_step: int) -> VectorJob:
    byte = np.dtype(np.int8)
    table = np.arange(256).astype(np.uint8).view(byte).astype(np.int32)
    walk = _run_walk(run, runs, out_step)
    return VectorJob(
        x=x, y=y, x_offset=x_offset, y_offset=y_offset, table=table, walk=walk, output=_as_is(byte), kind=Rows.PIXELS,
        first_row=y_offset // out_step,
    )  # fmt: skip


def _concat(graph: Graph, node: Node, x: Sequence[Tensor], y: Tensor) -> list[VectorJob]:
    axis = node.attributes["axis"] % len(y.shape)
    size, runs = y.dtype.itemsize, math.prod(y.shape[:axis])
    y_bytes = math.prod(y.shape[axis:]) * size
    moves, start = [], 0
    for tensor in x:
        if tensor.data is not None:
            raise CompileError(f"layer {node.name!r} joins the constant {tensor.name!r}: only computed tensors can be")
        run = math.prod(tensor.shape[axis:]) * size
        moves.append(_move(tensor, y, 0, start, run, runs, y_bytes))
        start += run
    return moves


def _pad(graph: Graph, node: Node, x: Sequence[Tensor], y: Tensor) -> list[VectorJob]:
    _need_bytes(node, *x, y)
    # Axes behind which nothing is padded are one; the last two of the others are moved by one job.
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
    value = np.full(256, int(node.attributes["value"]), np.int32)
    jobs = [
        VectorJob(
            x=y, y=y, table=value, walk=_run_walk(y.size), output=_as_is(y.dtype), kind=Rows.BYTES,
            row_bytes=padded[-1],
        )
    ]  # fmt: skip
    for count, index in enumerate(np.ndindex(*sizes[:-2])):
        start = int(np.ravel_multi_index([*np.add(index, lows[:-2]).astype(int), *lows[-2:]], padded))
        jobs.append(_move(x[0], y, count * runs * run, start, run, runs, padded[-1]))
    return jobs


def _layer(node: Node, y: Tensor, jobs: Sequence[VectorJob]) -> VectorLayer:
    first = jobs[0]
    if first.kind is Rows.BYTES:
        return VectorLayer(node, y, tuple(jobs), first.row_bytes)
    pixels = first.walk["out_width"] if first.kind is Rows.LINES else 1
    return VectorLayer(node, y, tuple(jobs), pixels * first.walk["out_pixel_step"])


_READERS = {"max_pool": _max_pool, "concat": _concat, "pad": _pad}


def read_vector(graph: Graph, node: Node) -> VectorLayer | None:
    """The layer of a node for the vector path, or None if that is not for it.

    Raises
    ------
    CompileError
        If the node is one for the vector path that it cannot run.
    """
    x, y = tuple(graph.tensors[name] for name in node.inputs), graph.tensors[node.outputs[0]]
    if node.op in _READERS:
        return _layer(node, y, _READERS[node.op](graph, node, x, y))
    if node.op == "requantise" and x[0].dtype.itemsize == y.dtype.itemsize == 1:
        return _layer(node, y, _requantise(graph, node, x, y))
    if node.op == "add":
        _need_bytes(node, *x, y)
        for tensor in x:
            if tensor.shape != y.shape or tensor.data is not None:
                raise CompileError(
                    f"layer {node.name!r} adds {tensor.name!r} of shape {tensor.shape}"
                    f"{', a constant,' if tensor.data is not None else ''} to get {y.shape}: only computed tensors of"
                    f" one shape can be added"
                )
        addition = split(graph, node)
        if addition is not None:
            return _layer(node, y, _add(graph, node, x, y, addition))
    return None
