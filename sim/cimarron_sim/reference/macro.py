"""What the compute-in-memory macro must answer."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["dot_products"]


def dot_products(x: ArrayLike, w: ArrayLike) -> NDArray[np.int64]:
    """``y[..., j] = sum(x[..., i] * w[i, j])``, exactly.

    Parameters
    ----------
    x : integer array, shape (..., rows)
        Activations of one operation, or of several.
    w : integer array, shape (rows, outputs)
        Weights.

    Returns
    -------
    int64 array, shape (..., outputs)

    Raises
    ------
    TypeError
        If an operand does not hold integers.
    ValueError
        If the shapes do not match, or a sum could leave int64.
    """
    x, w = np.asarray(x), np.asarray(w)
    for name, operand in (("x", x), ("w", w)):
        if operand.dtype.kind not in "iu":
            raise TypeError(f"{name} must hold integers, not {operand.dtype}")
    if x.ndim < 1 or w.ndim != 2 or x.shape[-1] != w.shape[0]:
        raise ValueError(
            f"x of shape {x.shape} cannot multiply w of shape {w.shape}: x needs w's first axis as its last"
        )
    largest = [
        max((abs(int(value)) for value in (operand.min(), operand.max())), default=0) if operand.size else 0
        for operand in (x, w)
    ]
    if largest[0] * largest[1] * w.shape[0] >= 2**63:
        raise ValueError(f"{w.shape[0]} products up to {largest[0]} x {largest[1]} could leave int64")
    return x.astype(np.int64) @ w.astype(np.int64)
