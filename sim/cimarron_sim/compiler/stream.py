"""The weight stream of a layer: what the engine reads from memory, in the order it reads it."""

import numpy as np
from cimarron.config import EngineConfig
from cimarron.isa import PARAM_BYTES, Profile

from .layer import MacLayer
from .params import params
from .tiling import Tiling

__all__ = ["pack_rows", "weight_stream"]


def pack_rows(weights: np.ndarray, weight_bits: int, row_bytes: int) -> np.ndarray:
    """Rows of a weight set as the memory holds them.

    Parameters
    ----------
    weights : int array, shape (rows, outputs)
    weight_bits : int
        Output j lies at bit ``j * weight_bits`` of its row.
    row_bytes : int
        Bytes a row is padded to.

    Returns
    -------
    uint8 array, shape (rows, row_bytes)
    """
    bits = (weights[:, :, np.newaxis] >> np.arange(weight_bits) & 1).astype(np.uint8)
    packed = np.packbits(bits.reshape(len(weights), -1), axis=1, bitorder="little")
    return np.pad(packed, ((0, 0), (0, row_bytes - packed.shape[1])))


def _tile_weights(layer: MacLayer, tiling: Tiling, outputs: slice) -> np.ndarray:
    """Weights of a word tile in the order of the walk, shape (depth, words).

    In a depthwise layer, an output has weights of 0 for all but its own channel. Each pixel of a block has the same
    weights, elsewhere in the window that all of them share. Weights too wide for the macro are sums of two.
    """
    window, block, channels = layer.window, tiling.block, tiling.channels
    kernel = layer.weights[:, outputs]
    count = kernel.shape[1]
    if layer.channel_outputs:
        own = np.arange(channels)[:, np.newaxis] == np.arange(count) // layer.channel_outputs
        kernel = (kernel[:, np.newaxis] * own).reshape(-1, count)
    kernel = kernel.reshape(window.kernel_h, window.kernel_w, channels, count)
    shape = ((block.height - 1) * window.stride_h + window.kernel_h, (block.width - 1) * window.stride_w)
    shared = np.zeros((shape[0], shape[1] + window.kernel_w, channels, block.height, block.width, count), np.int32)
    for line in range(block.height):
        for column in range(block.width):
            top, left = line * window.stride_h, column * window.stride_w
            shared[top : top + window.kernel_h, left : left + window.kernel_w, :, line, column] = kernel
    if tiling.copies > 1:
        limit = 1 << tiling.weight_bits - 1
        first = shared.clip(-limit, limit - 1)
        shared = np.stack([first, shared - first], axis=1)
    return shared.reshape(tiling.walk.depth, -1)


def weight_stream(layer: MacLayer, tiling: Tiling, profile: Profile, config: EngineConfig) -> bytes:
    """Records and rows of every tile, as the comment below `cimarron.isa.JOB_FIELDS` lays them out.

    Returns
    -------
    bytes
        Whole beats of the memory port.
    """
    records = params(layer, profile)
    # A record or a row narrower than the port still takes one beat.
    records = np.pad(records, ((0, 0), (0, config.param_beats * config.port_bytes - PARAM_BYTES)))
    loaded = tiling.loaded_rows(config.macro.rows) if tiling.is_shared else tiling.walk.depth
    pieces = []
    for start in range(0, tiling.outputs if tiling.is_shared else layer.outputs, tiling.outputs):
        outputs = slice(start, start + tiling.outputs)
        weights = _tile_weights(layer, tiling, outputs)[:loaded]
        pieces.append(np.tile(records[outputs], (tiling.block.pixels, 1)))
        pieces.append(pack_rows(weights, tiling.weight_bits, config.row_beats * config.port_bytes))
    return b"".join(piece.tobytes() for piece in pieces)
