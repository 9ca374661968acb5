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


def _spread(weights: np.ndarray, channels: int, channel_outputs: int) -> np.ndarray:
    """Weights of a depthwise tile for a walk that reads several channels at each tap: 0 for all but an output's own.

    Parameters
    ----------
    weights : int array, shape (taps, outputs)
    channels, channel_outputs : int
        Channels at each tap, and outputs of each.

    Returns
    -------
    int array, shape (taps * channels, outputs)
    """
    own = np.arange(channels)[:, np.newaxis] == np.arange(weights.shape[1]) // channel_outputs
    return (weights[:, np.newaxis] * own).reshape(-1, weights.shape[1])


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
    pieces = []
    for start in range(0, layer.outputs, tiling.tile_outputs):
        columns = slice(start, start + tiling.tile_outputs)
        weights = layer.weights[:, columns]
        if layer.channel_outputs:
            weights = _spread(weights, tiling.walk.run_bytes, layer.channel_outputs)
        pieces.append(records[columns])
        pieces.append(pack_rows(weights, tiling.weight_bits, config.row_beats * config.port_bytes))
    return b"".join(piece.tobytes() for piece in pieces)
