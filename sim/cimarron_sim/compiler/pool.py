"""Means over windows as multiply-accumulate layers: depthwise, with weights of 1."""

import numpy as np
from cimarron.isa import Profile

from ..graph import Graph, Node
from .errors import CompileError
from .fixed_point import requantise
from .layer import MacLayer, Walk, window_walk

__all__ = ["read_pool"]

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


def _average(graph: Graph, node: Node) -> tuple[Walk, dict[str, int]]:
    x, y = graph.tensors[node.inputs[0]], graph.tensors[node.outputs[0]]
    kernel_h, kernel_w = node.attributes["kernel"]
    if any(node.attributes["pads"]):
        raise CompileError(f"layer {node.name!r} leaves padding out of its means, which the engine cannot: do not pad")
    count, limits = kernel_h * kernel_w, np.iinfo(x.dtype)
    if x.dtype != y.dtype or count > _MAX_COUNT:
        raise CompileError(f"layer {node.name!r} means {count} values of {x.dtype} to {y.dtype}: pool smaller windows")
    scaling = _rounded_mean(count, int(limits.min), int(limits.max))
    if scaling is None:
        raise CompileError(f"layer {node.name!r} means {count} values, which no multiplier does: pool another window")
    walk = window_walk(node, x, (kernel_h, kernel_w), y, depthwise=True)
    clamps = {name: int(node.attributes[name]) for name in ("clamp_min", "clamp_max")}
    return walk, {"multiplier": scaling[0], "shift": scaling[1], **clamps}


def _mean(graph: Graph, node: Node) -> tuple[Walk, dict[str, int]]:
    x = graph.tensors[node.inputs[0]]
    if len(x.shape) != 4 or sorted(axis % 4 for axis in node.attributes["axes"]) != [1, 2]:
        raise CompileError(f"layer {node.name!r} is no mean over the pixels of an image: run it outside the model")
    _, height, width, channels = x.shape
    walk = Walk(
        row_bytes=width * channels, in_height=height, first_row=0, first_position=0, pixel_step=width * channels,
        stride_h=height, dilation_h=1, kernel_h=height, runs=width, run_bytes=1, run_step=channels,
        out_height=1, out_width=1,
    )  # fmt: skip
    # TFLite divides by putting the count into the multiplier.
    count = height * width
    base, shift = (np.asarray(node.attributes[name]).item() for name in ("multiplier", "shift"))
    places = min(count.bit_length() - 1, 32, 31 + shift)
    multiplier = (base << places) // count
    limits = np.iinfo(graph.tensors[node.outputs[0]].dtype)
    clamps = {"clamp_min": int(limits.min), "clamp_max": int(limits.max)}
    return walk, {"multiplier": multiplier, "shift": shift - places, **clamps}


def read_pool(graph: Graph, node: Node) -> MacLayer:
    """The layer of an ``average_pool`` or ``mean`` node in profile TFLM.

    Raises
    ------
    CompileError
        If no multiply-accumulate layer gives the same bits.
    """
    x, y = graph.tensors[node.inputs[0]], graph.tensors[node.outputs[0]]
    if graph.profile is not Profile.TFLM:
        raise CompileError(f"layer {node.name!r} means real numbers, which the engine does not")
    if x.dtype.itemsize != 1 or y.dtype.itemsize != 1:
        raise CompileError(f"layer {node.name!r} pools {x.dtype} to {y.dtype}: quantise both to 8 bits")
    is_mean = node.op == "mean"
    walk, scaling = (_mean if is_mean else _average)(graph, node)
    channels = x.shape[3]
    return MacLayer(
        node=node,
        x=x,
        y=y,
        act_bits=8,
        weights=np.ones((walk.depth, channels), np.int32),
        channel_outputs=1,
        weight_signed=False,
        weight_bits=1,
        bias=np.zeros(channels, np.int32),
        # An average pool keeps the scale and rounds the integers themselves.
        x_zero_point=x.zero_point if is_mean else 0,
        y_zero_point=y.zero_point if is_mean else 0,
        scaling=scaling,
        walk=walk,
        images=x.shape[0],
    )
