"""From a graph to a program."""

import dataclasses
from collections.abc import Sequence
from itertools import groupby

import numpy as np
from cimarron.config import EngineConfig, SocConfig
from cimarron.isa import PROGRAM_OFFSET, RAM_BASE, Profile, Step

from ..graph import WEIGHTED, Graph, Tensor
from .bound import NO_BOUND, load_bound, mac_bound, peak_macs, store_bound
from .check import Place, check
from .errors import CompileError
from .fold import fold
from .image import HEADER_BYTES, descriptor, finish, step
from .layer import read_layer
from .layout import Layout, lay_out
from .operator import EngineLayer
from .plan import Plan, plan_network
from .program import Activation, Layer, Placement, Program
from .prune import Pruning, prune
from .stream import weight_stream
from .vector import VectorLayer
from .work import Places, Work, layer_work, load_job, store_job

__all__ = ["assemble", "compile", "refuse_heavy"]


def _refuse_unsupported(graph: Graph, config: SocConfig) -> None:
    reasons = [verdict.reason for verdict in check(graph, config) if verdict.place is Place.UNSUPPORTED]
    if reasons:
        raise CompileError("; ".join(reasons))


def refuse_heavy(graph: Graph, config: SocConfig) -> None:
    """Refuse a network whose weights alone are too many, before time goes into cutting its layers.

    Raises
    ------
    CompileError
    """
    available = config.ram_bytes - PROGRAM_OFFSET
    tensors = [graph.tensors[node.inputs[1]] for node in graph.nodes if node.op in WEIGHTED]
    # Less their zero point, weights may need fewer bits than they are stored in.
    if (
        sum(tensor.size * (1 if np.any(tensor.zero_points) else tensor.bits or 1) for tensor in tensors)
        <= 8 * available
    ):
        return
    # There may be fewer of them, if channels are left out.
    pruned = prune(fold(graph).graph, config.engine.lanes).graph
    try:
        layers = [read_layer(pruned, node) for node in pruned.nodes if node.op in WEIGHTED]
    except CompileError:
        return
    sizes = {layer.name: layer.weights.size * layer.weight_bits // 8 for layer in layers}
    if sum(sizes.values()) > available:
        largest = max(sizes, key=sizes.__getitem__)
        raise CompileError(
            f"the network has {sum(sizes.values())} bytes of weights, {available} bytes of main memory are free; the"
            f" largest layer {largest!r} takes {sizes[largest]}: choose a configuration with more ram_bytes"
        )


def _content(tensor: Tensor) -> bytes:
    assert tensor.data is not None
    return tensor.data.tobytes()


def _refuse_oversized(layout: Layout, plan: Plan, streams: Sequence[bytes], config: SocConfig) -> None:
    available = config.ram_bytes - PROGRAM_OFFSET
    if layout.memory_bytes <= available:
        return
    layers = {node.name: len(stream) for node, stream in zip(plan.order.layers, streams, strict=False)}
    needs = {
        "activations that the buffer has no room for": plan.spilled_bytes,
        "input and output": layout.spilled - layout.input,
    }
    if layers:
        largest = max(layers, key=layers.__getitem__)
        needs[f"the largest layer {largest!r}"] = layers[largest]
    (first, most), *others = sorted(needs.items(), key=lambda need: -need[1])
    parts = [f"{first} {'takes' if first.startswith('the') else 'take'} {most}"]
    parts += [f"{what} {need}" for what, need in others if need]
    raise CompileError(
        f"the program needs {layout.memory_bytes} bytes of main memory, {available} are free; {', '.join(parts)}:"
        f" choose a configuration with more ram_bytes"
    )


def _places(graph: Graph, plan: Plan, layout: Layout) -> Places:
    """Where each tensor lies: in the buffer, or, by offset in the image, in main memory."""
    source, target = graph.inputs[0], plan.order.owner[graph.outputs[0]]
    memory = {name: layout.spilled + offset for name, offset in plan.spilled.items()}
    memory |= {name: offset for name, offset in ((source, layout.input), (target, layout.output)) if name in memory}
    memory |= zip(plan.order.constants, layout.streams[len(plan.operators) :], strict=True)
    return Places(plan=plan, memory=memory)


def _activation(graph: Graph, places: Places, name: str) -> Activation:
    tensor, owner = graph.tensors[name], places.plan.order.owner[name]
    is_spilled = owner in places.memory
    address = places.memory[owner] if is_spilled else places.plan.addresses[owner]
    return Activation(tensor=name, address=address, shape=tensor.shape, dtype=tensor.dtype.name, is_spilled=is_spilled)


def _ends(graph: Graph, places: Places) -> tuple[Activation, Activation]:
    """Input and output, which the layers move themselves if they are spilled."""
    return _activation(graph, places, graph.inputs[0]), _activation(graph, places, graph.outputs[0])


def _work(graph: Graph, places: Places, config: EngineConfig, layout: Layout) -> list[Work]:
    """What each layer does."""
    return [
        layer_work(graph.profile, operator, places, index + 1, config, offset)
        for index, (operator, offset) in enumerate(zip(places.plan.operators, layout.streams, strict=False))
    ]


def _steps(graph: Graph, places: Places, config: EngineConfig, layout: Layout) -> tuple[bytes, bytes]:
    """Steps and job descriptors; as long wherever things lie."""
    base = RAM_BASE + PROGRAM_OFFSET
    source, result = _ends(graph, places)
    items = [item for work in _work(graph, places, config, layout) for item in work.items]
    if not source.is_spilled:
        items.insert(0, load_job(base + layout.input, source.address, source.nbytes))
    if not result.is_spilled:
        items.append(store_job(result.address, base + layout.output, result.nbytes))
    items.append(step(Step.END))

    steps, descriptors = b"", b""
    for is_job, run in groupby(items, key=lambda item: isinstance(item, list)):
        if is_job:
            found = [descriptor(words) for words in run]
            steps += step(Step.JOBS, [layout.jobs + len(descriptors), len(found)])
            descriptors += b"".join(found)
        else:
            steps += b"".join(map(bytes, run))
    return steps, descriptors


def _layers(pruning: Pruning, places: Places, config: EngineConfig, layout: Layout) -> tuple[Layer, ...]:
    graph, plan = pruning.graph, places.plan
    source, result = _ends(graph, places)
    works = _work(graph, places, config, layout)
    layers, jobs, copying = [], 0, NO_BOUND
    if not source.is_spilled:
        bound = load_bound(source.nbytes, config)
        layers.append(Layer(name="input", op="load", last_job=0, output=source, macs=0, peak_macs=0.0, bound=bound))
        jobs += 1
    for node, operator, work in zip(plan.order.layers, plan.operators, works, strict=True):
        planes = operator.tiling.y_planes if isinstance(operator, EngineLayer) else 0
        absent = tuple(pruning.absent.get(node.outputs[0], {}).items())
        output = dataclasses.replace(_activation(graph, places, node.outputs[0]), planes=planes, absent=absent)
        jobs += len(work.items)
        macs, peak, bound = 0, 0.0, NO_BOUND
        if isinstance(operator, EngineLayer):
            layer, part = operator.layer, operator.parts[-1]
            macs, peak = layer.macs, peak_macs(config, layer.act_bits, part.tiling.weight_bits)
            bound = mac_bound(part.layer, part.tiling, config, passes=work.passes)
        elif isinstance(operator, VectorLayer):
            bound = operator.bound(config)
            bound = dataclasses.replace(bound, weights=bound.weights * work.passes // len(operator.steps))
        bound += sum((load_bound(size, config) for size in work.loads), start=NO_BOUND)
        bound += sum((store_bound(size, config) for size in work.stores), start=copying)
        if node.outputs[0] in plan.copies:
            copying = bound
            continue
        copying = NO_BOUND
        layers.append(
            Layer(
                name=node.name, op=plan.stands_for.get(node.name, node.op), last_job=jobs - 1, output=output, macs=macs,
                peak_macs=peak, bound=bound,
            )
        )  # fmt: skip
    if not result.is_spilled:
        bound = store_bound(result.nbytes, config)
        stored = dataclasses.replace(result, address=layout.output, is_spilled=True)
        layers.append(
            Layer(name="output", op="store", last_job=jobs, output=stored, macs=0, peak_macs=0.0, bound=bound)
        )
    return tuple(layers)


def _placements(graph: Graph, places: Places) -> tuple[Placement, ...]:
    """In the order in which they are written; layers count from the loading of the input, if it is loaded as one."""
    plan = places.plan

    def index(step: int) -> int:
        return plan.layer_of(step) - int(graph.inputs[0] in places.memory)

    found = [
        Placement(
            tensor=buffer.name,
            address=plan.addresses[buffer.name],
            nbytes=buffer.size,
            first=index(buffer.first),
            last=index(buffer.last),
        )
        for buffer in plan.order.buffers
        if buffer.name in plan.addresses
    ]
    for number, stripes in plan.stripes.items():
        at = index(number)
        found += [
            Placement(tensor=name, address=address, nbytes=size, first=at, last=at, stripes=len(stripes.rows))
            for name, (address, size) in stripes.slots.items()
        ]
    return tuple(sorted(found, key=lambda placement: placement.first))


def _shared(plan: Plan, streams: Sequence[bytes]) -> list[int]:
    """Index of each stream, or of the first with the same content where parts of layers have the same tables."""
    first: dict[bytes, int] = {}
    shared = list(range(len(streams)))
    for index, (node, operator) in enumerate(zip(plan.order.layers, plan.operators, strict=True)):
        is_part = node.outputs[0] in plan.copies or node.name in plan.stands_for
        if is_part and not isinstance(operator, EngineLayer):
            shared[index] = first.setdefault(streams[index], index)
    return shared


def assemble(pruning: Pruning, plan: Plan, config: SocConfig) -> Program:
    """The program of a planned network: see `plan_network`, and `compile`, which does both."""
    graph, engine = pruning.graph, config.engine
    streams = [
        b"".join(weight_stream(part.layer, part.tiling, graph.profile, engine) for part in operator.parts)
        if isinstance(operator, EngineLayer)
        else operator.data
        for operator in plan.operators
    ]
    streams += [_content(graph.tensors[name]) for name in plan.order.constants]

    shared = _shared(plan, streams)
    nowhere = Layout(jobs=0, streams=(0,) * len(streams), input=0, output=0, spilled=0, memory_bytes=0)
    steps, descriptors = _steps(graph, _places(graph, plan, nowhere), engine, nowhere)
    layout = lay_out(
        len(steps),
        len(descriptors),
        [len(stream) if index == at else 0 for at, (index, stream) in enumerate(zip(shared, streams, strict=True))],
        input_bytes=graph.tensors[graph.inputs[0]].nbytes,
        output_bytes=graph.tensors[graph.outputs[0]].nbytes,
        spilled_bytes=plan.spilled_bytes,
        port_bytes=engine.port_bytes,
    )
    layout = dataclasses.replace(layout, streams=tuple(layout.streams[index] for index in shared))
    _refuse_oversized(layout, plan, streams, config)

    image = bytearray(layout.input)
    places = _places(graph, plan, layout)
    source, result = _ends(graph, places)
    steps, descriptors = _steps(graph, places, engine, layout)
    parts = zip((steps, descriptors, *streams), (HEADER_BYTES, layout.jobs, *layout.streams), strict=True)
    for part, offset in parts:
        image[offset : offset + len(part)] = part
    return Program(
        name=graph.name,
        image=finish(
            bytes(image[HEADER_BYTES:]),
            config_hash=engine.hash,
            memory_bytes=layout.memory_bytes,
            steps_offset=HEADER_BYTES,
            steps_bytes=len(steps),
            input_offset=layout.input,
            input_bytes=source.nbytes,
            output_offset=layout.output,
            output_bytes=result.nbytes,
            model_hash=int(graph.model_hash[:8] or "0", 16),
        ),
        layers=_layers(pruning, places, engine, layout),
        placements=_placements(graph, places),
        input=source,
        output=result,
        model_hash=graph.model_hash,
        profile=Profile(graph.profile).name.lower(),
    )


def compile(graph: Graph, config: SocConfig) -> Program:
    """Compile a network for the given hardware.

    Same graph and configuration, same bytes.

    Parameters
    ----------
    graph : Graph
        With one input and one output.
    config : SocConfig

    Returns
    -------
    Program

    Raises
    ------
    CompileError
        If the hardware cannot run the network: the sentence names the layer, what it needs and what there is.
    """
    refuse_heavy(graph, config)
    _refuse_unsupported(graph, config)
    return assemble(*plan_network(graph, config.engine), config)
