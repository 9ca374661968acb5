"""From a graph to a program."""

from cimarron.config import SocConfig
from cimarron.isa import PROGRAM_OFFSET, RAM_BASE, Opcode, Profile, Step, pack_job

from ..graph import Graph
from .bound import load_bound, mac_bound, peak_macs
from .check import Place, check
from .errors import CompileError
from .image import HEADER_BYTES, align, finish, step
from .layer import read_layer
from .program import Activation, Layer, Program
from .schedule import schedule
from .stream import weight_stream
from .tiling import jobs, tile

__all__ = ["compile"]


def _refuse_unsupported(graph: Graph, config: SocConfig) -> None:
    reasons = [verdict.reason for verdict in check(graph, config) if verdict.place is Place.UNSUPPORTED]
    if reasons:
        raise CompileError("; ".join(reasons))


def compile(graph: Graph, config: SocConfig) -> Program:
    """Compile a network for the given hardware.

    The image holds header, steps and weight streams, each layer's on a boundary of the memory port; input and output
    lie behind it. Same graph and configuration, same bytes.

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
    plan = schedule(graph, engine)
    macs = [(layer, tile(layer, engine)) for layer in (read_layer(graph, node) for node in plan.layers)]
    streams = [weight_stream(layer, tiling, graph.profile, engine) for layer, tiling in macs]

    def activation(name: str) -> Activation:
        tensor = graph.tensors[name]
        return Activation(tensor=name, address=plan.addresses[name], shape=tensor.shape, dtype=tensor.dtype.name)

    source, result = activation(graph.inputs[0]), activation(graph.outputs[0])

    def lay_out(weights_offset: int) -> tuple[list[int], int]:
        """Offset of each stream, and of what follows the last."""
        offsets = []
        for stream in streams:
            offsets.append(weights_offset)
            weights_offset = align(weights_offset + len(stream), engine.port_bytes)
        return offsets, weights_offset

    def steps_for(weights_offset: int) -> tuple[bytes, list[int]]:
        """Steps of a program whose weights begin there, and the index of the last job of every layer."""
        offsets, input_offset = lay_out(weights_offset)
        load = {"source": RAM_BASE + PROGRAM_OFFSET + input_offset, "destination": source.address}
        descriptors = [pack_job(Opcode.LOAD, **load, length=source.nbytes)]
        ends = [0]
        for (layer, tiling), offset in zip(macs, offsets, strict=True):
            descriptors += jobs(
                layer, tiling, profile=graph.profile,
                x_address=plan.addresses[layer.x.name], y_address=plan.addresses[layer.y.name],
                weight_address=RAM_BASE + PROGRAM_OFFSET + offset,
            )  # fmt: skip
            ends.append(len(descriptors) - 1)
        output_offset = align(input_offset + source.nbytes, 4)
        steps = b"".join(step(Step.JOB, words) for words in descriptors)
        steps += step(Step.WAIT) + step(Step.FETCH, [result.address, output_offset, result.nbytes]) + step(Step.END)
        return steps, ends

    # The number of steps does not depend on where the weights are, so a first pass gives their place.
    weights_offset = align(HEADER_BYTES + len(steps_for(0)[0]), engine.port_bytes)
    steps, ends = steps_for(weights_offset)
    offsets, input_offset = lay_out(weights_offset)
    output_offset = align(input_offset + source.nbytes, 4)
    body = bytearray(input_offset - HEADER_BYTES)
    body[: len(steps)] = steps
    for stream, offset in zip(streams, offsets, strict=True):
        body[offset - HEADER_BYTES : offset - HEADER_BYTES + len(stream)] = stream
    memory_bytes = align(output_offset + result.nbytes, 4)
    available = config.ram_bytes - PROGRAM_OFFSET
    if memory_bytes > available:
        name, most = max(
            ((layer.name, len(s)) for (layer, _), s in zip(macs, streams, strict=True)), key=lambda x: x[1]
        )
        raise CompileError(
            f"the program needs {memory_bytes} bytes of main memory, {available} are free; the largest layer"
            f" {name!r} takes {most}: choose a configuration with more ram_bytes"
        )
    image = finish(
        bytes(body),
        config_hash=engine.hash,
        memory_bytes=memory_bytes,
        steps_offset=HEADER_BYTES,
        steps_bytes=len(steps),
        input_offset=input_offset,
        input_bytes=source.nbytes,
        output_offset=output_offset,
        output_bytes=result.nbytes,
        model_hash=int(graph.model_hash[:8] or "0", 16),
    )
    layers = [
        Layer(
            name="input", op="load", last_job=0, output=source, macs=0, peak_macs=0.0,
            bound=load_bound(source.nbytes, engine),
        )
    ]  # fmt: skip
    layers += [
        Layer(
            name=layer.name, op=layer.node.op, last_job=end, output=activation(layer.y.name), macs=layer.macs,
            peak_macs=peak_macs(engine, layer.x.bits, tiling.weight_bits), bound=mac_bound(layer, tiling, engine),
        )
        for (layer, tiling), end in zip(macs, ends[1:], strict=True)
    ]  # fmt: skip
    return Program(
        name=graph.name,
        image=image,
        layers=tuple(layers),
        input=source,
        output=result,
        model_hash=graph.model_hash,
        profile=Profile(graph.profile).name.lower(),
    )
