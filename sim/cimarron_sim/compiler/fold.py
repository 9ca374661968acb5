"""Lets a layer with weights requantise its sums to what the requantisation behind it would make of its result.

Both ways are functions of the 32-bit sum that never fall, so they are equal where they reach every output value at the
same sum. A layer's sums lie between bounds that its weights give. Rounding once instead of twice moves some of the
sums at which the output rises, but scales a few units in the last place away move them, too: a scale that is exact for
all sums that can occur is looked for, and where an output channel has none nothing is folded.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from cimarron.isa import Profile

from ..graph import WEIGHTED, Graph, Node, Tensor
from .fixed_point import requantise_channels
from .staircase import first_reaching
from .table import requantised

__all__ = ["Folding", "fold"]

#: Units in the last place, both ways, within which a scale is looked for.
_REACH = 16

#: Gives the output integers of sums, both int64, shape (outputs, n).
_Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Folding:
    """A graph of fewer nodes, which computes the same outputs.

    Parameters
    ----------
    graph : Graph
    into : dict of str to str
        Names of the nodes that are gone, and of the layers that do their work.
    """

    graph: Graph
    into: Mapping[str, str]


def fold(graph: Graph) -> Folding:
    """Fold every ``requantise`` into the layer before it, if no bit changes and nobody else reads between them."""
    readers: dict[str, int] = {}
    for name in (*graph.outputs, *(name for node in graph.nodes for name in node.inputs)):
        readers[name] = readers.get(name, 0) + 1
    nodes: dict[str, Node] = {}
    into = {}
    for node in graph.nodes:
        layer = nodes.get(node.inputs[0])
        folded = None
        if node.op == "requantise" and layer is not None and layer.op in WEIGHTED and readers[node.inputs[0]] == 1:
            folded = _folded(graph, layer, node)
        if folded is None:
            nodes[node.outputs[0]] = node
            continue
        assert layer is not None
        into[node.name] = layer.name
        nodes[node.outputs[0]] = folded
        del nodes[layer.outputs[0]]
    return Folding(dataclasses.replace(graph, nodes=tuple(nodes.values())) if into else graph, into)


def _folded(graph: Graph, layer: Node, node: Node) -> Node | None:
    middle, y = graph.tensors[layer.outputs[0]], graph.tensors[node.outputs[0]]
    if y.dtype.itemsize != 1 or y.quantization is None or y.quantization.axis is not None:
        return None
    bounds = _bounds(graph, layer)
    if bounds is None:
        return None
    if middle.dtype == np.int32:
        wanted = _narrowing(middle, node, y, len(bounds[0])) if graph.profile is Profile.ONNX else None
        clamps = int(node.attributes["clamp_min"]), int(node.attributes["clamp_max"])
    else:
        table = requantised(graph, node)
        wanted = _relay(layer, middle, table, graph.profile, len(bounds[0]))
        clamps = tuple(int(table[int(layer.attributes[name]) & 0xFF]) for name in ("clamp_min", "clamp_max"))
    if wanted is None:
        return None
    scaling = _equal_scaling(wanted, *bounds, _scales(graph, layer, node), y.zero_point, clamps)
    if scaling is None:
        return None
    attributes = {**layer.attributes, **scaling, "clamp_min": clamps[0], "clamp_max": clamps[1]}
    return dataclasses.replace(layer, outputs=node.outputs, attributes=attributes)


def _bounds(graph: Graph, layer: Node) -> tuple[np.ndarray, np.ndarray] | None:
    """Least and largest sum of each output, int64, shape (outputs,); None if it is unknown or may wrap."""
    x, weights = graph.tensors[layer.inputs[0]], graph.tensors[layer.inputs[1]]
    bias = graph.tensors[layer.inputs[2]].data if len(layer.inputs) > 2 else np.zeros((), np.int32)
    if weights.data is None or bias is None or x.dtype.itemsize != 1:
        return None
    matrix = (weights.data.astype(np.int64) - weights.zero_points).reshape(weights.shape[0], -1)
    limits = np.iinfo(x.dtype)
    ends = limits.min - x.zero_point, limits.max - x.zero_point
    # A tap that lies in the padding contributes 0, which may be less, or more, than every input does.
    products = np.stack([matrix * ends[0], matrix * ends[1], np.zeros_like(matrix)])
    low, high = products.min(axis=0).sum(axis=1) + bias, products.max(axis=0).sum(axis=1) + bias
    return None if low.min() < -(2**31) or high.max() >= 2**31 else (low, high)


def _narrowing(middle: Tensor, node: Node, y: Tensor, outputs: int) -> _Function | None:
    """What a node that reads 32-bit sums with a scale makes of them, in profile ONNX."""
    quantization = middle.quantization
    assert y.quantization is not None
    if quantization is None or np.any(quantization.zero_point):
        return None
    scale = np.broadcast_to(quantization.scale, outputs)[:, np.newaxis]
    limits = int(node.attributes["clamp_min"]), int(node.attributes["clamp_max"])
    zero_point, y_scale = y.zero_point, np.float32(y.quantization.scale)

    def function(sums: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            steps = np.rint((sums.astype(np.float32) * scale / y_scale).astype(np.float64))
        return np.clip(steps + zero_point, *limits).astype(np.int64)

    return function


def _relay(layer: Node, middle: Tensor, table: np.ndarray, profile: Profile, outputs: int) -> _Function | None:
    """What a table makes of the bytes that a layer computes."""
    if middle.quantization is None or middle.quantization.axis is not None:
        return None
    clamps = int(layer.attributes["clamp_min"]), int(layer.attributes["clamp_max"])
    names = ("scale",) if profile is Profile.ONNX else ("multiplier", "shift")
    scaling = {name: np.broadcast_to(layer.attributes[name], outputs) for name in names}

    def function(sums: np.ndarray) -> np.ndarray:
        return table[requantise_channels(scaling, sums, middle.zero_point, clamps) & 0xFF]

    return function


def _scales(graph: Graph, layer: Node, node: Node) -> Iterator[dict[str, np.ndarray]]:
    """Scalings to try, the nearest to the product of both first, each with an entry per output."""
    outputs = graph.tensors[layer.inputs[1]].shape[0]
    middle, y = graph.tensors[layer.outputs[0]].quantization, graph.tensors[node.outputs[0]].quantization
    assert middle is not None
    assert y is not None
    offsets = sorted(range(-_REACH, _REACH + 1), key=abs)
    if graph.profile is Profile.ONNX:
        # Where sums have no scale of their own, `middle` has one per output instead.
        with np.errstate(over="ignore", under="ignore"):
            scale = layer.attributes.get("scale", np.float32(1)) * (middle.scale / y.scale)
        scale = np.ascontiguousarray(np.broadcast_to(scale, outputs).astype(np.float32))
        # Consecutive floats of one sign are consecutive integers.
        largest = np.array(np.finfo(np.float32).max).view(np.int32)
        for offset in offsets:
            bits = np.clip(scale.view(np.int32).astype(np.int64) + offset, 0, largest)
            yield {"scale": bits.astype(np.int32).view(np.float32)}
        return
    second = math.ldexp(int(np.asarray(node.attributes["multiplier"])), int(np.asarray(node.attributes["shift"])) - 31)
    first = np.ldexp(np.asarray(layer.attributes["multiplier"], np.float64), np.asarray(layer.attributes["shift"]) - 31)
    fraction, shift = np.frexp(np.broadcast_to(first * second, outputs))
    if np.any((shift < -31) | (shift > 0)):
        # Too small, or shifted to the left, which wraps.
        return
    multiplier = np.rint(fraction * 2.0**31).astype(np.int64)
    for offset in offsets:
        yield {
            "multiplier": np.clip(multiplier + offset, 0, 2**31 - 1).astype(np.int32),
            "shift": shift.astype(np.int32),
        }


def _equal_scaling(
    wanted: _Function,
    low: np.ndarray,
    high: np.ndarray,
    candidates: Iterator[dict[str, np.ndarray]],
    zero_point: int,
    clamps: tuple[int, ...],
) -> dict[str, np.ndarray] | None:
    """The scaling with which each output is `wanted` for all its sums from `low` to `high`; None if one has none."""
    codes = np.arange(clamps[0] + 1, clamps[1] + 1)
    reached = first_reaching(wanted, codes, low[:, np.newaxis], high[:, np.newaxis])
    below = reached - 1
    found: dict[str, np.ndarray] = {}
    pending = np.ones(len(low), bool)
    for scaling in candidates:
        if not found:
            found = {name: values.copy() for name, values in scaling.items()}
        # A sum outside the bounds may be anything.
        up = (requantise_channels(scaling, reached, zero_point, clamps) >= codes) | (reached > high[:, np.newaxis])
        down = (requantise_channels(scaling, below, zero_point, clamps) < codes) | (below < low[:, np.newaxis])
        fits = pending & (up & down).all(axis=1)
        for name, values in scaling.items():
            found[name][fits] = values[fits]
        pending &= ~fits
        if not pending.any():
            return found
    return None
