"""The order in which a network runs, and how long its activations are needed."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..graph import Graph, Node
from .errors import CompileError
from .memory import Buffer
from .spread import stored_constants

__all__ = ["Order", "schedule"]


@dataclass(frozen=True, eq=False)
class Order:
    """What runs when, and what it needs meanwhile.

    Parameters
    ----------
    layers : tuple of Node
        Nodes that are work, in order: layer i runs in step i + 1.
    steps : tuple of str
        What each step is called: loading the input, the layers, storing the output.
    owner : dict of str to str
        By tensor that is computed or loaded, the one whose bytes it is: itself, or the one it was reshaped from.
    buffers : tuple of Buffer
        Tensors that take up room, with the steps in which they do; a reshaped one is not among them.
    constants : dict of str to int
        Those of them that are constants, and the step that reads each.
    """

    layers: tuple[Node, ...]
    steps: tuple[str, ...]
    owner: Mapping[str, str]
    buffers: tuple[Buffer, ...]
    constants: Mapping[str, int]


def schedule(graph: Graph) -> Order:
    """Order the layers of a graph.

    The input is loaded in step 0; layer i runs in step i + 1.

    Raises
    ------
    CompileError
        If the graph has several inputs or outputs.
    """
    for what, names in (("input", graph.inputs), ("output", graph.outputs)):
        if len(names) != 1:
            raise CompileError(
                f"the network has {len(names)} {what}s ({', '.join(names)}), a program has one: split the model"
            )
    # A reshaped tensor is another name of the same bytes.
    owner = {graph.inputs[0]: graph.inputs[0]}
    first, last = {graph.inputs[0]: 0}, {graph.inputs[0]: 0}
    layers = []
    constants: dict[str, int] = {}
    for node in graph.nodes:
        output = node.outputs[0]
        if node.op == "reshape":
            if node.inputs[0] not in owner:
                raise CompileError(f"layer {node.name!r} reshapes a constant: fold it into the model")
            owner[output] = owner[node.inputs[0]]
            continue
        layers.append(node)
        owner[output] = output
        first[output] = last[output] = len(layers)
        for name in stored_constants(graph, node):
            owner[name], constants[name] = name, len(layers)
            first[name] = len(layers)
        for name in node.inputs:
            if name in owner:
                last[owner[name]] = len(layers)
    if graph.outputs[0] not in owner:
        raise CompileError(f"the network's output {graph.outputs[0]!r} is a constant: there is nothing to run")
    last[owner[graph.outputs[0]]] = len(layers) + 1

    buffers = [Buffer(name=name, size=graph.tensors[name].nbytes, first=first[name], last=last[name]) for name in first]
    steps = ("loading the input", *(f"layer {node.name!r}" for node in layers), "storing the output")
    return Order(tuple(layers), steps, owner, tuple(buffers), constants)
