"""Carry-less products of the macro: polynomials over GF(2)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["carryless_products"]


def carryless_products(x: ArrayLike, w: ArrayLike) -> NDArray[np.int64]:
    """XOR over i of the carry-less products of ``x[i]`` and ``w[i, j]``.

    The bits of a number are the coefficients of a polynomial over GF(2), the lowest first.

    Parameters
    ----------
    x : integer array, shape (..., rows)
        Not negative.
    w : integer array, shape (rows, outputs)
        Not negative.

    Returns
    -------
    int64 array, shape (..., outputs)

    Raises
    ------
    ValueError
        If the shapes do not match, a number is negative, or a product could leave int64.
    """
    x, w = np.asarray(x, np.int64), np.asarray(w, np.int64)
    if x.ndim < 1 or w.ndim != 2 or x.shape[-1] != w.shape[0]:
        raise ValueError(
            f"x of shape {x.shape} cannot multiply w of shape {w.shape}: x needs w's first axis as its last"
        )
    if min(x.min(initial=0), w.min(initial=0)) < 0:
        raise ValueError("polynomials over GF(2) have no sign: x and w must not be negative")
    lengths = [int(operand.max(initial=0)).bit_length() for operand in (x, w)]
    if sum(lengths) > 63:
        raise ValueError(f"products of {lengths[0]} x {lengths[1]} bits could leave int64")
    y = np.zeros((*x.shape[:-1], w.shape[1]), np.int64)
    for bit in range(lengths[0]):
        chosen = np.where((x >> bit & 1)[..., :, np.newaxis] == 1, w << bit, 0)
        y ^= np.bitwise_xor.reduce(chosen, axis=-2)
    return y
