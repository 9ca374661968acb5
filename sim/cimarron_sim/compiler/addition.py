"""Additions as a sum of two table entries and one requantisation."""

from dataclasses import dataclass

import numpy as np
from cimarron.isa import Profile

from ..graph import Graph, Node, Tensor
from .fixed_point import requantise
from .params import scale_record
from .staircase import first_reaching
from .table import codes, limits, quantised, real_values, scale_of

__all__ = ["Addition", "pair_sums", "real_sums", "split"]

#: Bits of fraction that TFLite adds with.
_FRACTION_BITS = 20

#: Sums stay below this power of two, so that none wraps.
_SUM_BITS = 30.9

#: Rounds of adjustment: few are ever needed, and tables that do not exist would take all there are.
_ROUNDS = 16


@dataclass(frozen=True, eq=False)
class Addition:
    """``requantise(tables[0, a] + tables[1, b])`` for bytes a and b.

    Parameters
    ----------
    tables : int32 array, shape (2, 256)
        By the bits of a byte.
    multiplier, shift : int
        As in a requantisation record of the graph's profile.
    """

    tables: np.ndarray
    multiplier: int
    shift: int


def real_sums(graph: Graph, node: Node) -> np.ndarray:
    """Output of an ``add`` node in profile ONNX for each pair of bytes, int64, shape (256, 256), operand a first."""
    a, b = (graph.tensors[name] for name in node.inputs)
    y = graph.tensors[node.outputs[0]]
    info = np.iinfo(y.dtype)
    if limits(node, y) == (info.min, info.max):
        return _kernel_sums(a, b, y)
    real = real_values(a, codes(a))[:, np.newaxis] + real_values(b, codes(b))
    return quantised(node, y, real)


def _kernel_sums(a: Tensor, b: Tensor, y: Tensor) -> np.ndarray:
    """`real_sums` as ONNX Runtime's QLinearAdd rounds: the zero points first, then a fused product for each operand."""
    with np.errstate(over="ignore", under="ignore"):
        ratios = [scale_of(tensor) / scale_of(y) for tensor in (a, b)]
        shares = np.float32(a.zero_point * np.float64(ratios[0]) + ratios[1] * np.float32(b.zero_point))
        start = np.float32(y.zero_point) - shares
        steps = (codes(b) * np.float64(ratios[1]) + start).astype(np.float32)
        steps = (codes(a)[:, np.newaxis] * np.float64(ratios[0]) + steps).astype(np.float32)
    info = np.iinfo(y.dtype)
    return np.clip(np.rint(steps.astype(np.float64)), info.min, info.max).astype(np.int64)


def _integer_tables(graph: Graph, node: Node) -> tuple[np.ndarray, int, int]:
    """Tables of an ``add`` node in profile TFLM, int64, shape (2, 256), and multiplier and shift of their sums."""
    multiplier, shift = (np.asarray(node.attributes[name]).tolist() for name in ("multiplier", "shift"))
    tables = [
        requantise((codes(tensor) - tensor.zero_point) << _FRACTION_BITS, multiplier[i], shift[i])
        for i, tensor in enumerate(graph.tensors[name] for name in node.inputs)
    ]
    return np.array(tables), multiplier[2], shift[2]


def pair_sums(graph: Graph, node: Node) -> np.ndarray:
    """Output of an ``add`` node for each pair of bytes, int64, shape (256, 256), operand a first."""
    if graph.profile is Profile.ONNX:
        return real_sums(graph, node)
    tables, multiplier, shift = _integer_tables(graph, node)
    y = graph.tensors[node.outputs[0]]
    scaled = requantise(tables[0][:, np.newaxis] + tables[1], multiplier, shift)
    return np.clip(scaled + y.zero_point, *limits(node, y)).astype(np.int64)


def split(graph: Graph, node: Node) -> Addition | None:
    """An ``add`` node for the engine, or None if there are no tables that give its output for every pair of bytes."""
    if graph.profile is Profile.TFLM:
        tables, multiplier, shift = _integer_tables(graph, node)
        return Addition(tables.astype(np.int32), multiplier, shift)
    return _split_reals(graph, node)


def _split_reals(graph: Graph, node: Node) -> Addition | None:
    """Tables of the operands' real values, as integers of one unit, for the reciprocal of the output's scale.

    The engine rounds such sums to float32 as it rounds those of reals, and a product with a reciprocal mostly as the
    quotient. Where a sum lies so close to the half between two outputs that they differ, entries give way by a few
    units: every pair of bytes wants a sum between two bounds, which is a system of difference constraints, solved by
    relaxation as Bellman and Ford do. Where the bounds contradict each other, the scale next to the first may do.
    """
    y = graph.tensors[node.outputs[0]]
    operands = [graph.tensors[name] for name in node.inputs]
    a, b = (real_values(tensor, codes(tensor)).astype(np.float64) for tensor in operands)
    unit = int(np.floor(_SUM_BITS - np.log2(np.abs(a).max() + np.abs(b).max())))
    a, b = (np.rint(np.ldexp(real, unit)).astype(np.int64) for real in (a, b))
    low, high = (limit - y.zero_point for limit in limits(node, y))
    steps = real_sums(graph, node) - y.zero_point - low
    with np.errstate(over="ignore"):
        reciprocal = np.float32(np.ldexp(1 / np.float64(scale_of(y)), -unit))
    for scale in (reciprocal, np.nextafter(reciprocal, np.float32(0)), np.nextafter(reciprocal, np.float32(np.inf))):
        try:
            multiplier, shift = (int(part) for part in scale_record(np.asarray(scale)))
        except ValueError:
            continue
        first = _first_sums(scale, low, high)
        tables = _relax(a, b, first[steps], first[steps + 1] - 1)
        if tables is not None:
            return Addition(tables, multiplier, shift)
    return None


def _first_sums(scale: np.float32, low: int, high: int) -> np.ndarray:
    """The least sum for each output from ``low`` on, and one beyond ``high``, int64; outputs include no zero point."""
    steps = np.arange(low + 1, high + 1)
    reached = first_reaching(lambda sums: np.rint(sums.astype(np.float32) * scale), steps, 1 - 2**31, 2**31 - 1)
    return np.concatenate([[-(2**31)], reached, [2**31]])


def _relax(a: np.ndarray, b: np.ndarray, least: np.ndarray, most: np.ndarray) -> np.ndarray | None:
    """Tables near two others, no sum of which lies outside its bounds.

    Parameters
    ----------
    a, b : int64 array, shape (256,)
    least, most : int64 array, shape (256, 256)

    Returns
    -------
    int32 array, shape (2, 256), or None
    """
    # With the second table negated, both kinds of bound limit a difference from above.
    c = -b
    for _ in range(_ROUNDS):
        next_a = np.minimum(a, (most + c).min(axis=1))
        next_c = np.minimum(c, (next_a[:, np.newaxis] - least).min(axis=0))
        if np.array_equal(next_a, a) and np.array_equal(next_c, c):
            return np.array([a, -c], np.int32)
        a, c = next_a, next_c
    return None
