"""Places the activations of a network in the activation buffer."""

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import CompileError

__all__ = ["Buffer", "Misfit", "place"]

#: Orders that are tried: finding the best is as hard as packing bins.
_ORDERS = 200


class Misfit(CompileError):
    """Activations that do not fit the buffer together."""


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
            raise Misfit(
                f"{step} needs {need} bytes of activation buffer at once ({parts}), there are {capacity}:"
                f" choose a configuration with a larger act_buffer_bytes"
            )


def _first_fit(order: Sequence[Buffer], alignment: int) -> dict[str, int]:
    """Addresses for buffers, each at the lowest that is free of those before it while it is needed."""
    addresses: dict[str, int] = {}
    placed: list[Buffer] = []
    for buffer in order:
        address = 0
        for other in sorted(filter(buffer.meets, placed), key=lambda other: addresses[other.name]):
            if address + buffer.size <= addresses[other.name]:
                break
            address = max(address, -(-(addresses[other.name] + other.size) // alignment) * alignment)
        addresses[buffer.name] = address
        placed.append(buffer)
    return addresses


def place(buffers: Sequence[Buffer], steps: Sequence[str], *, capacity: int, alignment: int) -> dict[str, int]:
    """Addresses for buffers: largest first, and before all others those that found no place that way.

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
    Misfit
        If they do not fit, or no order is found in which they do.
    """
    _check_steps(buffers, steps, capacity, alignment)
    order = sorted(buffers, key=lambda buffer: (-buffer.size, buffer.first, buffer.name))
    outside: list[Buffer] = []
    for _ in range(_ORDERS):
        addresses = _first_fit(order, alignment)
        outside = [buffer for buffer in order if addresses[buffer.name] + buffer.size > capacity]
        if not outside:
            return addresses
        order.remove(outside[0])
        order.insert(0, outside[0])
    raise Misfit(
        f"activation {outside[0].name!r} of {outside[0].size} bytes finds no gap in the {capacity} bytes of the"
        f" activation buffer in {_ORDERS} orders of placing: choose a configuration with a larger act_buffer_bytes"
    )
