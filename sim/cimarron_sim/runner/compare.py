"""Compares what the hardware computed with what it must compute."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .simulation import Inference

__all__ = ["Mismatch", "compare_arrays", "compare_inference"]


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """A tensor that differs; equality is exact, there is no tolerance.

    Parameters
    ----------
    sample : int
        Number of the input.
    layer : str
        The layer whose output differs.
    index : tuple of int
        First element that differs, in row-major order.
    expected, got : int
        That element.
    count, size : int
        Elements that differ, and elements there are.
    """

    sample: int
    layer: str
    index: tuple[int, ...]
    expected: int
    got: int
    count: int
    size: int

    def __str__(self) -> str:
        index = ", ".join(map(str, self.index))
        return (
            f"sample {self.sample}, layer {self.layer!r}, index [{index}]: expected {self.expected}, got {self.got}"
            f" ({self.count} of {self.size} values differ)"
        )


def compare_arrays(sample: int, layer: str, expected: np.ndarray, got: np.ndarray) -> Mismatch | None:
    """The mismatch between two integer arrays, or None.

    Raises
    ------
    ValueError
        If shape or dtype differ: then they are not the same tensor.
    """
    if expected.shape != got.shape or expected.dtype != got.dtype:
        raise ValueError(
            f"layer {layer!r} is {expected.dtype} {expected.shape} in the reference, but {got.dtype} {got.shape} here"
        )
    wrong = np.argwhere(expected != got)
    if not len(wrong):
        return None
    index = tuple(int(axis) for axis in wrong[0])
    return Mismatch(
        sample=sample,
        layer=layer,
        index=index,
        expected=int(expected[index]),
        got=int(got[index]),
        count=len(wrong),
        size=expected.size,
    )


def compare_inference(
    sample: int, inference: Inference, expected: Mapping[str, np.ndarray], output: str
) -> list[Mismatch]:
    """Every tensor of one inference that differs from the reference.

    Parameters
    ----------
    sample : int
        Number of the input, for the messages.
    inference : Inference
    expected : dict of str to array
        The reference's tensors by name.
    output : str
        Name of the output tensor.

    Returns
    -------
    list of Mismatch
        In the order of execution, so that the first is where things went wrong; the output in memory comes last.
    """
    found = [compare_arrays(sample, layer.name, expected[layer.tensor], layer.output) for layer in inference.layers]
    found.append(compare_arrays(sample, "output in memory", expected[output], inference.output))
    return [mismatch for mismatch in found if mismatch is not None]
