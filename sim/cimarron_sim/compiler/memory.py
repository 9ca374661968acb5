"""Places the activations of a network in the activation buffer."""

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import CompileError

__all__ = ["Buffer", "place"]


@dataclass(frozen=True, kw_only=True)
class Buffer:
    """Bytes that are needed from one step of a schedule to another.

    Parameters
    ----------
    name : str
    size : int
        Bytes.
    first, last : int
        Steps that write it first and read it last; in both nothing else may lie there.
    """

    name: str
    size: int
    first: int
    last: int

    def meets(self, other: "Buffer") -> bool:
        """Whether both are needed in some step."""
        return self.first <= other.last and other.first <= self.last


def _check_steps(buffers: Sequence[Buffer], steps: Sequence[str], capacity: int, alignment: int) -> None:
    for index, step in enumerate(steps):
        alive = [buffer for buffer in buffers if buffer.first <= index <= buffer.last]
        need = sum(-(-buffer.size // alignment) * alignment for buffer in alive)
        if need > capacity:
            parts = ", ".join(f"{buffer.name!r} {buffer.size}" for buffer in alive)
            raise CompileError(
                f"{step} needs {need} bytes of activation buffer at once ({parts}), there are {capacity}:"
                f" choose a configuration with a larger act_buffer_bytes"
            )


def place(buffers: Sequence[Buffer], steps: Sequence[str], *, capacity: int, alignment: int) -> dict[str, int]:
    """Addresses for buffers, largest first, each at the lowest address that is free while it is needed.

    Parameters
    ----------
    buffers : sequence of Buffer
    steps : sequence of str
        What each step is called in an error.
    capacity : int
        Bytes there are.
    alignment : int
        Addresses are multiples of this many bytes.

    Returns
    -------
    dict of str to int
        Byte address of every buffer.

    Raises
    ------
    CompileError
        If they do not fit.
    """
    _check_steps(buffers, steps, capacity, alignment)
    addresses: dict[str, int] = {}
    placed: list[Buffer] = []
    for buffer in sorted(buffers, key=lambda buffer: (-buffer.size, buffer.first, buffer.name)):
        address = 0
        for other in sorted(filter(buffer.meets, placed), key=lambda other: addresses[other.name]):
            if address + buffer.size <= addresses[other.name]:
                break
            address = max(address, -(-(addresses[other.name] + other.size) // alignment) * alignment)
        if address + buffer.size > capacity:
            raise CompileError(
                f"activation {buffer.name!r} of {buffer.size} bytes finds no gap in the {capacity} bytes of the"
                f" activation buffer: choose a configuration with a larger act_buffer_bytes"
            )
        addresses[buffer.name] = address
        placed.append(buffer)
    return addresses
