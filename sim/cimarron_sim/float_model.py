"""Rewrites of a float ONNX model, for operators that ONNX Runtime's quantiser leaves in float32 or gets wrong."""

from collections import Counter

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .frontend.onnx_context import attributes

__all__ = ["rewrite"]


def rewrite(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same function with other operators.

    A GlobalMaxPool is a MaxPool of the whole image, whose size the model must say. A Gemm's factors go into its
    constants. A BatchNormalization goes into the convolution behind it, if that alone reads it and has no padding,
    which reads as 0 in front of the convolution and would be the shift; or if nothing is shifted. A bias that several
    layers read is stored for each: the quantiser gives a bias the scale of one layer.

    Parameters
    ----------
    model : ModelProto
        Is left as it is.
    """
    model = onnx.shape_inference.infer_shapes(model)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    shapes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.value_info)
    }
    for node in model.graph.node:
        if node.op_type == "GlobalMaxPool" and min(kernel := shapes.get(node.input[0], [0])[2:], default=0) > 0:
            node.op_type = "MaxPool"
            node.attribute.append(helper.make_attribute("kernel_shape", kernel))
        elif node.op_type == "Gemm":
            _take_factors(model.graph, node, constants)
    _take_normalisations(model.graph, constants)
    _part_biases(model.graph)
    return model


def _take_factors(graph: onnx.GraphProto, node: onnx.NodeProto, constants: dict[str, np.ndarray]) -> None:
    values = attributes(node)
    factors = list(zip(node.input[1:], (values.get("alpha", 1.0), values.get("beta", 1.0)), strict=False))
    if not all(name in constants for name, _ in factors if name) or all(factor == 1 for _, factor in factors):
        return
    for place, (name, factor) in enumerate(factors, 1):
        if name and factor != 1:
            node.input[place] = _store(graph, f"{node.output[0]}.{name}.{place}", constants[name] * np.float32(factor))
    kept = [attribute for attribute in node.attribute if attribute.name not in ("alpha", "beta")]
    del node.attribute[:]
    node.attribute.extend(kept)


def _take_normalisations(graph: onnx.GraphProto, constants: dict[str, np.ndarray]) -> None:
    readers = Counter(name for node in graph.node for name in node.input)
    readers.update(value.name for value in graph.output)
    sources = {name: node for node in graph.node for name in node.output}
    for conv in [node for node in graph.node if node.op_type == "Conv"]:
        source = sources.get(conv.input[0])
        if source is None or source.op_type != "BatchNormalization" or readers[conv.input[0]] != 1:
            continue
        if not all(name in constants for name in (*source.input[1:], *filter(None, conv.input[1:]))):
            continue
        gain, shift, mean, variance = (constants[name].astype(np.float64) for name in source.input[1:5])
        factor = gain / np.sqrt(variance + attributes(source).get("epsilon", 1e-5))
        offset = shift - mean * factor
        values = attributes(conv)
        is_padded = any(values.get("pads", ())) or values.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")
        if is_padded and offset.any():
            continue
        weights = constants[conv.input[1]]
        # The channel that each output reads at each place: outputs of a group read that group's channels.
        groups = np.arange(factor.size).reshape(values.get("group", 1), -1)
        index = groups.repeat(weights.shape[0] // len(groups), axis=0)
        along = (..., *[None] * (weights.ndim - 2))
        bias = constants[conv.input[2]] if len(conv.input) > 2 and conv.input[2] else np.zeros(len(weights))
        bias = bias + np.sum(weights * offset[index][along], axis=tuple(range(1, weights.ndim)))
        parts = {"weights": weights * factor[index][along], "bias": bias}
        names = [_store(graph, f"{conv.output[0]}.{part}", value.astype(np.float32)) for part, value in parts.items()]
        inputs = [source.input[0], *names]
        del conv.input[:]
        conv.input.extend(inputs)
        graph.node.remove(source)


def _part_biases(graph: onnx.GraphProto) -> None:
    stored = {tensor.name: tensor for tensor in graph.initializer}
    seen: set[str] = set()
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm") or len(node.input) < 3 or node.input[2] not in stored:
            continue
        if node.input[2] in seen:
            value = numpy_helper.to_array(stored[node.input[2]])
            node.input[2] = _store(graph, f"{node.output[0]}.own_bias", value)
        seen.add(node.input[2])


def _store(graph: onnx.GraphProto, name: str, value: np.ndarray) -> str:
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
    return name
