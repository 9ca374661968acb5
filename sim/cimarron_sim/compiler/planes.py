"""Which activations lie in planes of a few channels each."""

from collections.abc import Collection, Mapping

from cimarron.config import EngineConfig

from ..graph import Graph, Node
from .errors import CompileError
from .operator import EngineLayer, read_operator

__all__ = ["choose_planes"]


def _cycles(
    graph: Graph, nodes: list[Node], config: EngineConfig, planes: Mapping[str, int], allow_strips: bool
) -> int | None:
    """Sum of the layers' cycles, or None if one of them cannot work so."""
    cycles = 0
    for node in nodes:
        try:
            operator = read_operator(graph, node, config, planes, allow_strips=allow_strips)
        except CompileError:
            return None
        if not isinstance(operator, EngineLayer):
            return None
        cycles += operator.candidate.cycles
    return cycles


def choose_planes(
    graph: Graph, config: EngineConfig, spilled: Collection[str] = (), *, allow_strips: bool = False
) -> dict[str, int]:
    """Channels per plane of every tensor that is better stored so than pixel by pixel.

    A depthwise layer reads few channels of many pixels. Where each pixel's channels lie together, that takes a read of
    the activation buffer for every pixel; where the pixels of a few channels lie together, one read brings several. So
    a tensor that only depthwise layers read lies in planes, if the layers that write and read it are faster then.

    Parameters
    ----------
    graph : Graph
    config : EngineConfig
    spilled : collection of str
        Tensors in main memory, of which some rows at a time are in the buffer: they lie pixel by pixel.
    allow_strips : bool
        See `candidates`.

    Returns
    -------
    dict of str to int
        By tensor; `Tiling` says what a plane is. Other tensors lie pixel by pixel.
    """
    planes: dict[str, int] = {}
    for writer in graph.nodes:
        name = writer.outputs[0]
        readers = [node for node in graph.nodes if name in node.inputs]
        if (
            name in graph.outputs
            or name in spilled
            or not readers
            or any(node.op != "depthwise_conv2d" for node in readers)
        ):
            continue
        channels = graph.tensors[name].shape[-1]
        costs = {}
        for candidate in (0, *(size for size in range(config.lanes, channels, config.lanes) if channels % size == 0)):
            cycles = _cycles(graph, [writer, *readers], config, {**planes, name: candidate}, allow_strips)
            if cycles is not None:
                costs[candidate] = cycles
        if costs and (best := min(costs, key=costs.__getitem__)):
            planes[name] = best
    return planes
