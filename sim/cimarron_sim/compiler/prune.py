"""Leaves out channels whose value does not depend on the input.

An output channel whose weights are all zero is a constant. What reads it can do without: a dense layer has its share in
the bias, a depthwise layer or a pool makes it another constant. So it is neither computed nor stored nor read.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from cimarron.isa import Profile

from ..graph import Graph, Node, Tensor
from .fixed_point import requantise_channels

__all__ = ["Pruning", "prune"]

_DENSE = ("conv2d", "fully_connected")
_SCALING = ("scale", "multiplier", "shift")

#: Channels of a tensor that are left out, and their values.
_Absent = dict[int, int]


@dataclass(frozen=True, eq=False)
class Pruning:
    """A graph with fewer channels, which computes the same.

    Parameters
    ----------
    graph : Graph
    absent : dict of str to dict of int to int
        Tensors that lack channels of their last axis: which, and their constant values.
    """

    graph: Graph
    absent: Mapping[str, Mapping[int, int]]


def prune(graph: Graph, multiple: int) -> Pruning:
    """Leave out every constant channel that all its readers can do without.

    Parameters
    ----------
    graph : Graph
    multiple : int
        The channels that stay are a multiple of this number, so that they still fill lanes and planes.
    """
    work = _Pruner(graph, multiple)
    nodes = tuple(work.visit(node) for node in graph.nodes)
    if not work.absent:
        return Pruning(graph, {})
    return Pruning(dataclasses.replace(graph, nodes=nodes, tensors=work.tensors), work.absent)


def _pick(values: np.ndarray, kept: np.ndarray, axis: int) -> np.ndarray:
    return values if values.ndim == 0 else np.take(values, kept, axis)


def _narrow(tensor: Tensor, kept: np.ndarray, axis: int) -> Tensor:
    """A tensor with some of its entries along an axis."""
    quantization = tensor.quantization
    if quantization is not None and quantization.axis is not None and quantization.axis % len(tensor.shape) == axis:
        quantization = dataclasses.replace(
            quantization,
            scale=_pick(quantization.scale, kept, 0),
            zero_point=_pick(quantization.zero_point, kept, 0),
        )
    shape = tuple(len(kept) if index == axis else size for index, size in enumerate(tensor.shape))
    data = None if tensor.data is None else np.ascontiguousarray(np.take(tensor.data, kept, axis))
    return dataclasses.replace(tensor, shape=shape, data=data, quantization=quantization)


def _wrap(values: np.ndarray) -> np.ndarray:
    return values.astype(np.int32).astype(np.int64)


class _Pruner:
    """Walks through a graph; ``tensors`` and ``absent`` are what has come of it so far."""

    def __init__(self, graph: Graph, multiple: int):
        self.graph = graph
        self.multiple = multiple
        self.tensors: dict[str, Tensor] = dict(graph.tensors)
        self.absent: dict[str, _Absent] = {}
        self.readers: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for name in node.inputs:
                self.readers.setdefault(name, []).append(node)

    def visit(self, node: Node) -> Node:
        """The node with the channels left out that it no longer has to read or write."""
        if node.op in _DENSE and self._is_plain(node):
            return self._dense(node)
        absent = self.absent.get(node.inputs[0], {})
        if not absent:
            return node
        gone = {index: value for channel, value in absent.items() for index, value in self._pass(node, channel, value)}
        self._leave_out(node.outputs[0], gone)
        if node.op != "depthwise_conv2d":
            return node
        return self._with_outputs(node, self._kept(node.outputs[0]))

    def _is_plain(self, node: Node) -> bool:
        """Whether a layer has constant operands and 8-bit outputs with one scale."""
        y = self.graph.tensors[node.outputs[0]]
        constants = all(self.graph.tensors[name].data is not None for name in node.inputs[1:])
        return constants and y.dtype.itemsize == 1 and any(name in node.attributes for name in _SCALING)

    def _weights(self, node: Node) -> np.ndarray:
        """Weights less their zero points, int64, shape (outputs, taps, channels read)."""
        tensor = self.graph.tensors[node.inputs[1]]
        assert tensor.data is not None
        values = tensor.data.astype(np.int64) - tensor.zero_points
        channels = tensor.shape[-1] if node.op in _DENSE else 1
        return values.reshape(len(values), -1, channels)

    def _bias(self, node: Node) -> np.ndarray:
        outputs = self.graph.tensors[node.inputs[1]].shape[0]
        data = self.graph.tensors[node.inputs[2]].data if len(node.inputs) > 2 else None
        return np.zeros(outputs, np.int64) if data is None else data.astype(np.int64)

    def _constants(self, node: Node, outputs: np.ndarray, sums: np.ndarray) -> list[tuple[int, int]]:
        """Some outputs of a layer, and what it writes there if these are their sums, bias included."""
        count = self.graph.tensors[node.inputs[1]].shape[0]
        scaling = {
            name: np.broadcast_to(node.attributes[name], count)[outputs] for name in _SCALING if name in node.attributes
        }
        clamps = int(node.attributes["clamp_min"]), int(node.attributes["clamp_max"])
        zero_point = self.graph.tensors[node.outputs[0]].zero_point
        values = requantise_channels(scaling, _wrap(sums)[:, np.newaxis], zero_point, clamps)[:, 0]
        return list(zip(outputs.tolist(), values.tolist(), strict=True))

    def _dense(self, node: Node) -> Node:
        x, y = self.graph.tensors[node.inputs[0]], node.outputs[0]
        absent = self.absent.get(x.name, {})
        weights, sums = self._weights(node), self._bias(node)
        for channel, value in absent.items():
            sums = _wrap(sums + (value - x.zero_point) * weights[:, :, channel].sum(axis=1))
        kept_inputs = self._kept(x.name)
        dead = np.flatnonzero(np.abs(weights[:, :, kept_inputs]).sum(axis=(1, 2)) == 0)
        constants = self._constants(node, dead, sums[dead]) if dead.size else []
        gone = {channel: value for channel, value in constants if self._can_do_without(y, channel, value)}
        alive = len(weights) - len(gone)
        extra = -(-max(alive, 1) // self.multiple) * self.multiple - alive
        self._leave_out(y, dict(list(gone.items())[extra:]))
        if absent:
            name = f"{node.name}.pruned_weights"
            weights_tensor = self.tensors[node.inputs[1]]
            narrowed = _narrow(weights_tensor, kept_inputs, len(weights_tensor.shape) - 1)
            self.tensors[name] = dataclasses.replace(narrowed, name=name)
            bias = f"{node.name}.pruned_bias"
            self.tensors[bias] = Tensor(bias, sums.shape, np.dtype(np.int32), data=sums.astype(np.int32))
            node = dataclasses.replace(node, inputs=(node.inputs[0], name, bias))
        return self._with_outputs(node, self._kept(y)) if y in self.absent else node

    def _can_do_without(self, name: str, channel: int, value: int) -> bool:
        """Whether nobody needs a channel of a tensor that always has this value."""
        readers = self.readers.get(name, [])
        if not readers or name in self.graph.outputs:
            return False
        for node in readers:
            if node.inputs[0] != name or name in node.inputs[1:]:
                return False
            if node.op in _DENSE:
                # Where the padding differs from the channel, its share depends on the pixel.
                if not self._is_plain(node) or not self._meets_padding(node, value):
                    return False
                continue
            passed = self._pass(node, channel, value)
            if not passed or not all(self._can_do_without(node.outputs[0], *pair) for pair in passed):
                return False
        return True

    def _meets_padding(self, node: Node, value: int) -> bool:
        return value == self.graph.tensors[node.inputs[0]].zero_point or not any(node.attributes.get("pads", ()))

    def _pass(self, node: Node, channel: int, value: int) -> list[tuple[int, int]]:
        """Channels that a node which keeps channels apart makes of a constant one; none if they are not constant."""
        x, y = self.graph.tensors[node.inputs[0]], self.graph.tensors[node.outputs[0]]
        if node.op == "depthwise_conv2d" and self._is_plain(node) and self._meets_padding(node, value):
            multiplier = y.shape[-1] // x.shape[-1]
            outputs = np.arange(channel * multiplier, (channel + 1) * multiplier)
            sums = self._bias(node)[outputs] + (value - x.zero_point) * self._weights(node)[outputs].sum(axis=(1, 2))
            return self._constants(node, outputs, sums)
        if node.op == "average_pool" and self.graph.profile is Profile.TFLM:
            clamps = int(node.attributes["clamp_min"]), int(node.attributes["clamp_max"])
            return [(channel, min(max(value, clamps[0]), clamps[1]))]
        if node.op == "reshape" and x.shape[-1] == y.shape[-1] == x.size // x.shape[0]:
            return [(channel, value)]
        return []

    def _kept(self, name: str) -> np.ndarray:
        channels = np.arange(self.graph.tensors[name].shape[-1])
        return np.setdiff1d(channels, list(self.absent.get(name, ())))

    def _leave_out(self, name: str, gone: _Absent) -> None:
        if gone:
            self.absent[name] = gone
            tensor = self.graph.tensors[name]
            self.tensors[name] = _narrow(tensor, self._kept(name), len(tensor.shape) - 1)

    def _with_outputs(self, node: Node, kept: np.ndarray) -> Node:
        """A layer with some of its outputs."""
        names = []
        for name in node.inputs[1:]:
            narrowed = f"{name}.{node.name}.pruned"
            self.tensors[narrowed] = dataclasses.replace(_narrow(self.tensors[name], kept, 0), name=narrowed)
            names.append(narrowed)
        scaling = {
            name: _pick(np.asarray(node.attributes[name]), kept, 0) for name in _SCALING if name in node.attributes
        }
        inputs, attributes = (node.inputs[0], *names), {**node.attributes, **scaling}
        return dataclasses.replace(node, inputs=inputs, attributes=attributes)
