"""Which part of the hardware runs a node, and how it reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from cimarron.config import EngineConfig

from ..graph import Graph, Node
from .cpu import CpuLayer, read_cpu
from .layer import MacLayer, read_layer
from .mapping import Candidate, choose
from .pool import is_engine_pool, read_pool
from .tiling import Tiling
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
    def jobs(self) -> int:
        """Number of jobs."""
        return self.layer.images * len(self.tiling.stripes)


def read_operator(
    graph: Graph, node: Node, config: EngineConfig, planes: Mapping[str, int] = MappingProxyType({})
) -> EngineLayer | VectorLayer | CpuLayer:
    """The layer of any node but a reshape.

    Parameters
    ----------
    graph : Graph
    node : Node
    config : EngineConfig
    planes : dict of str to int
        Tensors that lie in planes, and the channels of each (see `Tiling`).

    Raises
    ------
    CompileError
        If the hardware cannot run it.
    """
    if node.op in ("fully_connected", "conv2d", "depthwise_conv2d"):
        layer = read_layer(graph, node)
        if layer.channel_outputs and layer.weight_bits > config.macro.weight_widths[-1]:
            # Two weights for one need windows whose rows are single runs: those of all channels.
            layer = layer.spread()
    elif node.op in ("average_pool", "mean") and is_engine_pool(graph, node):
        layer = read_pool(graph, node)
    else:
        return read_vector(graph, node) or read_cpu(graph, node)
    x_planes, y_planes = (planes.get(tensor.name, 0) for tensor in (layer.x, layer.y))
    return EngineLayer(layer, choose(layer, config, x_planes, y_planes))
