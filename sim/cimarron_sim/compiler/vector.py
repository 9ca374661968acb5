"""What the engine's vector path runs: functions of one or two bytes, maximum pools, and moves."""

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from cimarron.config import EngineConfig
from cimarron.isa import Opcode, OutFormat, Profile, pack_job

from ..graph import OPERATORS, Graph, Node, Tensor
from .addition import Addition, pair_sums, split
from .bound import Bound
from .errors import CompileError
from .rows import Span, join
from .spread import Runs, missing_axes, read_runs, scalar
from .table import limits, maxima, requantised
from .window import read_window

__all__ = ["VectorJob", "VectorLayer", "read_vector"]

#: A row of an elementwise operator: whole beats of any memory port.
_ROW_BYTES = 64

#: Lines of a job.
_MOST_LINES = 1 << 16

#: Copies that a node can join.
_MOST_COPIES = OPERATORS["concat"][1]

#: The table that changes nothing, of int8.
_SAME = np.arange(256).astype(np.uint8).view(np.int8).astype(np.int32)

#: A requantisation that changes nothing.
_IDENTITY = {"profile": Profile.ONNX, "multiplier": 1 << 23, "shift": -23}


class Rows(enum.Enum):
    """What a row of a job's layer is."""

    BYTES = enum.auto()  #: so many bytes of one long pixel
    PIXELS = enum.auto()  #: a pixel of a line that has no others around it
    LINES = enum.auto()  #: a line of windows
    REPEATS = enum.auto()  #: a line of as many outputs as read the same input


@dataclass(frozen=True, kw_only=True, eq=False)
class VectorJob:
    """One job.

    Parameters
    ----------
    x, y : Tensor
        Input and output.
    second : Tensor or None
        Second operand: a byte of it for each of the output, at the same place.
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
            Rows.REPEATS: self.walk["out_height"],
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
        elif self.kind is Rows.REPEATS:
            x_step, y_step = walk["line_step"], walk["out_width"] * walk["out_pixel_step"]
            walk |= {"out_height": count}
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
        """Bytes of the input that it reads."""
        walk = self.walk
        if self.kind is Rows.REPEATS:
            return self.x_offset, self.x_offset + (walk["out_height"] - 1) * walk["line_step"] + walk["row_bytes"]
        if self.kind is not Rows.LINES:
            return self.x_offset, self.x_offset + walk["row_bytes"] * walk["in_height"]
        last = walk["first_row"] + (walk["out_height"] - 1) * walk["stride_h"] + walk["kernel_h"]
        low, high = max(walk["first_row"], 0), min(last, walk["in_height"])
        return self.x_offset + low * walk["row_bytes"], self.x_offset + high * walk["row_bytes"]

    @property
    def second_span(self) -> Span:
        """Bytes of the second operand that it reads."""
        walk = self.walk
        return self.y_offset, self.y_offset + walk["pixel_bytes"] * walk["out_width"] * walk["out_height"]

    def words(self, addresses: Mapping[str, int], table_address: int) -> list[int]:
        """The descriptor; ValueError if a number does not fit its field."""
        first_row = self.walk["first_row"] * self.walk["row_bytes"]
        return pack_job(
            Opcode.VECTOR,
            x_signed=int(self.x.dtype == np.int8),
            binary=int(self.second is not None),
            in_base=addresses[self.x.name] + self.x_offset + first_row & 0xFFFF_FFFF,
            second_base=addresses[self.second.name] + self.y_offset if self.second else 0,
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
            if part is not None and job.x is not self.y:
                join(spans, job.x.name, part.span)
            if part is not None and job.second is not None:
                join(spans, job.second.name, part.second_span)
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


def _repeats_walk(runs: Runs) -> dict[str, int]:
    """Runs of bytes, each of them read several times before the next; the outputs lie next to each other.

    Each line of outputs reads an image of its own, of one pixel.
    """
    columns, lines, step = runs.repeats, runs.outer, runs.inner
    if runs.outer == 1:
        # One run is all there is. As many lines as there can be keep the rows of the layer short.
        divisors = (count for count in range(1, runs.repeats + 1) if runs.repeats % count == 0)
        columns = next(count for count in divisors if runs.repeats // count < _MOST_LINES)
        lines, step = runs.repeats // columns, 0
    return {
        "row_bytes": runs.inner, "in_height": 1, "first_row": 0, "first_position": 0, "pixel_step": 0,
        "line_step": step, "stride_h": 0, "out_width": columns, "out_height": lines, "kernel_h": 1, "kernel_w": 1,
        "pixel_bytes": runs.inner, "column_step": 0, "second_pixel_step": runs.inner, "out_pixel_step": runs.inner,
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


def _map(x: Tensor, y: Tensor, table: np.ndarray) -> list[VectorJob]:
    """A function of each byte."""
    return [
        VectorJob(
            x=x, y=y, table=table.astype(np.int32), walk=_run_walk(y.size), output=_as_is(y.dtype), kind=Rows.BYTES,
            row_bytes=_ROW_BYTES,
        )
    ]  # fmt: skip


def _repeat(job: VectorJob, runs: Runs) -> list[VectorJob]:
    """The job with a walk over the runs of its input: one for each image of a batch."""
    walk, step = _repeats_walk(runs), 0 if runs.is_shared else runs.outer * runs.inner
    return [
        replace(
            job, x_offset=image * step, y_offset=image * runs.outer * runs.repeats * runs.inner, walk=walk,
            kind=Rows.REPEATS, row_bytes=0, first_row=image * walk["out_height"],
        )
        for image in range(runs.images)
    ]  # fmt: skip


def _add(graph: Graph, node: Node, x: Sequence[Tensor], y: Tensor, addition: Addition) -> list[VectorJob]:
    scaling = {"profile": graph.profile, "multiplier": addition.multiplier, "shift": addition.shift}
    output = _output(y.dtype, y.zero_point, *limits(node, y), scaling)
    # What is read repeatedly, if anything, comes first.
    first = min((0, 1), key=lambda i: x[i].size)
    job = VectorJob(
        x=x[first], second=x[1 - first], y=y, table=addition.tables[[first, 1 - first]], walk=_run_walk(y.size),
        output=output, kind=Rows.BYTES, row_bytes=_ROW_BYTES,
    )  # fmt: skip
    if not missing_axes(x[first].shape, y.shape):
        return [job]
    runs = read_runs(x[first].shape, y.shape)
    assert runs is not None
    return _repeat(job, runs)


def _refuse_shapes(node: Node, x: Sequence[Tensor], y: Tensor, is_split: bool) -> None:
    """Operands that `spread` could not fill, and sums that are no work."""
    if all(tensor.data is not None for tensor in x):
        raise CompileError(f"layer {node.name!r} adds nothing but constants: put their sum into the model")
    whole = [tensor.size == y.size for tensor in x]
    if all(whole) or (is_split and any(whole) and all(read_runs(tensor.shape, y.shape) for tensor in x)):
        return
    shapes = " and ".join(f"{tensor.name!r} of shape {tensor.shape}" for tensor in x)
    copies = max(y.shape[axis] for tensor in x for axis in missing_axes(tensor.shape, y.shape))
    raise CompileError(
        f"layer {node.name!r} adds {shapes} to get {y.shape}: that takes {copies} copies of one along an axis,"
        f" {_MOST_COPIES} is the most there is: let the model repeat it, or split the axis"
    )


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
    walk = _run_walk(run, runs, out_step)
    return VectorJob(
        x=x, y=y, x_offset=x_offset, y_offset=y_offset, table=_SAME, walk=walk, output=_as_is(byte), kind=Rows.PIXELS,
        first_row=y_offset // out_step,
    )  # fmt: skip


def _concat(graph: Graph, node: Node, x: Sequence[Tensor], y: Tensor) -> list[VectorJob]:
    axis = node.attributes["axis"] % len(y.shape)
    size, runs = y.dtype.itemsize, math.prod(y.shape[:axis])
    y_bytes = math.prod(y.shape[axis:]) * size
    copied = read_runs(x[0].shape, y.shape) if len(set(node.inputs)) == 1 and x[0].shape[axis] == 1 else None
    if copied is not None and x[0].data is None and size == 1:
        return _repeat(_move(x[0], y, 0, 0, 1, 1, 1), copied)
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
    pixels = 1 if first.kind is Rows.PIXELS else first.walk["out_width"]
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
        return _layer(node, y, _map(x[0], y, requantised(graph, node)))
    if node.op == "add":
        _need_bytes(node, *x, y)
        constant = scalar(graph, node)
        if constant is not None:
            sums = pair_sums(graph, node)
            value = np.asarray(x[constant].data).item()
            return _layer(node, y, _map(x[1 - constant], y, sums.take(value & 0xFF, axis=constant)))
        addition = split(graph, node)
        _refuse_shapes(node, x, y, addition is not None)
        if addition is not None:
            return _layer(node, y, _add(graph, node, x, y, addition))
    return None
