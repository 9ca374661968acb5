"""Means of float32 numbers as two of integers between which they lie, and a step of the CPU where these differ."""

from cimarron.isa import Profile

from ..graph import Node
from .errors import CompileError
from .real_mean import exact_scale, read_real_mean
from .rewriter import Rewriter
from .spread import Spreading

__all__ = ["bracket_means", "is_for_the_cpu"]


def is_for_the_cpu(rewriter: Rewriter, node: Node) -> bool:
    """Whether no multiplier gives a node's means; one that cannot be run at all is for nobody."""
    if rewriter.graph.profile is not Profile.ONNX or node.op not in ("average_pool", "real_mean"):
        return False
    try:
        return exact_scale(read_real_mean(rewriter.tensors, node)) is None
    except CompileError:
        return False


def bracket_means(spreading: Spreading) -> Spreading:
    """Bracket every mean for which there is no exact multiplier.

    Two nodes with the attribute ``side`` give bounds; behind them one called ``settle``, which has the mean's name,
    takes what both agree on. A mean that the hardware cannot run stays.
    """
    work = Rewriter(spreading)
    for node in spreading.graph.nodes:
        if any(node.attributes.get("pads", ())) or not is_for_the_cpu(work, node):
            work.nodes.append(node)
            continue
        y = spreading.graph.tensors[node.outputs[0]]
        sides = [work.tensor(node, y, y.shape) for _ in range(2)]
        for side, name in zip((-1, 1), sides, strict=True):
            attributes = {**node.attributes, "side": side}
            work.nodes.append(Node(work.fresh(node), node.op, node.inputs, (name,), attributes))
        work.parts += sides
        attributes = {**node.attributes, "of": node.op}
        work.nodes.append(Node(node.name, "settle", (*node.inputs, *sides), node.outputs, attributes))
        if node.outputs[0] not in spreading.copies:
            work.stands_for.setdefault(node.name, spreading.stands_for.get(node.name, node.op))
    return work.result()
