"""From 32-bit accumulators to 8-bit outputs, in the two roundings that models are trained for.

Both profiles scale the accumulator by a positive real and round to an integer; they differ in how the real is
stored and in how often, and which way, they round.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["narrow", "quantize_multiplier", "requantise_onnx", "requantise_tflm"]


def quantize_multiplier(real: float) -> tuple[int, int]:
    """Fixed-point form of a scale, as TFLite's ``QuantizeMultiplier``.

    Parameters
    ----------
    real : float
        Scale as a double, 0 or positive: ``double(input) * double(weight) / double(output)`` scale.

    Returns
    -------
    multiplier : int
        ``round(fraction * 2**31)`` of ``frexp(real)``, half away from zero: 2**30 to 2**31 - 1, or 0.
    shift : int
        Exponent, left if positive, -31 to 30: ``real`` is about ``multiplier * 2**(shift - 31)``.
        Scales that would need a shift below -31 become ``(0, 0)``.

    Raises
    ------
    ValueError
        If the scale is negative, not finite or at least 2**30.
    """
    if not math.isfinite(real) or real < 0:
        raise ValueError(f"Scale must be finite and not negative, not {real!r}")
    fraction, shift = math.frexp(real)
    multiplier = math.floor(fraction * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier //= 2
        shift += 1
    if shift > 30:
        raise ValueError(f"Scale must be below 2**30 to fit a left shift of 30, not {real!r}")
    return (0, 0) if shift < -31 else (multiplier, shift)


def requantise_tflm(acc: ArrayLike, multiplier: ArrayLike, shift: ArrayLike) -> NDArray[np.int32]:
    """Scale accumulators as gemmlowp's ``MultiplyByQuantizedMultiplier``, rounding twice.

    Parameters
    ----------
    acc : int array, any shape
        Accumulators that fit int32, bias included.
    multiplier : int or int array that broadcasts with acc
        0 to 2**31 - 1, a fraction of 2**31.
    shift : int or int array that broadcasts with acc
        -31 to 30, left if positive. A left shift wraps as int32.

    Returns
    -------
    int32 array, shape of the operands broadcast
        Scaled accumulators, before zero point and clamp.

    Raises
    ------
    ValueError
        If an operand is out of its range.
    """
    acc, multiplier, shift = (np.asarray(operand, np.int64) for operand in (acc, multiplier, shift))
    for name, operand, low, high in (
        ("Accumulators", acc, -(2**31), 2**31 - 1),
        ("Multipliers", multiplier, 0, 2**31 - 1),
        ("Shifts", shift, -31, 30),
    ):
        if np.any((operand < low) | (operand > high)):
            raise ValueError(f"{name} must lie in [{low}, {high}], not {operand.min()} to {operand.max()}")

    shifted = (acc << np.maximum(shift, 0)).astype(np.int32).astype(np.int64)

    # SaturatingRoundingDoublingHighMul: C's division truncates, so half rounds up. Only a negative factor saturates.
    product = shifted * multiplier
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    high = np.where(nudged >= 0, nudged >> 31, -(-nudged >> 31))

    # RoundingDivideByPOT: half rounds away from zero.
    right = np.maximum(-shift, 0)
    mask = (np.int64(1) << right) - 1
    threshold = (mask >> 1) + (high < 0)
    return ((high >> right) + ((high & mask) > threshold)).astype(np.int32)


def requantise_onnx(acc: ArrayLike, scale: ArrayLike) -> NDArray[np.float32]:
    """Scale accumulators as ONNX Runtime: in float32, each step rounded to nearest even.

    Parameters
    ----------
    acc : int array, any shape
        Accumulators that fit int32, bias included.
    scale : float or float array that broadcasts with acc
        Scale, rounded to float32 before use.

    Returns
    -------
    float32 array, shape of the operands broadcast
        Integers as float32, before zero point and clamp; a product beyond float32 is infinite.

    Raises
    ------
    ValueError
        If an accumulator does not fit int32, or a scale is negative or not a finite float32.
    """
    acc = np.asarray(acc, np.int64)
    if np.any((acc < -(2**31)) | (acc >= 2**31)):
        raise ValueError(f"Accumulators must fit int32, not {acc.min()} to {acc.max()}")
    with np.errstate(over="ignore"):
        scale = np.asarray(scale, np.float32)
        if not np.all(np.isfinite(scale) & (scale >= 0)):
            raise ValueError("Scales must be finite in float32 and not negative")
        return np.rint(acc.astype(np.float32) * scale)


def narrow(
    value: ArrayLike, zero_point: int, clamp_min: int, clamp_max: int, dtype: type[np.int8 | np.uint8] = np.int8
) -> NDArray[np.integer]:
    """Add the zero point and clamp; ReLU and ReLU6 are clamps.

    Parameters
    ----------
    value : int32 or float32 array, any shape
        Integers from `requantise_tflm` or `requantise_onnx`.
    zero_point, clamp_min, clamp_max : int
        In the output's format, ``clamp_min <= clamp_max``.
    dtype : int8 or uint8
        Output format.

    Returns
    -------
    array of dtype, shape of value

    Raises
    ------
    ValueError
        If a bound or the zero point does not fit the format, or the bounds are crossed.
    """
    info = np.iinfo(dtype)
    for name, number in (("Zero point", zero_point), ("Lower clamp", clamp_min), ("Upper clamp", clamp_max)):
        if not info.min <= number <= info.max:
            raise ValueError(f"{name} must fit {info.dtype}, not {number}")
    if clamp_min > clamp_max:
        raise ValueError(f"Lower clamp {clamp_min} must not exceed upper clamp {clamp_max}")
    # A double holds every int32 plus a zero point, and the infinities that float32 products overflow to.
    return np.clip(np.asarray(value, np.float64) + zero_point, clamp_min, clamp_max).astype(dtype)
