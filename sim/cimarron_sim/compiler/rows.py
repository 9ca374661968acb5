"""Which bytes of a tensor the rows of a layer read and write."""

from collections.abc import Mapping
from typing import Protocol

__all__ = ["RowLayer", "Span", "join"]

#: First byte of a tensor, and the one behind the last.
Span = tuple[int, int]


class RowLayer(Protocol):
    """A layer that can compute some rows of its output at a time.

    A row is whatever is convenient for the layer: a line of pixels, or of blocks of them; a few bytes of an elementwise
    operator. Those of a batch are counted through all images.
    """

    @property
    def rows(self) -> int:
        """How many there are."""
        ...

    def reads(self, rows: range) -> Mapping[str, Span]:
        """Bytes of each input tensor that the rows depend on; an input that none of them reads is missing."""
        ...

    def writes(self, rows: range) -> Span:
        """Bytes of the output tensor that the rows are."""
        ...


def join(spans: dict[str, Span], name: str, span: Span) -> None:
    """Extend a tensor's span by another one."""
    if span[0] < span[1]:
        low, high = spans.get(name, span)
        spans[name] = min(low, span[0]), max(high, span[1])
