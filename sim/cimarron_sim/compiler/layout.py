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
        Weight stream of each layer, then constants.
    input, output, spilled : int
        The image ends where the input begins; spilled tensors lie behind the output.
    memory_bytes : int
        What the program uses altogether.
    """

    jobs: int
    streams: tuple[int, ...]
    input: int
    output: int
    spilled: int
    memory_bytes: int


def lay_out(
    steps_bytes: int,
    jobs_bytes: int,
    stream_bytes: Sequence[int],
    *,
    input_bytes: int,
    output_bytes: int,
    spilled_bytes: int,
    port_bytes: int,
) -> Layout:
    """Header, steps, descriptors, streams, input, output, spilled tensors; each begins with a beat of the memory port.

    Parameters
    ----------
    steps_bytes, jobs_bytes : int
    stream_bytes : sequence of int
        Of each layer, then of each constant.
    input_bytes, output_bytes, spilled_bytes : int
    port_bytes : int
        Bytes per beat.
    """
    streams = []
    jobs = align(HEADER_BYTES + steps_bytes, port_bytes)
    offset = align(jobs + jobs_bytes, port_bytes)
    for size in stream_bytes:
        streams.append(offset)
        offset = align(offset + size, port_bytes)
    output = align(offset + input_bytes, port_bytes)
    end = align(output + output_bytes, 4)
    spilled = align(end, port_bytes)
    memory_bytes = align(spilled + spilled_bytes, 4) if spilled_bytes else end
    return Layout(jobs, tuple(streams), offset, output, spilled, memory_bytes)
