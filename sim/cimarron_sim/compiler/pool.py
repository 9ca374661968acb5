"""Means over windows as multiply-accumulate layers: depthwise, with weights of 1."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from cimarron.isa import Profile

from ..graph import Graph, Node, Tensor
from .errors import CompileError
from .fixed_point import requantise
from .layer import MacLayer
from .real_mean import bounds, exact_scale, read_real_mean
from .table import limits
from .window import Window, read_window

__all__ = ["MOST_PARTS", "read_pool", "unsplit"]

#: Parts that an average pool with padding may be split into; 49 do for windows of 7 x 7.
MOST_PARTS = 256

#: More values than any window that a job can walk leaves practical to check one by one.
_MAX_COUNT = 1 << 14


def _rounded_mean(count: int, low: int, high: int) -> tuple[int, int] | None:
    """Multiplier and shift with which the engine rounds ``sum / count`` half away from zero, for every sum.

    A multiplier just above ``2**31 / count`` carries negative halves over the edge, as positive ones already are.

    Parameters
    ----------
    count : int
        Values in a sum.
    low, high : int
        Limits of a value.
    """
    total = np.arange(low * count, high * count + 1, dtype=np.int64)
    expected = np.sign(total) * ((np.abs(total) + count // 2) // count)
    for shift in range(31 - int(total[-1] - total[0]).bit_length()):
        multiplier = ((1 << 31 - shift) // count) + 1
        if multiplier < 1 << 31 and np.array_equal(requantise(total, multiplier, shift), expected):
            return multiplier, shift
    return None


def _clamps(node: Node, y: Tensor) -> dict[str, int]:
    """Of a node, or of its output's type."""
    return dict(zip(("clamp_min", "clamp_max"), limits(node, y), strict=True))


def unsplit(node: Node) -> CompileError:
    """Why an average pool still pads: see `split_pools`."""
    return CompileError(
        f"layer {node.name!r} pools windows of nothing but padding, or has more than {MOST_PARTS} parts: pad less"
    )


@dataclass(frozen=True, kw_only=True)
class _Pool:
    """What a pool computes, besides `MacLayer`'s own fields."""

    window: Window
    images: int
    scaling: dict[str, Any]
    weight: int = 1
    bias: int = 0
    has_zero_points: bool = True


def _average(graph: Graph, node: Node) -> _Pool:
    """An average pool of profile TFLM, which keeps the scale and rounds the integers themselves."""
    x, y = graph.tensors[node.inputs[0]], graph.tensors[node.outputs[0]]
    count, info = math.prod(node.attributes["kernel"]), np.iinfo(x.dtype)
    if x.dtype != y.dtype or count > _MAX_COUNT:
        raise CompileError(f"layer {node.name!r} means {count} values of {x.dtype} to {y.dtype}: pool smaller windows")
    window = read_window(node, x, node.attributes["kernel"], y)
    scaling = _rounded_mean(count, int(info.min), int(info.max))
    if scaling is None:
        raise CompileError(f"layer {node.name!r} means {count} values, which no multiplier does: pool another window")
    return _Pool(
        window=window,
        images=x.shape[0],
        scaling={"multiplier": scaling[0], "shift": scaling[1], **_clamps(node, y)},
        has_zero_points=False,
    )


def _real(graph: Graph, node: Node, weight_bits: int) -> _Pool:
    """An average pool or mean of float32 numbers that has an exact multiplier, or one of its bounds."""
    x, y = graph.tensors[node.inputs[0]], graph.tensors[node.outputs[0]]
    mean = read_real_mean(graph.tensors, node)
    if node.op == "real_mean":
        window, images = _all_pixels(x), x.shape[0]
    else:
        window, images = read_window(node, x, node.attributes["kernel"], y), x.shape[0]
    weight, bias, scale = 1, 0, exact_scale(mean)
    if "side" in node.attributes:
        found = bounds(mean, (1 << min(weight_bits, 8)) - 1)
        if found is None:
            raise CompileError(
                f"layer {node.name!r} means {mean.count} values, which nothing bounds: quantise it again"
            )
        weight, bias, scale = found.weight, node.attributes["side"] * found.bias, found.scale
    assert scale is not None
    scaling = {"scale": np.full(x.shape[3], scale, np.float32), **_clamps(node, y)}
    return _Pool(window=window, images=images, scaling=scaling, weight=weight, bias=bias)


def _all_pixels(x: Tensor) -> Window:
    _, height, width, channels = x.shape
    return Window(
        height=height, width=width, channels=channels, kernel_h=height, kernel_w=width, stride_h=height,
        stride_w=width, out_height=1, out_width=1,
    )  # fmt: skip


def _mean_window(node: Node, x: Tensor) -> tuple[Window, int]:
    """Window of a mean, and the images it reads.

    Raises
    ------
    CompileError
        If it is over axes that are no neighbours.
    """
    axes = sorted(axis % len(x.shape) for axis in node.attributes["axes"])
    if len(x.shape) == 4 and axes == [1, 2]:
        return _all_pixels(x), x.shape[0]
    # Neighbouring axes are one: what lies before them are lines of an image, they are its columns, the rest channels.
    axes = [axis for axis in axes if x.shape[axis] > 1]
    first, end = (axes[0], axes[-1] + 1) if axes else (len(x.shape) - 1,) * 2
    if math.prod(x.shape[first:end]) != math.prod(x.shape[axis] for axis in axes):
        raise CompileError(
            f"layer {node.name!r} is a mean over the axes {axes} of {x.shape}, which lie apart: transpose the model's"
            f" data so that they are neighbours, or run it outside the model"
        )
    lines, columns, channels = (
        math.prod(x.shape[part]) for part in (slice(first), slice(first, end), slice(end, None))
    )
    window = Window(
        height=lines, width=columns, channels=channels, kernel_w=columns, stride_w=columns, out_height=lines,
        out_width=1,
    )  # fmt: skip
    return window, 1


def _mean(graph: Graph, node: Node) -> _Pool:
    """A mean of integers."""
    y = graph.tensors[node.outputs[0]]
    window, images = _mean_window(node, graph.tensors[node.inputs[0]])
    if graph.profile is Profile.ONNX:
        scaling = {"scale": np.full(window.channels, node.attributes["scale"], np.float32)}
        return _Pool(window=window, images=images, scaling={**scaling, **_clamps(node, y)})
    # TFLite divides by putting the count into the multiplier.
    count = window.taps
    base, shift = (np.asarray(node.attributes[name]).item() for name in ("multiplier", "shift"))
    places = min(count.bit_length() - 1, 32, 31 + shift)
    scaling = {"multiplier": (base << places) // count, "shift": shift - places}
    return _Pool(window=window, images=images, scaling={**scaling, **_clamps(node, y)})


def read_pool(graph: Graph, node: Node, weight_bits: int) -> MacLayer:
    """The layer of an ``average_pool``, ``mean`` or ``real_mean`` node.

    Parameters
    ----------
    graph : Graph
    node : Node
    weight_bits : int
        Widest weights that the macro multiplies.

    Raises
    ------
    CompileError
        If no multiply-accumulate layer gives the same bits.
    """
    x, y = graph.tensors[node.inputs[0]], graph.tensors[node.outputs[0]]
    if x.dtype.itemsize != 1 or y.dtype.itemsize != 1:
        raise CompileError(f"layer {node.name!r} pools {x.dtype} to {y.dtype}: quantise both to 8 bits")
    if node.op == "average_pool" and max(node.attributes["pads"]) > 0:
        raise unsplit(node)
    if node.op == "mean":
        pool = _mean(graph, node)
    elif graph.profile is Profile.ONNX:
        pool = _real(graph, node, weight_bits)
    elif node.op == "real_mean":
        raise CompileError(
            f"layer {node.name!r} means real numbers, which profile tflm does not: use a mean of integers"
        )
    else:
        pool = _average(graph, node)
    channels = pool.window.channels
    return MacLayer(
        node=node,
        x=x,
        y=y,
        act_bits=8,
        weights=np.full((pool.window.taps, channels), pool.weight, np.int32),
        channel_outputs=1,
        is_uniform=True,
        weight_signed=False,
        weight_bits=pool.weight.bit_length(),
        bias=np.full(channels, pool.bias, np.int32),
        x_zero_point=x.zero_point if pool.has_zero_points else 0,
        y_zero_point=y.zero_point if pool.has_zero_points else 0,
        scaling=pool.scaling,
        window=pool.window,
        images=pool.images,
    )
