"""The engine's arithmetic, for what is computed ahead of time."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["exponential", "high_multiply", "requantise", "requantise_channels", "shift_right"]


def high_multiply(a: np.ndarray, b: np.ndarray | int) -> np.ndarray:
    """``a * b / 2**31`` to the nearest integer, halves up, for int32 values in int64: gemmlowp's high multiply."""
    return a * b + (1 << 30) >> 31


def shift_right(a: np.ndarray, places: int) -> np.ndarray:
    """``a / 2**places`` to the nearest integer, halves away from zero."""
    half = (1 << places) >> 1
    return np.where(a < 0, -(-a + half >> places), a + half >> places)


def requantise(acc: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    """``acc * multiplier * 2**(shift - 31)``, rounded twice as TFLite does.

    Parameters
    ----------
    acc : int64 array
        Values of int32; a shift to the left wraps.
    multiplier : int
        0 to 2**31 - 1.
    shift : int
        Left if positive.

    Returns
    -------
    int64 array
    """
    wide = (acc << max(shift, 0)).astype(np.int32).astype(np.int64)
    return shift_right(high_multiply(wide, multiplier), max(-shift, 0))


def requantise_channels(
    scaling: Mapping[str, np.ndarray], sums: np.ndarray, zero_point: int, clamps: Sequence[int]
) -> np.ndarray:
    """What the engine makes of sums, in either profile.

    Parameters
    ----------
    scaling : dict of str to array, shape (outputs,)
        ``scale``, or ``multiplier`` and ``shift``: see `cimarron_sim.graph`.
    sums : int64 array, shape (outputs, n)
        Values of int32, bias included.
    zero_point : int
    clamps : two int

    Returns
    -------
    int64 array, shape (outputs, n)
    """
    if "scale" in scaling:
        with np.errstate(over="ignore"):
            steps = np.rint(sums.astype(np.float32) * scaling["scale"][:, np.newaxis]).astype(np.float64)
    else:
        pairs = zip(scaling["multiplier"].tolist(), scaling["shift"].tolist(), strict=True)
        steps = np.stack([requantise(row, *pair) for row, pair in zip(sums, pairs, strict=True)])
    return np.clip(steps + zero_point, clamps[0], clamps[1]).astype(np.int64)


def exponential(a: np.ndarray) -> np.ndarray:
    """``exp(a * 2**-26) * 2**31`` as gemmlowp computes it, for int64 numbers from -2**31 to 0.

    A polynomial of the fourth degree around -1/8 for the quarter next to 0, and a factor for each further bit.
    """
    first = (a & (1 << 24) - 1) - (1 << 24)
    x = (first << 5) + (1 << 28)
    square = high_multiply(x, x)
    tail = shift_right(high_multiply(square, square), 2) + high_multiply(square, x)
    series = x + shift_right(high_multiply(tail, round(2**31 / 3)) + square, 1)
    centre = round(math.exp(-1 / 8) * 2**31)
    result = centre + high_multiply(series, centre)
    for bit in range(24, 31):
        factor = round(math.exp(-(2.0 ** (bit - 26))) * 2**31)
        result = np.where((first - a) >> bit & 1, high_multiply(result, factor), result)
    return np.where(a == 0, (1 << 31) - 1, result)
