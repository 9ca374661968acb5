"""The order in which ONNX Runtime adds float32 numbers, which decides how their sum is rounded.

An order is a program for a stack: an index puts that number on top, `ADD` replaces the upper two by their sum. What is
left is the sum of all numbers.
"""

from collections.abc import Sequence

import numpy as np

__all__ = ["ADD", "Order", "depth", "in_packets", "in_sequence", "summed", "terms_added"]

Order = tuple[int, ...]

ADD = -1

#: Numbers that are added at once.
_LANES = 4


def _chain(first: Sequence[int], others: Sequence[int]) -> list[int]:
    """Numbers added to what `first` leaves, one after the other."""
    return [*first, *(word for index in others for word in (index, ADD))]


def in_sequence(count: int) -> Order:
    """One number after the other, as ONNX Runtime's quantised pools add."""
    return tuple(_chain([0], range(1, count)))


def in_packets(count: int, lead: int) -> Order:
    """As ONNX Runtime's ReduceMean adds numbers that are neighbours, with the sum of Eigen's vectors.

    Packets of four are added to two sums in turn, then these two, the last packet if their number is odd, and what the
    four lanes hold. The numbers before the first packet and behind the last one follow.

    Parameters
    ----------
    count : int
    lead : int
        Numbers before the first whose address is a multiple of four numbers, 0 to 3.
    """
    lead = min(lead, count)
    packets = (count - lead) // _LANES
    if packets == 0:
        return in_sequence(count)

    def lane(number: int) -> list[int]:
        first = lead + number
        even, odd = (range(first + _LANES * start, first + 2 * _LANES * (packets // 2), 2 * _LANES) for start in (0, 1))
        sums = [*_chain([even[0]], even[1:]), *_chain([odd[0]], odd[1:]), ADD] if packets > 1 else [first]
        return _chain(sums, [first + _LANES * (packets - 1)]) if packets > 1 and packets % 2 else sums

    lanes = [*lane(0), *lane(2), ADD, *lane(1), *lane(3), ADD, ADD]
    return tuple(_chain(lanes, [*range(lead), *range(lead + _LANES * packets, count)]))


def summed(order: Order, values: np.ndarray) -> np.ndarray:
    """The sum over the first axis, rounded after each addition.

    Parameters
    ----------
    order : tuple of int
    values : float32 array, shape (n, ...)

    Returns
    -------
    float32 array, shape (...)
    """
    stack: list[np.ndarray] = []
    for word in order:
        if word == ADD:
            upper = stack.pop()
            stack[-1] = stack[-1] + upper
        else:
            stack.append(values[word])
    return stack[0]


def depth(order: Order) -> int:
    """Numbers that lie on the stack at most."""
    heights = np.cumsum([-1 if word == ADD else 1 for word in order])
    return int(heights.max())


def terms_added(order: Order) -> int:
    """Numbers below all additions, counted once for each: what bounds the sum of their roundings."""
    total, stack = 0, []
    for word in order:
        if word == ADD:
            stack[-2:] = [sum(stack[-2:])]
            total += stack[-1]
        else:
            stack.append(1)
    return total
