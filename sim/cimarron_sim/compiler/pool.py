"""Means over windows as multiply-accumulate layers: depthwise, with weights of 1."""

import math
from typing import Any

import numpy as np
from cimarron.isa import Profile

from ..graph import Graph, Node, Tensor
from .errors import CompileError
from .fixed_point import requantise
from .layer import MacLayer
from .window import Window, read_window

__all__ = ["MOST_PARTS", "is_engine_pool", "read_pool", "unsplit"]

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


def is_engine_pool(graph: Graph, node: Node) -> bool:
    """Whether an ``average_pool`` or ``mean`` node is for the engine.

    In profile ONNX, sums of real numbers are rounded at each of ``count`` additions. All roundings together move a mean
    by at most ``(count + 3) * 255 * 2**-24`` steps of its scale, if input and output have the same. Where that is less
    than ``1 / (2 * count)``, the least distance of a mean of an odd number of integers from a half, the mean rounds as
    if it were exact.
    """
    if graph.profile is Profile.TFLM:
        return True
    x, y = graph.tensors[node.inputs[0]], graph.tensors[node.outputs[0]]
    if (
        node.op != "average_pool"
        or max(node.attributes["pads"]) > 0
        or x.quantization is None
        or y.quantization is None
    ):
        return False
    kernel_h, kernel_w = node.attributes["kernel"]
    count = kernel_h * kernel_w
    same = np.array_equal(x.quantization.scale, y.quantization.scale)
    return same and count % 2 == 1 and 2 * count * (count + 3) * 255 < 1 << 24 and _is_reciprocal_exact(count)


def _is_reciprocal_exact(count: int) -> bool:
    """Whether the product with float32's reciprocal rounds to the mean, for every sum of differences of two bytes."""
    total = np.arange(-255 * count, 255 * count + 1, dtype=np.int64)
    nearest = (2 * total + count) // (2 * count)
    return np.array_equal(np.rint(total.astype(np.float32) * np.float32(1 / count)), nearest)


def unsplit(node: Node) -> CompileError:
    """Why an average pool still pads: see `split_pools`."""
    return CompileError(
        f"layer {node.name!r} pools windows of nothing but padding, or has more than {MOST_PARTS} parts: pad less"
    )


def _average(graph: Graph, node: Node) -> tuple[Window, int, dict[str, Any]]:
    x, y = graph.tensors[node.inputs[0]], graph.tensors[node.outputs[0]]
    kernel_h, kernel_w = node.attributes["kernel"]
    if max(node.attributes["pads"]) > 0:
        raise unsplit(node)
    count, limits = kernel_h * kernel_w, np.iinfo(x.dtype)
    if x.dtype != y.dtype or count > _MAX_COUNT:
        raise CompileError(f"layer {node.name!r} means {count} values of {x.dtype} to {y.dtype}: pool smaller windows")
    window = read_window(node, x, (kernel_h, kernel_w), y)
    clamps = {name: int(node.attributes[name]) for name in ("clamp_min", "clamp_max")}
    if graph.profile is Profile.ONNX:
        return window, x.shape[0], {"scale": np.full(x.shape[3], 1 / count, np.float32), **clamps}
    scaling = _rounded_mean(count, int(limits.min), int(limits.max))
    if scaling is None:
        raise CompileError(f"layer {node.name!r} means {count} values, which no multiplier does: pool another window")
    return window, x.shape[0], {"multiplier": scaling[0], "shift": scaling[1], **clamps}


def _mean_window(node: Node, x: Tensor) -> tuple[Window, int]:
    """Window of a mean, and the images it reads.

    Raises
    ------
    CompileError
        If it is over axes that are no neighbours.
    """
    axes = sorted(axis % len(x.shape) for axis in node.attributes["axes"])
    if len(x.shape) == 4 and axes == [1, 2]:
        images, height, width, channels = x.shape
        window = Window(
            height=height, width=width, channels=channels, kernel_h=height, kernel_w=width, stride_h=height,
            stride_w=width, out_height=1, out_width=1,
        )  # fmt: skip
        return window, images
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


def _mean(graph: Graph, node: Node) -> tuple[Window, int, dict[str, Any]]:
    window, images = _mean_window(node, graph.tensors[node.inputs[0]])
    # TFLite divides by putting the count into the multiplier.
    count = window.taps
    base, shift = (np.asarray(node.attributes[name]).item() for name in ("multiplier", "shift"))
    places = min(count.bit_length() - 1, 32, 31 + shift)
    multiplier = (base << places) // count
    limits = np.iinfo(graph.tensors[node.outputs[0]].dtype)
    clamps = {"clamp_min": int(limits.min), "clamp_max": int(limits.max)}
    return window, images, {"multiplier": multiplier, "shift": shift - places, **clamps}


def read_pool(graph: Graph, node: Node) -> MacLayer:
    """The layer of a node that `is_engine_pool`.

    Raises
    ------
    CompileError
        If no multiply-accumulate layer gives the same bits.
    """
    x, y = graph.tensors[node.inputs[0]], graph.tensors[node.outputs[0]]
    if x.dtype.itemsize != 1 or y.dtype.itemsize != 1:
        raise CompileError(f"layer {node.name!r} pools {x.dtype} to {y.dtype}: quantise both to 8 bits")
    window, images, scaling = (_mean if node.op == "mean" else _average)(graph, node)
    # An average pool of profile TFLM keeps the scale and rounds the integers themselves.
    has_zero_points = node.op == "mean" or graph.profile is Profile.ONNX
    channels = window.channels
    return MacLayer(
        node=node,
        x=x,
        y=y,
        act_bits=8,
        weights=np.ones((window.taps, channels), np.int32),
        channel_outputs=1,
        is_uniform=True,
        weight_signed=False,
        weight_bits=1,
        bias=np.zeros(channels, np.int32),
        x_zero_point=x.zero_point if has_zero_points else 0,
        y_zero_point=y.zero_point if has_zero_points else 0,
        scaling=scaling,
        window=window,
        images=images,
    )
