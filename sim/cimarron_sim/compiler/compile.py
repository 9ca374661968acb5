"""From a graph to a program."""

import dataclasses
from collections.abc import Sequence
from itertools import groupby

from cimarron.config import EngineConfig, SocConfig
from cimarron.isa import PROGRAM_OFFSET, RAM_BASE, Opcode, Profile, Step, pack_job

from ..graph import Graph
from .bound import NO_BOUND, load_bound, mac_bound, peak_macs
from .check import Place, check
from .cpu import CpuLayer
from .errors import CompileError
from .fold import fold
from .image import HEADER_BYTES, descriptor, finish, step
from .layout import Layout, lay_out
from .operator import EngineLayer, read_operator
from .planes import choose_planes
from .program import Activation, Layer, Placement, Program
from .prune import Pruning, prune
from .schedule import Schedule, schedule
from .stream import weight_stream
from .tiling import jobs
from .vector import VectorLayer

__all__ = ["compile"]

_Operators = Sequence[EngineLayer | VectorLayer | CpuLayer]


def _refuse_unsupported(graph: Graph, config: SocConfig) -> None:
    reasons = [verdict.reason for verdict in check(graph, config) if verdict.place is Place.UNSUPPORTED]
    if reasons:
        raise CompileError("; ".join(reasons))


def _refuse_oversized(layout: Layout, plan: Schedule, streams: Sequence[bytes], config: SocConfig) -> None:
    available = config.ram_bytes - PROGRAM_OFFSET
    if layout.memory_bytes <= available:
        return
    sizes = {node.name: len(stream) for node, stream in zip(plan.layers, streams, strict=True)}
    largest = max(sizes, key=sizes.__getitem__, default="input")
    raise CompileError(
        f"the program needs {layout.memory_bytes} bytes of main memory, {available} are free; the largest layer"
        f" {largest!r} takes {sizes.get(largest, 0)}: choose a configuration with more ram_bytes"
    )


def _activation(graph: Graph, plan: Schedule, name: str) -> Activation:
    tensor = graph.tensors[name]
    return Activation(tensor=name, address=plan.addresses[name], shape=tensor.shape, dtype=tensor.dtype.name)


def _jobs(
    graph: Graph, plan: Schedule, operator: EngineLayer, config: EngineConfig, weight_address: int
) -> list[list[int]]:
    layer = operator.layer
    return jobs(
        layer,
        operator.tiling,
        config,
        profile=graph.profile,
        x_address=plan.addresses[layer.x.name],
        y_address=plan.addresses[layer.y.name],
        weight_address=weight_address,
    )


def _steps(
    graph: Graph, plan: Schedule, operators: _Operators, config: EngineConfig, layout: Layout
) -> tuple[bytes, bytes]:
    """Steps and job descriptors; as long wherever things lie."""
    base = RAM_BASE + PROGRAM_OFFSET
    source, result = (_activation(graph, plan, names[0]) for names in (graph.inputs, graph.outputs))
    load = {"source": base + layout.input, "destination": source.address, "length": source.nbytes}
    work: list[bytes | list[int]] = [pack_job(Opcode.LOAD, **load)]
    for operator, offset in zip(operators, layout.streams, strict=True):
        if isinstance(operator, EngineLayer):
            work += _jobs(graph, plan, operator, config, base + offset)
        elif isinstance(operator, VectorLayer):
            work += operator.descriptors(plan.addresses, base + offset)
        else:
            work.append(operator.words(plan.addresses, offset))
    work += [step(Step.FETCH, [result.address, layout.output, result.nbytes]), step(Step.END)]

    steps, descriptors = b"", b""
    for is_job, run in groupby(work, key=lambda item: isinstance(item, list)):
        if is_job:
            found = [descriptor(words) for words in run]
            steps += step(Step.JOBS, [layout.jobs + len(descriptors), len(found)])
            descriptors += b"".join(found)
        else:
            steps += b"".join(map(bytes, run))
    return steps, descriptors


def _layers(pruning: Pruning, plan: Schedule, operators: _Operators, config: SocConfig) -> tuple[Layer, ...]:
    engine, graph = config.engine, pruning.graph
    source = _activation(graph, plan, graph.inputs[0])
    bound = load_bound(source.nbytes, engine)
    layers = [Layer(name="input", op="load", last_job=0, output=source, macs=0, peak_macs=0.0, bound=bound)]
    for node, operator in zip(plan.layers, operators, strict=True):
        planes = operator.tiling.y_planes if isinstance(operator, EngineLayer) else 0
        absent = tuple(pruning.absent.get(node.outputs[0], {}).items())
        output = dataclasses.replace(_activation(graph, plan, node.outputs[0]), planes=planes, absent=absent)
        jobs_before = layers[-1].last_job
        if not isinstance(operator, EngineLayer):
            last_job = jobs_before + len(operator.steps)
            bound = operator.bound(engine) if isinstance(operator, VectorLayer) else NO_BOUND
            layers.append(
                Layer(name=node.name, op=node.op, last_job=last_job, output=output, macs=0, peak_macs=0.0, bound=bound)
            )
            continue
        layer, tiling = operator.layer, operator.tiling
        layers.append(
            Layer(
                name=node.name,
                op=node.op,
                last_job=jobs_before + operator.jobs,
                output=output,
                macs=layer.macs,
                peak_macs=peak_macs(engine, layer.act_bits, tiling.weight_bits),
                bound=mac_bound(layer, tiling, engine),
            )
        )
    return tuple(layers)


def _placements(plan: Schedule) -> tuple[Placement, ...]:
    return tuple(
        Placement(
            tensor=buffer.name,
            address=plan.addresses[buffer.name],
            nbytes=buffer.size,
            first=buffer.first,
            last=buffer.last,
        )
        for buffer in plan.buffers
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
    _refuse_unsupported(graph, config)
    engine = config.engine
    pruning = prune(fold(graph).graph, engine.lanes)
    graph = pruning.graph
    plan = schedule(graph, engine)
    planes = choose_planes(graph, engine)
    operators = [read_operator(graph, node, engine, planes) for node in plan.layers]
    streams = [
        weight_stream(operator.layer, operator.tiling, graph.profile, engine)
        if isinstance(operator, EngineLayer)
        else operator.data
        for operator in operators
    ]
    layers = _layers(pruning, plan, operators, config)
    source, result = (_activation(graph, plan, names[0]) for names in (graph.inputs, graph.outputs))

    nowhere = Layout(jobs=0, streams=(0,) * len(operators), input=0, output=0, memory_bytes=0)
    steps, descriptors = _steps(graph, plan, operators, engine, nowhere)
    layout = lay_out(
        len(steps),
        len(descriptors),
        [len(stream) for stream in streams],
        input_bytes=source.nbytes,
        output_bytes=result.nbytes,
        port_bytes=engine.port_bytes,
    )
    _refuse_oversized(layout, plan, streams, config)

    image = bytearray(layout.input)
    steps, descriptors = _steps(graph, plan, operators, engine, layout)
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
        layers=layers,
        placements=_placements(plan),
        input=source,
        output=result,
        model_hash=graph.model_hash,
        profile=Profile(graph.profile).name.lower(),
    )
