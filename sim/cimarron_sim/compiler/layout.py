"""Where everything lies in the memory of a program."""

from collections.abc import Sequence
from dataclasses import dataclass

from .image import HEADER_BYTES, align

__all__ = ["Layout", "lay_out"]


@dataclass(frozen=True)
class Layout:
    """Byte offsets from the start of the image.

    Parameters
    ----------
    jobs : int
        First job descriptor.
    streams : tuple of int
        Weight stream of each layer.
    input, output : int
        The image ends where the input begins.
    memory_bytes : int
        What the program uses altogether.
    """

    jobs: int
    streams: tuple[int, ...]
    input: int
    output: int
    memory_bytes: int


def lay_out(
    steps_bytes: int,
    jobs_bytes: int,
    stream_bytes: Sequence[int],
    *,
    input_bytes: int,
    output_bytes: int,
    port_bytes: int,
) -> Layout:
    """Header, steps, descriptors, streams, input, output; what the memory port reads begins with one of its beats.

    Parameters
    ----------
    steps_bytes, jobs_bytes : int
    stream_bytes : sequence of int
        Of each layer.
    input_bytes, output_bytes : int
    port_bytes : int
        Bytes per beat.
    """
    streams = []
    jobs = align(HEADER_BYTES + steps_bytes, port_bytes)
    offset = align(jobs + jobs_bytes, port_bytes)
    for size in stream_bytes:
        streams.append(offset)
        offset = align(offset + size, port_bytes)
    # The firmware copies the output word by word.
    output = align(offset + input_bytes, 4)
    return Layout(jobs, tuple(streams), offset, output, align(output + output_bytes, 4))
