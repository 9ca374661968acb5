"""Runs a whole graph, keeping every tensor."""

from collections.abc import Callable, Mapping

import numpy as np

from ..graph import Graph, GraphError
from .add import add
from .average_pool import average_pool
from .concat import concat
from .conv2d import conv2d
from .depthwise_conv2d import depthwise_conv2d
from .fully_connected import fully_connected
from .max_pool import max_pool
from .mean import mean
from .pad import pad
from .real_mean import real_mean
from .rescale import rescale
from .reshape import reshape
from .softmax import softmax

__all__ = ["execute"]

_OPERATORS: dict[str, Callable[..., np.ndarray]] = {
    "fully_connected": fully_connected,
    "conv2d": conv2d,
    "depthwise_conv2d": depthwise_conv2d,
    "average_pool": average_pool,
    "max_pool": max_pool,
    "add": add,
    "mean": mean,
    "real_mean": real_mean,
    "requantise": rescale,
    "softmax": softmax,
    "pad": pad,
    "concat": concat,
    "reshape": reshape,
}


def execute(graph: Graph, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every tensor that `graph` computes.

    Parameters
    ----------
    graph : Graph
    inputs : dict of str to array
        By name, each of its tensor's shape and dtype: what `Graph.encode` gives.

    Returns
    -------
    dict of str to array
        Inputs, intermediate tensors and outputs by name, each of its tensor's shape and dtype.

    Raises
    ------
    GraphError
        If an input is missing, unknown, or of another shape or dtype.
    """
    if set(inputs) != set(graph.inputs):
        raise GraphError(f"graph {graph.name!r} takes the inputs {', '.join(graph.inputs)}, not {', '.join(inputs)}")
    values = {name: tensor.data for name, tensor in graph.tensors.items() if tensor.data is not None}
    constants = set(values)
    for name, array in inputs.items():
        tensor = graph.tensors[name]
        if array.shape != tensor.shape or array.dtype != tensor.dtype:
            raise GraphError(
                f"input {name!r} is {tensor.dtype} {tensor.shape}, not {array.dtype} {array.shape}:"
                " prepare it with Graph.encode"
            )
        values[name] = array
    for node in graph.nodes:
        operands = (values[name] for name in node.inputs)
        values[node.outputs[0]] = _OPERATORS[node.op](graph, node, *operands)
    return {name: value for name, value in values.items() if name not in constants}
