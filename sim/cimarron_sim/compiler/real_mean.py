"""Means of float32 numbers, whose roundings depend on the order of the additions, in integers.

All roundings together move a mean by less than a bound, so for most sums of integers the output is certain. Where it is
for all sums, one multiplier may give it; where it is not, two give an output that is never too large and one that is
never too small.
"""

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ..graph import Node, Tensor
from ..summation import Order, in_packets, in_sequence, terms_added
from .errors import CompileError
from .fixed_point import requantise_channels
from .staircase import first_reaching
from .table import limits, scale_of

__all__ = ["Bounds", "RealMean", "bounds", "exact_scale", "read_real_mean"]

#: Units in the last place, both ways, within which a scale is looked for.
_REACH = 8

#: Most that a float32 changes when it is rounded, of itself.
_ROUNDING = 2.0**-24

#: Roundings of roundings.
_SLACK = 1.01

#: Values of a mean at most.
_MOST_VALUES = 1 << 14


@dataclass(frozen=True, kw_only=True)
class RealMean:
    """A mean as ONNX Runtime computes it.

    Parameters
    ----------
    count : int
        Values.
    x_scale, y_scale : float
        Values of float32.
    least, most : int
        Of an input, less its zero point.
    zero_point : int
        Of the output.
    clamps : two int
    is_reduced : bool
        ``real_mean``: added in packets, and the zero point is added behind the rounding. Otherwise ``average_pool``:
        added in sequence, and rounded with the zero point.
    """

    count: int
    x_scale: float
    y_scale: float
    least: int
    most: int
    zero_point: int
    clamps: tuple[int, int]
    is_reduced: bool

    @property
    def orders(self) -> tuple[Order, ...]:
        """In which output i adds its values: order ``i % len(orders)``."""
        if not self.is_reduced:
            return (in_sequence(self.count),)
        return tuple(in_packets(self.count, -index * self.count % 4) for index in range(4 // math.gcd(self.count, 4)))

    def output(self, total: np.ndarray) -> np.ndarray:
        """What becomes of float32 sums, int64."""
        with np.errstate(over="ignore"):
            steps = total / np.float32(self.count) / np.float32(self.y_scale)
            return self._output(steps + np.float32(0 if self.is_reduced else self.zero_point))

    def _output(self, steps: np.ndarray) -> np.ndarray:
        """What becomes of the output's steps, zero point included if it is rounded with them."""
        behind = self.zero_point if self.is_reduced else 0
        return np.clip(np.rint(steps.astype(np.float64)) + behind, *self.clamps).astype(np.int64)

    @property
    def _error(self) -> float:
        """Steps by which all roundings together move an output at most, before it is rounded to an integer."""
        largest = max(-self.least, self.most) * self.x_scale / self.y_scale
        added = max(terms_added(order) for order in self.orders)
        of_sum = (self.count + added) / self.count
        # The division by the count, that by the scale, and where there is one the addition of the zero point.
        behind = 2 * largest + (0 if self.is_reduced else largest + abs(self.zero_point))
        return _SLACK * _ROUNDING * (of_sum * largest + behind)

    def ends(self, side: int) -> Callable[[np.ndarray], np.ndarray]:
        """Least (-1) or greatest (1) output that any rounding makes of integer sums."""
        ahead = 0 if self.is_reduced else self.zero_point
        step, error = self.x_scale / (self.count * self.y_scale), side * self._error
        return lambda sums: self._output(sums * step + ahead + error)

    def reached(self, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """The first sum at which a function reaches each output above the lowest."""
        codes = np.arange(self.clamps[0] + 1, self.clamps[1] + 1)
        return first_reaching(function, codes, self.count * self.least, self.count * self.most)

    def engine(self, scale: np.float32, weight: int = 1, bias: int = 0) -> Callable[[np.ndarray], np.ndarray]:
        """What the engine makes of integer sums."""

        def output(sums: np.ndarray) -> np.ndarray:
            scaling = {"scale": np.array([scale])}
            sums = sums[np.newaxis] * weight + bias
            return requantise_channels(scaling, sums, self.zero_point, self.clamps)[0]

        return output

    def scales(self, weight: int) -> Iterator[np.float32]:
        """Scales to try, the nearest first."""
        bits = np.float32(self.x_scale / (weight * self.count * self.y_scale)).view(np.int32)
        for offset in sorted(range(-_REACH, _REACH + 1), key=abs):
            yield (bits + np.int32(offset)).view(np.float32)


@dataclass(frozen=True)
class Bounds:
    """``rint(float32(weight * sum - bias) * scale)`` is never too large, with ``+ bias`` never too small."""

    weight: int
    bias: int
    scale: np.float32


def read_real_mean(tensors: Mapping[str, Tensor], node: Node) -> RealMean:
    """The mean of an ``average_pool`` or ``real_mean`` node of profile ONNX, without padding.

    Raises
    ------
    CompileError
        If its scales are so small or large that float32 loses digits, or it has too many values.
    """
    x, y = tensors[node.inputs[0]], tensors[node.outputs[0]]
    for tensor in (x, y):
        if not 2.0**-60 < float(scale_of(tensor)) < 2.0**60:
            raise CompileError(f"tensor {tensor.name!r} has a scale of {scale_of(tensor)}: quantise it again")
    count = math.prod(node.attributes["kernel"] if "kernel" in node.attributes else x.shape[1:3])
    if count > _MOST_VALUES:
        raise CompileError(f"layer {node.name!r} means {count} values, {_MOST_VALUES} is the most there is")
    info = np.iinfo(x.dtype)
    return RealMean(
        count=count,
        x_scale=float(scale_of(x)),
        y_scale=float(scale_of(y)),
        least=int(info.min) - x.zero_point,
        most=int(info.max) - x.zero_point,
        zero_point=y.zero_point,
        clamps=limits(node, y),
        is_reduced=node.op == "real_mean",
    )


@functools.lru_cache
def exact_scale(mean: RealMean) -> np.float32 | None:
    """The scale with which the engine gives the mean of every sum, whatever the order; None if there is none."""
    wanted = mean.reached(mean.ends(-1))
    if not np.array_equal(wanted, mean.reached(mean.ends(1))):
        return None
    return next((scale for scale in mean.scales(1) if np.array_equal(mean.reached(mean.engine(scale)), wanted)), None)


@functools.lru_cache
def bounds(mean: RealMean, weight: int) -> Bounds | None:
    """The narrowest bounds that were found with a weight: the larger it is, the narrower; None if there are none."""
    scale = next(mean.scales(weight))
    last, first = mean.reached(mean.ends(-1)), mean.reached(mean.ends(1))
    bias = 1
    while bias < 1 << 24:
        low, high = (mean.reached(mean.engine(scale, weight, side * bias)) for side in (-1, 1))
        if np.all(low >= last) and np.all(high <= first):
            return Bounds(weight, bias, scale)
        bias *= 2
    return None
