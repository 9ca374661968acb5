"""What runs where and when: the layers of a network cut for the hardware, and places for its activations."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cimarron.config import EngineConfig

from ..graph import Graph
from .bound import weight_beats
from .cpu import CpuLayer
from .errors import CompileError
from .expand import expand
from .fold import fold
from .memory import Buffer, Misfit, place
from .operator import EngineLayer, read_operator
from .planes import choose_planes
from .prune import Pruning, prune
from .schedule import Order, schedule
from .spill import Stripes, respill, spill
from .vector import VectorLayer

__all__ = ["Operator", "Plan", "make_plan", "plan_network"]

Operator = EngineLayer | VectorLayer | CpuLayer


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """A network on given hardware.

    Parameters
    ----------
    order : Order
        Its owners and buffers include the strips that layers work with.
    operators : tuple of Operator
        The order's layers.
    planes : dict of str to int
        Tensors that lie in planes; see `Tiling`.
    addresses : dict of str to int
        Activation buffer address of every tensor that lives there, by the owner's name.
    spilled : dict of str to int
        Of every tensor that lives in main memory, its offset from the first of them; 0 for input, output and constants,
        which have places of their own.
    spilled_bytes : int
        What those others take.
    stripes : dict of int to Stripes
        By step, of every layer that reads or writes a tensor in main memory.
    copies : frozenset of str
        Outputs of layers that only prepare the one behind them: see `spread`.
    stands_for : dict of str to str
        See `Spreading`.
    """

    order: Order
    operators: tuple[Operator, ...]
    planes: Mapping[str, int]
    addresses: Mapping[str, int]
    spilled: Mapping[str, int] = field(default_factory=dict)
    spilled_bytes: int = 0
    stripes: Mapping[int, Stripes] = field(default_factory=dict)
    copies: frozenset[str] = frozenset()
    stands_for: Mapping[str, str] = field(default_factory=dict)

    def layer_of(self, step: int) -> int:
        """Which layer of the network, from 1 on, runs in a step; copies belong to the one behind them."""
        return step - sum(node.outputs[0] in self.copies for node in self.order.layers[: max(step - 1, 0)])


def _weights(operators: tuple[Operator, ...], config: EngineConfig) -> list[int]:
    """Memory beats of what a stripe of each layer loads besides activations."""
    beats = []
    for operator in operators:
        if isinstance(operator, EngineLayer):
            beats.append(weight_beats(operator.tiling, config))
        else:
            beats.append(operator.bound(config).weights if isinstance(operator, VectorLayer) else 0)
    return beats


def _spilled_plan(graph: Graph, order: Order, config: EngineConfig) -> Plan:
    planes: dict[str, int] = {}
    operators = tuple(read_operator(graph, node, config) for node in order.layers)
    try:
        found = spill(order, operators, _weights(operators, config), config)
    except CompileError:
        operators = tuple(read_operator(graph, node, config, single_lines=True) for node in order.layers)
        found = spill(order, operators, _weights(operators, config), config)
    names = {buffer.name for buffer in found.spilled}
    # The tensors that stay may lie in planes, if all still fits when layers are cut for that.
    better = choose_planes(graph, config, {name for name, owner in order.owner.items() if owner in names})
    if better:
        others = tuple(read_operator(graph, node, config, better) for node in order.layers)
        again = respill(names, order, others, _weights(others, config), config)
        if again is not None:
            found, operators, planes = again, others, better

    ends = graph.inputs[0], order.owner[graph.outputs[0]], *order.constants
    inner = [buffer for buffer in found.spilled if buffer.name not in ends]
    offsets = place(inner, (), capacity=1 << 31, alignment=config.port_bytes)
    return Plan(
        order=order,
        operators=operators,
        planes=planes,
        addresses=found.addresses,
        spilled={buffer.name: offsets.get(buffer.name, 0) for buffer in found.spilled},
        spilled_bytes=max((offsets[buffer.name] + buffer.size for buffer in inner), default=0),
        stripes=found.stripes,
    )


def _resident_plan(
    graph: Graph, order: Order, addresses: Mapping[str, int], config: EngineConfig, *, allow_strips: bool
) -> Plan:
    planes = choose_planes(graph, config, allow_strips=allow_strips)
    operators = tuple(read_operator(graph, node, config, planes, allow_strips=allow_strips) for node in order.layers)
    strips = tuple(
        Buffer(name=operator.strips.name, size=operator.strips.nbytes, first=step, last=step)
        for step, operator in enumerate(operators, 1)
        if isinstance(operator, EngineLayer) and operator.strips is not None
    )
    if strips:
        owner = {**order.owner, **{buffer.name: buffer.name for buffer in strips}}
        order = replace(order, owner=owner, buffers=(*order.buffers, *strips))
        addresses = place(order.buffers, order.steps, capacity=config.act_buffer_bytes, alignment=config.act_port_bytes)
    # A layer with constants brings them along, all at once.
    stripes = {}
    for step, operator in enumerate(operators, 1):
        own = [name for name, at in order.constants.items() if at == step]
        if own:
            slots = {name: (addresses[name], graph.tensors[name].nbytes) for name in own}
            stripes[step] = Stripes(rows=(range(operator.rows),), slots=slots)
    return Plan(
        order=order,
        operators=operators,
        planes=planes,
        addresses={name: address for name, address in addresses.items() if name not in order.constants},
        spilled=dict.fromkeys(order.constants, 0),
        stripes=stripes,
    )


def make_plan(graph: Graph, config: EngineConfig) -> Plan:
    """Plan a network: in the activation buffer if it fits, otherwise with some tensors in main memory.

    Layers work with strips of their input (`in_strips`) where that is faster, if there is room for all of them.

    Raises
    ------
    CompileError
        If the hardware cannot run it: the sentence names the layer, what it needs and what there is.
    """
    order = schedule(graph)
    limits = {"capacity": config.act_buffer_bytes, "alignment": config.act_port_bytes}
    try:
        addresses = place(order.buffers, order.steps, **limits)
    except Misfit as reason:
        if not order.layers:
            raise CompileError(str(reason)) from None
        return _spilled_plan(graph, order, config)
    try:
        return _resident_plan(graph, order, addresses, config, allow_strips=True)
    except Misfit:
        return _resident_plan(graph, order, addresses, config, allow_strips=False)


def plan_network(graph: Graph, config: EngineConfig) -> tuple[Pruning, Plan]:
    """What is left of a network when it is folded, pruned and expanded, and the plan of that; raises as `make_plan`."""
    pruning = prune(fold(graph).graph, config.lanes)
    spreading = expand(pruning.graph, config.act_port_bytes)
    plan = make_plan(spreading.graph, config)
    plan = replace(plan, copies=spreading.copies, stands_for=spreading.stands_for)
    return replace(pruning, graph=spreading.graph), plan
