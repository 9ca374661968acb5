"""Numbers as bit planes, the order in which adder trees take them."""

from collections.abc import Sequence

__all__ = ["pack_planes", "unpack_planes"]


def pack_planes(numbers: Sequence[Sequence[int]], bits: int) -> int:
    """Planes of ``numbers[row][word]``: bit k of word j of row r at ``(r * bits + k) * words + j``."""
    planes = [
        sum((number >> bit & 1) << word for word, number in enumerate(row)) for row in numbers for bit in range(bits)
    ]
    words = len(numbers[0])
    return sum(plane << index * words for index, plane in enumerate(planes))


def unpack_planes(value: int, rows: int, words: int, bits: int) -> list[list[int]]:
    """Numbers of each row and word; the inverse of `pack_planes`."""
    return [
        [sum((value >> (row * bits + bit) * words + word & 1) << bit for bit in range(bits)) for word in range(words)]
        for row in range(rows)
    ]
