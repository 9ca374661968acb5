"""Functions that never fall, as the places where they rise."""

from collections.abc import Callable

import numpy as np

__all__ = ["first_reaching"]


def first_reaching(
    function: Callable[[np.ndarray], np.ndarray],
    values: np.ndarray,
    low: int | np.ndarray,
    high: int | np.ndarray,
) -> np.ndarray:
    """The first input at which a function that never falls is as large as each value, by bisection.

    Parameters
    ----------
    function : callable
        From an int64 array of inputs, of the result's shape, to its values.
    values : int array, shape (n,)
    low, high : int or int64 array, shape (m, 1)
        First and last input.

    Returns
    -------
    int64 array, shape (n,) or (m, n)
        One behind `high` where the function never gets there.
    """
    shape = np.broadcast_shapes(values.shape, np.shape(low), np.shape(high))
    below, reached = (np.array(np.broadcast_to(end, shape), np.int64) for end in (low, high))
    below -= 1
    reached += 1
    while np.any(is_open := reached - below > 1):
        middle = np.where(is_open, below + reached >> 1, np.minimum(reached, high))
        rises = function(middle) >= values
        below, reached = np.where(is_open & ~rises, middle, below), np.where(is_open & rises, middle, reached)
    return reached
