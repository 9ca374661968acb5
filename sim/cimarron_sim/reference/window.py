"""Windows that slide over an image."""

from collections.abc import Iterator

import numpy as np

from ..graph import Node

__all__ = ["windows"]


def windows(node: Node, x: np.ndarray, out_h: int, out_w: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """The part of `x` under a pool's window, for each pixel of the output.

    Parameters
    ----------
    node : Node
    x : array, shape (N, H, W, C)
    out_h, out_w : int
        Pixels of the output.

    Yields
    ------
    row, column : int
    window : array, shape (N, KH, KW, C)
        Smaller than the kernel where it covers padding.
    """
    (top, left, _, _), (stride_h, stride_w) = node.attributes["pads"], node.attributes["stride"]
    kernel_h, kernel_w = node.attributes["kernel"]
    for row in range(out_h):
        for column in range(out_w):
            y0, x0 = row * stride_h - top, column * stride_w - left
            yield row, column, x[:, max(y0, 0) : y0 + kernel_h, max(x0, 0) : x0 + kernel_w]
