"""Average pools that pad, as several that do not.

Padding does not count in a mean, so near the borders of an image windows are smaller. Where neighbouring windows hold
equally many pixels, side by side and one above the other, they make a pool without padding of a part of the image: one
for the inside, and one for every row and column of windows that reaches over a border. Their outputs are joined.

Pads below 0 say which part of the image a pool sees: rows and columns that it leaves out.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from ..graph import Node
from .bracket import is_for_the_cpu
from .pool import MOST_PARTS
from .rewriter import Rewriter
from .spread import Spreading

__all__ = ["split_pools"]


@dataclass(frozen=True)
class _Band:
    """Windows along one axis that hold equally many pixels.

    Parameters
    ----------
    low, high : int
        Pixels that they see together: from the first to the one behind the last.
    kernel : int
        Pixels in a window.
    windows : int
    """

    low: int
    high: int
    kernel: int
    windows: int


def _bands(size: int, before: int, kernel: int, stride: int, windows: int) -> list[_Band]:
    """The windows along an axis, in order; one without pixels makes a band without pixels."""
    found: list[_Band] = []
    for start in range(-before, -before + windows * stride, stride):
        low, high = max(start, 0), min(start + kernel, size)
        band = _Band(low, high, high - low, 1)
        last = found[-1] if found else None
        if last and last.kernel == band.kernel and band.low == last.low + last.windows * stride:
            found[-1] = _Band(last.low, band.high, band.kernel, last.windows + 1)
        else:
            found.append(band)
    return found


def _is_padded(node: Node) -> bool:
    return node.op == "average_pool" and any(node.attributes["pads"])


def split_pools(spreading: Spreading) -> Spreading:
    """Split every average pool that pads.

    The last node of each, which joins the others' outputs, has its name. One with windows of nothing but
    padding, or with too many parts, stays.
    """
    work = _Splitter(spreading)
    for node in spreading.graph.nodes:
        work.visit(node)
    return work.result()


class _Splitter(Rewriter):
    """Walks through a graph."""

    def visit(self, node: Node) -> None:
        """Append a node, or what it is split into."""
        regions = self._regions(node) if _is_padded(node) else []
        is_empty = any(band.kernel < 1 for row in regions for pair in row for band in pair)
        if is_empty or not 1 <= sum(map(len, regions)) <= MOST_PARTS:
            self.nodes.append(node)
            return
        self.stands_for[node.name] = node.op
        lines = []
        for row in regions:
            pieces = [self._part(node, down, across) for down, across in row]
            lines.append(self._joined(node, pieces, 2))
        self._finish(node, lines)

    def _regions(self, node: Node) -> list[list[tuple[_Band, _Band]]]:
        x, y = (self.graph.tensors[name] for name in (node.inputs[0], node.outputs[0]))
        bands = [
            _bands(
                x.shape[1 + i], node.attributes["pads"][i], node.attributes["kernel"][i], node.attributes["stride"][i],
                y.shape[1 + i],
            )
            for i in range(2)
        ]  # fmt: skip
        return [[(down, across) for across in bands[1]] for down in bands[0]]

    def _part(self, node: Node, down: _Band, across: _Band) -> str:
        """Append the pool of a region, behind a copy of what it sees if it is for the CPU, which pools whole images."""
        x, y = (self.graph.tensors[name] for name in (node.inputs[0], node.outputs[0]))
        pads = -down.low, -across.low, down.high - x.shape[1], across.high - x.shape[2]
        shape = y.shape[0], down.windows, across.windows, y.shape[3]
        attributes = {**node.attributes, "kernel": (down.kernel, across.kernel), "pads": pads}
        part = Node(self.fresh(node), node.op, (x.name,), (self.tensor(node, y, shape),), attributes)
        if any(pads) and is_for_the_cpu(self, part):
            limits = np.iinfo(x.dtype)
            seen = x.shape[0], down.high - down.low, across.high - across.low, x.shape[3]
            name = self.tensor(node, x, seen)
            copy = {
                "kernel": (1, 1), "stride": (1, 1), "pads": pads, "clamp_min": int(limits.min),
                "clamp_max": int(limits.max),
            }  # fmt: skip
            self.nodes.append(Node(self.fresh(node), node.op, (x.name,), (name,), copy))
            self.parts.append(name)
            part = dataclasses.replace(part, inputs=(name,), attributes={**attributes, "pads": (0, 0, 0, 0)})
        self.nodes.append(part)
        self.parts.append(part.outputs[0])
        return part.outputs[0]

    def _joined(self, node: Node, pieces: list[str], axis: int) -> str:
        if len(pieces) == 1:
            return pieces[0]
        shape = list(self.tensors[pieces[0]].shape)
        shape[axis] = sum(self.tensors[name].shape[axis] for name in pieces)
        name = self.tensor(node, self.tensors[pieces[0]], tuple(shape))
        self.nodes.append(Node(self.fresh(node), "concat", tuple(pieces), (name,), {"axis": axis}))
        self.parts.append(name)
        return name

    def _finish(self, node: Node, lines: list[str]) -> None:
        """Let the last node write the pool's output, under its name."""
        if len(lines) > 1:
            self.nodes.append(Node(node.name, "concat", tuple(lines), node.outputs, {"axis": 1}))
            return
        last = self.nodes.pop()
        self.parts.remove(last.outputs[0])
        del self.tensors[last.outputs[0]]
        self.nodes.append(dataclasses.replace(last, name=node.name, outputs=node.outputs))
