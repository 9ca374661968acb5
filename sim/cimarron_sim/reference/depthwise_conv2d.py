"""Depthwise convolution: every output channel sees one input channel."""

import numpy as np

from ..graph import Graph, Node
from .accumulator import finish

__all__ = ["depthwise_conv2d"]


def depthwise_conv2d(
    graph: Graph, node: Node, x: np.ndarray, w: np.ndarray, bias: np.ndarray | None = None
) -> np.ndarray:
    """Output of a depthwise convolution node.

    Parameters
    ----------
    graph : Graph
    node : Node
    x : int8 or uint8 array, shape (N, H, W, C)
    w : int8 or uint8 array, shape (M, KH, KW)
        M is a multiple of C: output m reads input channel ``m // (M / C)``.
    bias : int32 array, shape (M,), or None

    Returns
    -------
    array of the output's dtype, shape (N, OH, OW, M)
    """
    x_zero_point, w_zero_point = (graph.tensors[name].zero_points for name in node.inputs[:2])
    top, left, bottom, right = node.attributes["pads"]
    stride_h, stride_w = node.attributes["stride"]
    dilation_h, dilation_w = node.attributes["dilation"]
    batch, out_h, out_w, channels = graph.tensors[node.outputs[0]].shape

    x_wide = np.pad(x.astype(np.int64) - x_zero_point, ((0, 0), (top, bottom), (left, right), (0, 0)))
    x_wide = np.repeat(x_wide, channels // x.shape[3], axis=3)
    w_wide = w.astype(np.int64) - w_zero_point
    sums = np.zeros((batch, out_h, out_w, channels), np.int64)
    for kernel_y in range(w.shape[1]):
        for kernel_x in range(w.shape[2]):
            rows = slice(kernel_y * dilation_h, kernel_y * dilation_h + (out_h - 1) * stride_h + 1, stride_h)
            columns = slice(kernel_x * dilation_w, kernel_x * dilation_w + (out_w - 1) * stride_w + 1, stride_w)
            sums += x_wide[:, rows, columns] * w_wide[:, kernel_y, kernel_x]
    return finish(graph, node, sums, bias)
