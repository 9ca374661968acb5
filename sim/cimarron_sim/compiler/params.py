"""Requantisation records: what the engine does to every output channel's sum."""

import numpy as np
from cimarron.isa import PARAM_BYTES, Profile

from .errors import CompileError
from .layer import MacLayer

__all__ = ["fold_zero_point", "params", "scale_record"]

#: Exponents the engine's records hold; a scale below the lowest scales every 32-bit sum to 0.
_SHIFT_MIN, _SHIFT_MAX = -128, 127


def scale_record(scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Float32 scales as integers: ``scale = mantissa * 2**shift``, exactly.

    Parameters
    ----------
    scale : float32 array
        Finite, not negative.

    Returns
    -------
    mantissa : int64 array
        24 bits with the leading one set, or 0.
    shift : int64 array
        -128 to 127. Scales that need less become 0: with 31 bits of sum they cannot reach half a step.

    Raises
    ------
    ValueError
        If a scale is negative, infinite or not a number.
    """
    scale = np.asarray(scale, np.float32)
    if not np.all(np.isfinite(scale) & (scale >= 0)):
        raise ValueError("a scale is negative, infinite or not a number")
    # Doubles hold every float32, subnormal ones too, as a normal number.
    fraction, exponent = np.frexp(scale.astype(np.float64))
    mantissa = (fraction * 2**24).astype(np.int64)
    shift = exponent.astype(np.int64) - 24
    zero = (mantissa == 0) | (shift < _SHIFT_MIN)
    return np.where(zero, 0, mantissa), np.where(zero, 0, shift)


def fold_zero_point(bias: np.ndarray, weights: np.ndarray, zero_point: int) -> np.ndarray:
    """Bias with which raw activations give the sum over ``x - zero_point``.

    ``sum((x - z) * w) + b = sum(x * w) + (b - z * sum(w))``, wrapped to 32 bits as the engine's sums are.

    Parameters
    ----------
    bias : int array, shape (outputs,)
    weights : int array, shape (depth, outputs)
    zero_point : int

    Returns
    -------
    int32 array, shape (outputs,)
    """
    folded = bias.astype(np.int64) - zero_point * weights.sum(axis=0, dtype=np.int64)
    return folded.astype(np.uint64).astype(np.uint32).view(np.int32)


def _tflm(layer: MacLayer) -> tuple[np.ndarray, np.ndarray]:
    multiplier = np.asarray(layer.scaling["multiplier"], np.int64)
    shift = np.asarray(layer.scaling["shift"], np.int64)
    if np.any((multiplier < 0) | (multiplier >= 2**31) | (shift > 30)):
        raise ValueError("a multiplier lies outside [0, 2**31) or a shift above 30")
    # As TFLite does: below 2**-31 nothing is left.
    zero = (multiplier == 0) | (shift < -31)
    return np.where(zero, 0, multiplier), np.where(zero, 0, shift)


def params(layer: MacLayer, profile: Profile) -> np.ndarray:
    """Records of a layer, as `cimarron.isa.PARAM_BYTES` lays them out.

    Returns
    -------
    uint8 array, shape (outputs, PARAM_BYTES)

    Raises
    ------
    CompileError
        If the layer's scales cannot be expressed.
    """
    words = np.zeros((layer.outputs, PARAM_BYTES // 4), np.int64)
    words[:, 0] = fold_zero_point(layer.bias, layer.weights, layer.x_zero_point)
    if layer.y.dtype != np.int32:
        try:
            if profile is Profile.ONNX:
                words[:, 1], words[:, 2] = scale_record(layer.scaling["scale"])
            else:
                words[:, 1], words[:, 2] = _tflm(layer)
        except ValueError as error:
            raise CompileError(f"layer {layer.name!r} cannot be requantised: {error}; quantise it again") from None
    return (words & 0xFFFF_FFFF).astype("<u4").view(np.uint8)
