"""Scales of TFLite models in the fixed-point form its kernels compute with."""

import math

import numpy as np

from ..graph import Quantization
from .model import ModelError, Unsupported

__all__ = ["activation_range", "multiplier", "multipliers"]

#: Bounds of fused activation functions, by TFLite's number: none, ReLU, ReLU limited to -1 to 1, ReLU6.
_BOUNDS = {0: (-math.inf, math.inf), 1: (0.0, math.inf), 2: (-1.0, 1.0), 3: (0.0, 6.0)}


def multiplier(label: str, real: float) -> tuple[int, int]:
    """A positive factor as ``mantissa * 2**(shift - 31)``, with 31 bits of mantissa.

    Parameters
    ----------
    label : str
        Of the operator, for sentences.
    real : float

    Returns
    -------
    mantissa, shift : int
        ``(0, 0)`` where the shift would be below -31, as TFLite has it.

    Raises
    ------
    ModelError
        If the factor is 2**30 or more, or not a number.
    """
    if not math.isfinite(real):
        raise ModelError(f"{label} scales its sums by {real}, not by a number: quantise the model again")
    fraction, shift = math.frexp(real)
    mantissa = math.floor(fraction * (1 << 31) + 0.5)
    if mantissa == 1 << 31:
        mantissa, shift = 1 << 30, shift + 1
    if shift > 30:
        raise ModelError(f"{label} scales its sums by {real:.3g}, not by less than 2**30: quantise the model again")
    return (mantissa, shift) if shift >= -31 else (0, 0)


def multipliers(label: str, reals: np.ndarray) -> dict[str, np.ndarray]:
    """Attributes ``multiplier`` and ``shift`` for several factors: int32 arrays of their shape."""
    pairs = np.array([multiplier(label, float(real)) for real in reals.reshape(-1)], np.int32)
    return {"multiplier": pairs[:, 0].reshape(reals.shape), "shift": pairs[:, 1].reshape(reals.shape)}


def activation_range(activation: int, quantization: Quantization, dtype: np.dtype) -> dict[str, int]:
    """Attributes ``clamp_min`` and ``clamp_max`` of a fused activation function.

    Parameters
    ----------
    activation : int
        TFLite's number.
    quantization : Quantization
        Of the output, for the whole tensor.
    dtype : numpy dtype
        Of the output.

    Raises
    ------
    Unsupported
        If the function is not a clamp.
    """
    if activation not in _BOUNDS:
        raise Unsupported("its activation function is not a clamp", "use ReLU or ReLU6")
    limits, clamps = np.iinfo(dtype), []
    for bound, limit in zip(_BOUNDS[activation], (limits.min, limits.max), strict=True):
        # Half away from zero, of a quotient in float32.
        steps = float(np.float32(bound) / quantization.scale)
        steps = math.copysign(math.floor(abs(steps) + 0.5), steps) if math.isfinite(steps) else steps
        wanted = steps + float(quantization.zero_point)
        clamps.append(int(min(max(wanted, limits.min), limits.max)) if math.isfinite(wanted) else int(limit))
    return {"clamp_min": clamps[0], "clamp_max": clamps[1]}
