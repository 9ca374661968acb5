"""A multiply-accumulate layer as the engine sees it: a matrix, and windows on the input."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..graph import Graph, Node, Tensor
from .errors import CompileError
from .window import Window, read_window

__all__ = ["MacLayer", "read_layer"]


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
    weights : int32 array, shape (taps * channels, outputs)
        Column j holds the weights of output j, less their zero point: those of one channel in a depthwise layer.
    channel_outputs : int
        Outputs that read one input channel and no other, in a depthwise layer; 0 if every output reads all channels.
    is_uniform : bool
        All weights are equal, and so are the records of all outputs.
    is_spread : bool
        A depthwise layer as one whose outputs read all channels: see `spread`.
    is_by_columns : bool
        Output pixels follow one another in memory column by column of the layer's window, not line by line.
    weight_signed : bool
    weight_bits : int
        Bits a weight needs, zero point included.
    bias : int32 array, shape (outputs,)
        Zero where the model has none.
    x_zero_point, y_zero_point : int
        Taken from every input, padding apart, and added to every output.
    scaling : dict
        ``scale``, or ``multiplier`` and ``shift``, and the clamps: see `cimarron_sim.graph`.
    window : Window
    images : int
        Batch size: images that follow one another.
    """

    node: Node
    x: Tensor
    y: Tensor
    act_bits: int
    weights: np.ndarray
    channel_outputs: int
    is_uniform: bool = False
    is_spread: bool = False
    is_by_columns: bool = False
    weight_signed: bool
    weight_bits: int
    bias: np.ndarray
    x_zero_point: int
    y_zero_point: int
    scaling: Mapping[str, Any]
    window: Window
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
        if len(self.node.inputs) == 1:
            return 0
        own = self.weights.size // (self.window.channels if self.is_spread else 1)
        return self.images * self.window.pixels * own

    def spread(self) -> "MacLayer":
        """A depthwise layer as one whose outputs read all channels, all but their own with weights of 0."""
        own = np.arange(self.window.channels)[:, np.newaxis] == np.arange(self.outputs) // self.channel_outputs
        weights = (self.weights[:, np.newaxis] * own).reshape(-1, self.outputs)
        return replace(self, weights=weights, channel_outputs=0, is_spread=True)


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
        # A batch is an image with one pixel per row, so that it can be cut between any two vectors.
        count, depth = x.shape
        window = Window(height=count, width=1, channels=depth, out_height=count, out_width=1)
        images = 1
    else:
        kernel_h, kernel_w = weights.shape[1:3]
        window = read_window(node, x, (kernel_h, kernel_w), y)
        images = x.shape[0]
    channels = 1 if node.op == "depthwise_conv2d" else window.channels
    matrix = (values - weights.zero_points).astype(np.int32).reshape(weights.shape[0], -1).T
    if matrix.shape[0] != window.taps * channels or y.size != images * window.pixels * matrix.shape[1]:
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
        window=window,
        images=images,
    )
