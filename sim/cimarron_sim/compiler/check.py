"""Which part of the system runs each operator of a network, before any work is done."""

import enum
from collections import defaultdict
from dataclasses import dataclass

from cimarron.config import SocConfig

from ..graph import Graph, Node
from .cpu import CpuLayer
from .errors import CompileError
from .fold import fold
from .operator import EngineLayer, read_operator
from .params import params
from .tiling import jobs
from .vector import VectorLayer

__all__ = ["Place", "Verdict", "check"]


class Place(enum.StrEnum):
    """Where an operator runs."""

    ENGINE = "engine"
    CPU = "cpu"
    HOST = "host"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True)
class Verdict:
    """What becomes of one operator.

    Parameters
    ----------
    name, op : str
        Of the node; ``quantize`` and ``dequantize`` stand for the conversion of the caller's arrays.
    place : Place
    reason : str
        Why; for an unsupported operator also what to do about it.
    """

    name: str
    op: str
    place: Place
    reason: str


def _engine(graph: Graph, operator: EngineLayer, config: SocConfig) -> str:
    layer, tiling = operator.layer, operator.tiling
    params(layer, graph.profile)
    count = len(jobs(layer, tiling, config.engine, profile=graph.profile, x_address=0, y_address=0, weight_address=0))
    return (
        f"{tiling.walk.depth} x {layer.outputs} weights of {tiling.weight_bits} bits in {tiling.row_tiles} x"
        f" {tiling.word_tiles} tiles, {_count(count)}"
    )


def _count(jobs: int) -> str:
    return f"{jobs} job{'s' if jobs > 1 else ''}"


def _vector(layer: VectorLayer) -> str:
    layer.descriptors(defaultdict(int), 0)
    return f"{layer.y.size} values, {_count(len(layer.steps))}"


def _node(graph: Graph, node: Node, config: SocConfig) -> Verdict:
    if node.op == "reshape":
        return Verdict(node.name, node.op, Place.ENGINE, "the bytes stay where they are")
    try:
        operator = read_operator(graph, node, config.engine)
        if isinstance(operator, CpuLayer):
            return Verdict(
                node.name, node.op, Place.CPU, f"{operator.y.size} values, {len(operator.data)} bytes of tables"
            )
        if isinstance(operator, VectorLayer):
            return Verdict(node.name, node.op, Place.ENGINE, _vector(operator))
        return Verdict(node.name, node.op, Place.ENGINE, _engine(graph, operator, config))
    except CompileError as error:
        return Verdict(node.name, node.op, Place.UNSUPPORTED, str(error))


def _ports(graph: Graph, names: tuple[str, ...], op: str) -> list[Verdict]:
    return [
        Verdict(
            graph.port(name).name, op, Place.HOST, f"between {graph.port(name).dtype} and {graph.tensors[name].dtype}"
        )
        for name in names
        if graph.port(name).dtype != graph.tensors[name].dtype
    ]


def check(graph: Graph, config: SocConfig) -> list[Verdict]:
    """Where each operator runs, in the order of execution.

    Whether all activations fit the buffer together, and the program the memory, is for `compile` to say.

    Parameters
    ----------
    graph : Graph
    config : SocConfig

    Returns
    -------
    list of Verdict
        One per node, and one per input and output that the host converts.
    """
    folding = fold(graph)
    kept = {node.name: node for node in folding.graph.nodes}
    verdicts = [
        _node(folding.graph, kept[node.name], config)
        if node.name in kept
        else Verdict(node.name, node.op, Place.ENGINE, f"in layer {folding.into[node.name]!r}, whose scale says it all")
        for node in graph.nodes
    ]
    return [
        *_ports(graph, graph.inputs, "quantize"),
        *verdicts,
        *_ports(graph, graph.outputs, "dequantize"),
    ]
