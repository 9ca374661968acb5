"""Which part of the hardware runs a node, and how it reads it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from cimarron.config import EngineConfig

from ..graph import WEIGHTED, Graph, Node, Tensor
from .cpu import CpuLayer, read_cpu
from .layer import MacLayer, read_layer
from .mapping import Candidate, Part, choose
from .pool import read_pool
from .rows import Span, join
from .tiling import Tiling, weight_form
from .vector import VectorLayer, read_vector

__all__ = ["EngineLayer", "read_operator"]


@dataclass(frozen=True, eq=False)
class EngineLayer:
    """A layer for the engine, cut for its hardware, and its cycles."""

    layer: MacLayer
    candidate: Candidate

    @property
    def tiling(self) -> Tiling:
        """How it is cut."""
        return self.candidate.tiling

    @property
    def parts(self) -> tuple[Part, ...]:
        """What its jobs are for, in order."""
        return self.candidate.parts

    @property
    def strips(self) -> Tensor | None:
        """The copy of its input that it works with, and nobody else."""
        return self.parts[0].layer.y if len(self.parts) > 1 else None

    @property
    def rows(self) -> int:
        """Rows of blocks, in all images."""
        return self.layer.images * self.tiling.walk.out_height

    def _images(self, rows: range) -> Iterator[tuple[int, int, int]]:
        """Each image with its first row and the one behind its last."""
        height = self.tiling.walk.out_height
        for image in range(rows.start // height, -(-rows.stop // height)):
            yield image, max(rows.start - image * height, 0), min(rows.stop - image * height, height)

    def reads(self, rows: range) -> dict[str, Span]:
        """See `RowLayer`; for an input that does not lie in planes."""
        walk, window = self.tiling.walk, self.layer.window
        spans: dict[str, Span] = {}
        for image, start, stop in self._images(rows):
            first = walk.first_row + start * walk.stride_h
            last = walk.first_row + (stop - 1) * walk.stride_h + (walk.kernel_h - 1) * walk.dilation_h
            low, high = max(first, 0), min(last + 1, window.height)
            base = image * window.height
            line = window.width * window.channels
            join(spans, self.layer.x.name, ((base + low) * line, (base + high) * line))
        return spans

    def writes(self, rows: range) -> Span:
        """See `RowLayer`; for an output that does not lie in planes."""
        window, block = self.layer.window, self.tiling.block
        line = window.out_width * self.layer.outputs * self.layer.y.dtype.itemsize
        spans: dict[str, Span] = {}
        for image, start, stop in self._images(rows):
            low, high = (min(row * block.height, window.out_height) for row in (start, stop))
            base = image * window.out_height
            join(spans, self.layer.y.name, ((base + low) * line, (base + high) * line))
        return spans[self.layer.y.name]


def read_operator(
    graph: Graph,
    node: Node,
    config: EngineConfig,
    planes: Mapping[str, int] = MappingProxyType({}),
    *,
    allow_strips: bool = False,
    single_lines: bool = False,
) -> EngineLayer | VectorLayer | CpuLayer:
    """The layer of any node but a reshape.

    Parameters
    ----------
    graph : Graph
    node : Node
    config : EngineConfig
    planes : dict of str to int
        Tensors that lie in planes, and the channels of each (see `Tiling`).
    allow_strips : bool
        See `candidates`.
    single_lines : bool
        Blocks of pixels are one line high, so that a row of the layer needs as little of its input as possible.

    Raises
    ------
    CompileError
        If the hardware cannot run it.
    """
    if node.op in WEIGHTED:
        layer = read_layer(graph, node)
        widest = config.macro.weight_widths[-1]
        # Two weights for one need windows whose rows are single runs: those of all channels. And a word tile holds all
        # outputs of a channel, or outputs of all channels.
        if layer.channel_outputs and (
            layer.weight_bits > widest or layer.channel_outputs > config.macro.outputs(weight_form(layer, config)[0])
        ):
            layer = layer.spread()
    elif node.op in ("average_pool", "mean", "real_mean"):
        layer = read_pool(graph, node, config.macro.weight_widths[-1])
    else:
        return read_vector(graph, node) or read_cpu(graph, node)
    x_planes, y_planes = (planes.get(tensor.name, 0) for tensor in (layer.x, layer.y))
    candidate = choose(layer, config, x_planes, y_planes, allow_strips=allow_strips, single_lines=single_lines)
    return EngineLayer(layer, candidate)
