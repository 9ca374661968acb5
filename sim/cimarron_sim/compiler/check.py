"""Which part of the system runs each operator of a network, before any work is done."""

import enum
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cimarron.config import EngineConfig, SocConfig

from ..graph import Graph, Node
from .cpu import CpuLayer
from .errors import CompileError
from .expand import expand
from .fold import fold
from .operator import read_operator
from .params import params
from .plan import Operator, Plan
from .spread import Spreading
from .tiling import jobs
from .vector import VectorLayer
from .work import Places, layer_work

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


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _verdict(node: Node, operators: Sequence[Operator], jobs: int) -> Verdict:
    """Of a node that the last operator computes, and the others prepare, with so many jobs altogether."""
    operator, on_cpu = operators[-1], [layer for layer in operators if isinstance(layer, CpuLayer)]
    if on_cpu:
        values, tables = sum(layer.y.size for layer in on_cpu), sum(len(layer.data) for layer in on_cpu)
        reason = f"{values} values, {tables} bytes of tables"
        if len(operators) > 1:
            reason += f", {_count(jobs, 'job')} and {_count(len(on_cpu), 'step')}"
        return Verdict(node.name, node.op, Place.CPU, reason)
    assert not isinstance(operator, CpuLayer)
    if isinstance(operator, VectorLayer):
        return Verdict(node.name, node.op, Place.ENGINE, f"{operator.y.size} values, {_count(jobs, 'job')}")
    tiling = operator.tiling
    reason = (
        f"{tiling.walk.depth} x {operator.layer.outputs} weights of {tiling.weight_bits} bits in {tiling.row_tiles} x"
        f" {tiling.word_tiles} tiles, {_count(jobs, 'job')}"
    )
    return Verdict(node.name, node.op, Place.ENGINE, reason)


def _jobs_alone(graph: Graph, operator: Operator, config: EngineConfig) -> int:
    """Jobs of an operator by itself; raises if some number of them does not fit its field."""
    if isinstance(operator, CpuLayer):
        return 0
    if isinstance(operator, VectorLayer):
        operator.descriptors(defaultdict(int), 0)
        return len(operator.steps)
    layer, tiling = operator.layer, operator.tiling
    params(layer, graph.profile)
    return len(jobs(layer, tiling, config, profile=graph.profile, x_address=0, y_address=0, weight_address=0))


def _alone(graph: Graph, nodes: Sequence[Node], config: EngineConfig) -> Verdict:
    """Of the last node; the others prepare it."""
    node = nodes[-1]
    if node.op == "reshape":
        return Verdict(node.name, node.op, Place.ENGINE, "the bytes stay where they are")
    try:
        operators = [read_operator(graph, part, config) for part in nodes]
        return _verdict(node, operators, sum(_jobs_alone(graph, operator, config) for operator in operators))
    except CompileError as error:
        return Verdict(node.name, node.op, Place.UNSUPPORTED, str(error))


def _planned(graph: Graph, plan: Plan, config: EngineConfig) -> dict[str, Verdict]:
    """By the name of its node, what becomes of each layer of a plan."""
    places = Places(plan=plan, memory=plan.spilled)
    verdicts: dict[str, Verdict] = {}
    copying: list[Operator] = []
    jobs = 0
    for step, (node, operator) in enumerate(zip(plan.order.layers, plan.operators, strict=True), 1):
        work = layer_work(graph.profile, operator, places, step, config, 0)
        copying.append(operator)
        jobs += sum(isinstance(item, list) for item in work.items)
        if node.outputs[0] not in plan.copies:
            verdicts[node.name] = _verdict(node, copying, jobs)
            copying, jobs = [], 0
    return verdicts


def _parts(spreading: Spreading) -> dict[str, list[Node]]:
    """By name, each node, behind the parts that it joins."""
    found: dict[str, list[Node]] = {}
    parts: list[Node] = []
    for node in spreading.graph.nodes:
        parts.append(node)
        if node.outputs[0] not in spreading.copies:
            found[node.name] = parts if node.name in spreading.stands_for else [node]
            parts = []
    return found


def _ports(graph: Graph, names: tuple[str, ...], op: str) -> list[Verdict]:
    return [
        Verdict(
            graph.port(name).name, op, Place.HOST, f"between {graph.port(name).dtype} and {graph.tensors[name].dtype}"
        )
        for name in names
        if graph.port(name).dtype != graph.tensors[name].dtype
    ]


def check(graph: Graph, config: SocConfig, plan: Plan | None = None) -> list[Verdict]:
    """Where each operator runs, in the order of execution.

    Whether all activations fit the buffer together, and the program the memory, is for `compile` to say.

    Parameters
    ----------
    graph : Graph
    config : SocConfig
    plan : Plan, optional
        Of the network (see `plan_network`): tiles and jobs are those that will run, with the jobs that copy and move
        activations. Without it they are those of each operator alone.

    Returns
    -------
    list of Verdict
        One per node, and one per input and output that the host converts.
    """
    folding = fold(graph)
    spreading = expand(folding.graph, config.engine.act_port_bytes)
    kept = _parts(spreading)
    planned = {} if plan is None else _planned(graph, plan, config.engine)
    verdicts = [
        replace(planned.get(node.name) or _alone(spreading.graph, kept[node.name], config.engine), op=node.op)
        if node.name in kept
        else Verdict(node.name, node.op, Place.ENGINE, f"in layer {folding.into[node.name]!r}, whose scale says it all")
        for node in graph.nodes
    ]
    return [
        *_ports(graph, graph.inputs, "quantize"),
        *verdicts,
        *_ports(graph, graph.outputs, "dequantize"),
    ]
