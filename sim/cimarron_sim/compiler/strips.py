"""A layer with thin kernel rows, as two: the first copies what windows see, the second reads it in long runs.

The activation buffer delivers a few neighbouring bytes per cycle. A kernel row of fewer takes a whole cycle
nevertheless, so a window of many thin rows takes longer to read than the macro takes to multiply it. Where windows see
the same columns, for every output row, their kernel rows lie in a strip: one kernel row for each row of the image. Laid
out strip by strip, a window is one run.

The copy is a convolution, too: of one row of the kernel, with weights of 1 and 0. It reads each kernel row once, not
once per word tile and output row, and puts padding where the kernel would reach beyond the left and right edge.
"""

from dataclasses import replace

import numpy as np

from ..graph import Tensor
from .image import align
from .layer import MacLayer
from .window import Window

__all__ = ["in_strips"]


def _copy(layer: MacLayer, lanes: int) -> MacLayer:
    """The layer that writes the strips: (images, out_width, height, kernel row), which is a whole number of lanes."""
    x, window = layer.x, layer.window
    row_bytes = window.kernel_w * window.channels
    strip_bytes = align(row_bytes, lanes)
    shape = (layer.images, window.out_width, window.height, strip_bytes)
    limits = np.iinfo(x.dtype)
    ones = np.ones(strip_bytes, np.int32)
    return MacLayer(
        node=layer.node,
        x=x,
        y=Tensor(f"{layer.name}:strips", shape, x.dtype, x.quantization, bits=x.bits),
        act_bits=layer.act_bits,
        weights=np.eye(row_bytes, strip_bytes, dtype=np.int32),
        channel_outputs=0,
        is_by_columns=True,
        weight_signed=False,
        weight_bits=1,
        bias=np.zeros(strip_bytes, np.int32),
        x_zero_point=layer.x_zero_point,
        y_zero_point=layer.x_zero_point,
        # 1, in either profile: 2**30 * 2**(1 - 31).
        scaling={
            "scale": ones.astype(np.float32), "multiplier": ones << 30, "shift": ones,
            "clamp_min": int(limits.min), "clamp_max": int(limits.max),
        },
        window=replace(window, kernel_h=1, stride_h=1, top=0, out_height=window.height),
        images=layer.images,
    )  # fmt: skip


def in_strips(layer: MacLayer, lanes: int) -> tuple[MacLayer, MacLayer] | None:
    """The two layers, of which the second writes what the layer would.

    Parameters
    ----------
    layer : MacLayer
    lanes : int
        Outputs that are written together.

    Returns
    -------
    (MacLayer, MacLayer) or None
        None if windows would be no longer runs than before.
    """
    window = layer.window
    if layer.channel_outputs or window.kernel_h == 1 or window.dilation_h > 1:
        return None
    copy = _copy(layer, lanes)
    _, lines, columns, strip_bytes = copy.y.shape
    # The copy's outputs beyond a kernel row are padding, and meet weights of 0.
    rows = layer.weights.reshape(window.kernel_h, -1, layer.outputs)
    weights = np.pad(rows, ((0, 0), (0, strip_bytes - rows.shape[1]), (0, 0)))
    turned = Window(
        height=lines, width=columns, channels=strip_bytes, kernel_w=window.kernel_h, stride_w=window.stride_h,
        left=window.top, out_height=window.out_width, out_width=window.out_height,
    )  # fmt: skip
    main = replace(layer, x=copy.y, weights=weights.reshape(-1, layer.outputs), window=turned, is_by_columns=True)
    return copy, main
