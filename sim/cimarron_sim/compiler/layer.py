"""A multiply-accumulate layer as the engine sees it: a matrix, and a walk over the input."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..graph import Graph, Node, Tensor
from .errors import CompileError

__all__ = ["MacLayer", "Walk", "read_layer", "window_walk"]


@dataclass(frozen=True, kw_only=True)
class Walk:
    """How the input of one image is walked; fields of the same names in `cimarron.isa.JOB_FIELDS`, in bytes and rows.

    Positions count bytes from the start of an image row. One value is one byte.
    """

    row_bytes: int
    in_height: int
    first_row: int
    first_position: int
    pixel_step: int
    stride_h: int
    dilation_h: int
    kernel_h: int
    runs: int
    run_bytes: int
    run_step: int
    out_height: int
    out_width: int

    @property
    def depth(self) -> int:
        """Length of the reduction: bytes that go into one output."""
        return self.kernel_h * self.runs * self.run_bytes

    @property
    def pixels(self) -> int:
        """Output pixels of one image."""
        return self.out_height * self.out_width


@dataclass(frozen=True, kw_only=True, eq=False)
class MacLayer:
    """One layer for the engine.

    Parameters
    ----------
    node : Node
    x, y : Tensor
        Input and output.
    act_bits : int
        Bits an activation needs.
    weights : int32 array, shape (depth, outputs)
        Column j holds the weights of output j in the order of the walk, less their zero point.
    channel_outputs : int
        Outputs that read one input channel and no other, in a depthwise layer, whose walk is that of one channel;
        0 if every output reads all channels.
    weight_signed : bool
    weight_bits : int
        Bits a weight needs, zero point included.
    bias : int32 array, shape (outputs,)
        Zero where the model has none.
    x_zero_point, y_zero_point : int
        Taken from every input, padding apart, and added to every output.
    scaling : dict
        ``scale``, or ``multiplier`` and ``shift``, and the clamps: see `cimarron_sim.graph`.
    walk : Walk
    images : int
        Batch size: walks that follow one another.
    """

    node: Node
    x: Tensor
    y: Tensor
    act_bits: int
    weights: np.ndarray
    channel_outputs: int
    weight_signed: bool
    weight_bits: int
    bias: np.ndarray
    x_zero_point: int
    y_zero_point: int
    scaling: Mapping[str, Any]
    walk: Walk
    images: int

    @property
    def name(self) -> str:
        """What reports and errors call the layer."""
        return self.node.name

    @property
    def outputs(self) -> int:
        """Output channels."""
        return self.weights.shape[1]

    @property
    def macs(self) -> int:
        """Multiplications with a weight of the model, those with padding included."""
        has_weights = len(self.node.inputs) > 1
        return self.images * self.walk.pixels * self.weights.size if has_weights else 0


def _fully_connected(x: Tensor) -> tuple[Walk, int]:
    # A batch is an image with one pixel per row, so that it can be cut between any two vectors.
    count, depth = x.shape
    walk = Walk(
        row_bytes=depth, in_height=count, first_row=0, first_position=0, pixel_step=depth, stride_h=1, dilation_h=1,
        kernel_h=1, runs=1, run_bytes=depth, run_step=depth, out_height=count, out_width=1,
    )  # fmt: skip
    return walk, 1


def window_walk(node: Node, x: Tensor, kernel: tuple[int, int], y: Tensor, *, depthwise: bool) -> Walk:
    """Walk of a window over an image; that of its first channel for an operator that keeps channels apart.

    Raises
    ------
    CompileError
        If the output has another size than the windows.
    """
    _, height, width, channels = x.shape
    kernel_h, kernel_w = kernel
    stride_h, stride_w = node.attributes["stride"]
    dilation_h, dilation_w = node.attributes.get("dilation", (1, 1))
    top, left, bottom, right = node.attributes["pads"]
    out_height = (height + top + bottom - dilation_h * (kernel_h - 1) - 1) // stride_h + 1
    out_width = (width + left + right - dilation_w * (kernel_w - 1) - 1) // stride_w + 1
    if y.shape[1:3] != (out_height, out_width):
        raise CompileError(
            f"layer {node.name!r} computes an image of {out_height} x {out_width}, but its output {y.name!r} has"
            f" shape {y.shape}: the model contradicts itself"
        )
    # Taps that lie next to each other in memory are one run.
    contiguous = not depthwise and (dilation_w == 1 or kernel_w == 1)
    return Walk(
        row_bytes=width * channels,
        in_height=height,
        first_row=-top,
        first_position=-left * channels,
        pixel_step=stride_w * channels,
        stride_h=stride_h,
        dilation_h=dilation_h,
        kernel_h=kernel_h,
        runs=1 if contiguous else kernel_w,
        run_bytes=kernel_w * channels if contiguous else 1 if depthwise else channels,
        run_step=dilation_w * channels,
        out_height=out_height,
        out_width=out_width,
    )


def _constant(graph: Graph, node: Node, index: int, what: str) -> np.ndarray:
    data = graph.tensors[node.inputs[index]].data
    if data is None:
        raise CompileError(f"layer {node.name!r} computes its {what} at run time: only constant ones can be loaded")
    return data


def _bits(tensor: Tensor) -> int:
    return tensor.bits or 8 * tensor.dtype.itemsize


def _signed_bits(values: np.ndarray) -> int:
    """Width of the two's complement numbers that hold all values."""
    return int(np.where(values < 0, ~values, values).max()).bit_length() + 1


def read_layer(graph: Graph, node: Node) -> MacLayer:
    """The layer of a ``fully_connected``, ``conv2d`` or ``depthwise_conv2d`` node.

    Raises
    ------
    CompileError
        If the node's operands are not what the engine multiplies.
    """
    x, y = graph.tensors[node.inputs[0]], graph.tensors[node.outputs[0]]
    weights = graph.tensors[node.inputs[1]]
    values = _constant(graph, node, 1, "weights")
    if x.data is not None:
        raise CompileError(f"layer {node.name!r} has a constant input: fold it into the model")
    for tensor in (x, weights):
        if tensor.dtype.itemsize != 1:
            raise CompileError(f"layer {node.name!r} reads {tensor.name!r} of {tensor.dtype}: quantise it to 8 bits")
    for tensor in (x, y):
        if tensor.quantization is not None and tensor.quantization.axis is not None:
            raise CompileError(
                f"layer {node.name!r} has activations {tensor.name!r} with a scale per channel: quantise them with one"
            )
    if node.op == "fully_connected":
        walk, images = _fully_connected(x)
    else:
        kernel_h, kernel_w = weights.shape[1:3]
        walk = window_walk(node, x, (kernel_h, kernel_w), y, depthwise=node.op == "depthwise_conv2d")
        images = x.shape[0]
    matrix = (values - weights.zero_points).astype(np.int32).reshape(weights.shape[0], -1).T
    if matrix.shape[0] != walk.depth or y.size != images * walk.pixels * matrix.shape[1]:
        raise CompileError(
            f"layer {node.name!r} multiplies {x.shape} by {weights.shape} into {y.shape}, which does not fit together"
        )
    shifted = bool(weights.zero_points.any())
    bias = np.zeros(matrix.shape[1], np.int32)
    if len(node.inputs) == 3:
        bias = _constant(graph, node, 2, "bias").astype(np.int32)
    return MacLayer(
        node=node,
        x=x,
        y=y,
        act_bits=_bits(x),
        weights=matrix,
        channel_outputs=matrix.shape[1] // x.shape[3] if node.op == "depthwise_conv2d" else 0,
        weight_signed=shifted or weights.dtype == np.int8,
        weight_bits=_signed_bits(matrix) if shifted else _bits(weights),
        bias=bias,
        x_zero_point=x.zero_point,
        y_zero_point=y.zero_point,
        scaling=node.attributes,
        walk=walk,
        images=images,
    )
