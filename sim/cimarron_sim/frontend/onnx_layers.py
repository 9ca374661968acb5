"""Convolutions and matrix products of real numbers, which a QuantizeLinear behind them turns into layers."""

import dataclasses

import numpy as np
import onnx

from .layer import convolution, layer_weights, transposed
from .model import ModelError, Unsupported
from .onnx_context import Context, Handler, activation, attributes, label_of, name_of
from .values import Constant, Layer, QuantizedConstant, Reals, Value

__all__ = ["HANDLERS", "convolve", "matrix", "multiply"]


def _conv(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    context.verdict("conv2d")
    w, x = layer_weights(inputs[1], 0), inputs[0]
    if w.data.ndim != 4:
        raise Unsupported(f"it has {w.data.ndim - 2} spatial dimensions", "use a two-dimensional convolution")
    x = activation(x)
    if x is None:
        return context.unknown(node)
    return convolve(context, node, x, w, bias_of(inputs[2:]))


def convolve(
    context: Context, node: onnx.NodeProto, x: Reals, w: QuantizedConstant, bias: QuantizedConstant | Constant | None
) -> Layer:
    """A convolution of one group, or of a group per channel."""
    values = attributes(node)
    groups, kernel = values.get("group", 1), (w.data.shape[2], w.data.shape[3])
    if x.positions.ndim != 4 or x.positions.shape[1] != groups * w.data.shape[1]:
        raise ModelError(
            f"{label_of(node)} reads {x.positions.shape} with weights of {w.data.shape}: let the channels agree"
        )
    batch, channels, height, width = x.positions.shape
    data = np.ascontiguousarray(w.data.transpose(0, 2, 3, 1))
    op = "conv2d"
    if groups != 1:
        if groups != channels:
            raise Unsupported(f"it has {groups} groups", "use a convolution of one group, or of one per channel")
        if w.data.shape[0] % groups:
            raise ModelError(f"{label_of(node)} has {w.data.shape[0]} outputs in {groups} groups: export it again")
        op, data = "depthwise_conv2d", np.ascontiguousarray(data[..., 0])
    context.verdict(op)
    geometry, size = convolution(label_of(node), values, (height, width), kernel, batch * channels)
    return Layer(
        name=name_of(node),
        operator=len(context.operators) - 1,
        op=op,
        input=context.draft.ordered(x),
        input_quantization=x.quantization,
        weights=dataclasses.replace(w, data=data),
        bias=bias,
        attributes=geometry,
        shape=(batch, w.data.shape[0], *size),
    )


def _gemm(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    context.verdict("fully_connected")
    values = attributes(node)
    if values.get("transA", 0) or values.get("alpha", 1.0) != 1 or values.get("beta", 1.0) != 1:
        raise Unsupported("it transposes its input or scales with alpha or beta", "fold these into the weights")
    if values.get("transB", 0):
        return multiply(context, node, inputs[0], matrix(inputs[1], 0), bias_of(inputs[2:]))
    return multiply(context, node, inputs[0], transposed(matrix(inputs[1])), bias_of(inputs[2:]))


def _matmul(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    context.verdict("fully_connected")
    return multiply(context, node, inputs[0], transposed(matrix(inputs[1])), None)


def multiply(
    context: Context,
    node: onnx.NodeProto,
    source: Value | None,
    w: QuantizedConstant,
    bias: QuantizedConstant | Constant | None,
) -> Value:
    x = activation(source)
    if x is None:
        return context.unknown(node)
    shape = x.positions.shape
    if len(shape) < 2 or shape[-1] != w.data.shape[1] or (node.op_type == "Gemm" and len(shape) != 2):
        raise ModelError(f"{label_of(node)} reads {shape} with weights for {w.data.shape[1]} inputs: let them agree")
    tensor, columns = context.draft.matrix(x)
    return Layer(
        name=name_of(node),
        operator=len(context.operators) - 1,
        op="fully_connected",
        input=tensor,
        input_quantization=x.quantization,
        weights=dataclasses.replace(w, data=np.ascontiguousarray(w.data[:, columns])),
        bias=bias,
        attributes={},
        shape=(*shape[:-1], w.data.shape[0]),
    )


def matrix(value: Value | None, axis: int = 1) -> QuantizedConstant:
    """Weights of a fully connected layer, whose outputs lie along `axis`."""
    weights = layer_weights(value, axis)
    if weights.data.ndim != 2:
        raise Unsupported(f"its weights have {weights.data.ndim} dimensions", "use a matrix")
    return weights


def bias_of(rest: list[Value | None]) -> QuantizedConstant | Constant | None:
    """A layer's third input, which may be absent."""
    value = rest[0] if rest else None
    if not isinstance(value, QuantizedConstant | Constant | None):
        raise Unsupported("its bias is computed", "store the bias as an initialiser")
    return value


HANDLERS: dict[str, Handler] = {"Conv": _conv, "Gemm": _gemm, "MatMul": _matmul}
