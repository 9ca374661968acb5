"""Fixed-point functions of gemmlowp: numbers of 31 bits and a sign, `b` of them integer bits (format Qb).

Raw integers come and go as int64 arrays that hold int32; the value is ``raw * 2**(b - 31)``. Source:
gemmlowp, ``fixedpoint/fixedpoint.h``; constants are derived, not copied.
"""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["exp_negative", "multiply", "reciprocal", "round_shift"]

_MAX, _MIN = (1 << 31) - 1, -(1 << 31)
_Ints = NDArray[np.int64]


def _fixed(real: float, integer_bits: int) -> int:
    """`real` in format Qb."""
    return math.floor(real * 2.0 ** (31 - integer_bits) + 0.5)


def multiply(a: _Ints, b: _Ints | int) -> _Ints:
    """Product of Qa and Qb in Q(a+b), half up: SaturatingRoundingDoublingHighMul, whose one overflow never occurs."""
    product = a * b
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    return np.where(nudged >= 0, nudged >> 31, -(-nudged >> 31))


def round_shift(a: _Ints, places: int | _Ints) -> _Ints:
    """``a / 2**places``, half away from zero."""
    half = (np.int64(1) << places) >> 1
    return np.sign(a) * ((np.abs(a) + half) >> places)


def _saturating_left(a: _Ints, places: int) -> _Ints:
    return np.clip(a << places, _MIN, _MAX)


def exp_negative(a: _Ints) -> _Ints:
    """``exp(a)`` for a in Q5, not positive; in Q0."""
    # a = -remainder - (0 to 1/4): a polynomial for the small part, a factor for each bit of the remainder.
    quarter = 1 << 24
    small = (a & (quarter - 1)) - quarter
    remainder = small - a
    x = (small << 5) + (1 << 28)
    x2 = multiply(x, x)
    x3, x4 = multiply(x2, x), multiply(x2, x2)
    higher = round_shift(multiply(round_shift(x4, 2) + x3, _fixed(1 / 3, 0)) + x2, 1)
    centre = _fixed(math.exp(-1 / 8), 0)
    result = centre + multiply(x + higher, centre)
    for exponent in range(-2, 5):
        bit = remainder & (1 << (26 + exponent))
        result = np.where(bit != 0, multiply(result, _fixed(math.exp(-(2.0**exponent)), 0)), result)
    return np.where(a == 0, _MAX, result)


def reciprocal(a: _Ints) -> _Ints:
    """``1 / (1 + a)`` for a in Q0, 0 to 1; in Q0. Newton's method, three steps."""
    half_denominator = (a + _MAX + 1) >> 1
    x = _fixed(48 / 17, 2) + multiply(half_denominator, _fixed(-32 / 17, 2))
    for _ in range(3):
        rest = (1 << 29) - multiply(half_denominator, x)
        x = x + _saturating_left(multiply(x, rest), 2)
    return _saturating_left(x, 1)
