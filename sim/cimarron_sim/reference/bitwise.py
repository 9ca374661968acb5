"""Bitwise operations of the macro: words compared with a vector, bit by bit, and the nearest one."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["BITWISE", "best_match", "bit_counts"]

#: Operations on bit strings, by name.
BITWISE = ("and", "xor", "xnor")


def bit_counts(operation: str, x: ArrayLike, w: ArrayLike, bits: int) -> NDArray[np.int64]:
    """Ones in ``x[i] operation w[i, j]`` over the lowest ``bits`` bits, summed over i.

    With ``xor`` this is the Hamming distance of the words j from x. With ``xnor`` it is the number of bits that agree,
    from which the dot product of vectors of -1 and 1 follows as ``2 * count - rows * bits``.

    Parameters
    ----------
    operation : {"and", "xor", "xnor"}
    x : integer array, shape (..., rows)
        Only the lowest ``bits`` bits count, so signs do not matter.
    w : integer array, shape (rows, outputs)
    bits : int
        Bits of each number that are compared, 1 to 63.

    Returns
    -------
    int64 array, shape (..., outputs)

    Raises
    ------
    ValueError
        If there is no such operation, or the shapes do not match.
    """
    x, w = np.asarray(x, np.int64), np.asarray(w, np.int64)
    if operation not in BITWISE:
        raise ValueError(f"operation must be and, xor or xnor, not {operation!r}")
    if x.ndim < 1 or w.ndim != 2 or x.shape[-1] != w.shape[0]:
        raise ValueError(f"x of shape {x.shape} cannot meet w of shape {w.shape}: x needs w's first axis as its last")
    a, b = x[..., :, np.newaxis], w
    strings = {"and": a & b, "xor": a ^ b, "xnor": ~(a ^ b)}[operation] & (1 << bits) - 1
    return np.bitwise_count(strings).sum(axis=-2, dtype=np.int64)


def best_match(distances: ArrayLike) -> tuple[int, int]:
    """Index and value of the least distance; of equal ones, the first.

    Parameters
    ----------
    distances : integer array, shape (outputs,)
    """
    index = int(np.argmin(distances))
    return index, int(np.asarray(distances)[index])
