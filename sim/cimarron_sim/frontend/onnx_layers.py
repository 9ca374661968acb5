"""Convolutions and matrix products of real numbers, which a QuantizeLinear behind them turns into layers."""

import dataclasses

import numpy as np
import onnx

from .layer import convolution, layer_weights, transposed
from .model import ModelError, Unsupported
from .onnx_context import Context, Handler, activation, attributes, label_of, name_of, real_values
from .values import Constant, Layer, QuantizedConstant, Reals, Value

__all__ = ["HANDLERS", "convolve", "matrix", "multiply", "scaled"]


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
    if values.get("transA", 0):
        raise Unsupported("it transposes its input", "transpose it before the product")
    alpha, beta = values.get("alpha", 1.0), values.get("beta", 1.0)
    w = matrix(inputs[1], 0) if values.get("transB", 0) else transposed(matrix(inputs[1]))
    return multiply(context, node, inputs[0], scaled(w, alpha), _times(bias_of(inputs[2:]), alpha, beta))


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


def scaled(weights: QuantizedConstant, alpha: float) -> QuantizedConstant:
    """Weights times a positive number."""
    if not 0 < alpha < np.inf:
        raise Unsupported(f"its alpha is {alpha:g}, not positive", "fold it into the weights")
    scale = weights.quantization.scale * np.float32(alpha)
    return dataclasses.replace(weights, quantization=dataclasses.replace(weights.quantization, scale=scale))


def _times(bias: QuantizedConstant | Constant | None, alpha: float, beta: float) -> QuantizedConstant | Constant | None:
    """`beta` times a bias, for a layer whose weights were multiplied by `alpha`."""
    if bias is None or alpha == beta == 1:
        return bias
    if isinstance(bias, QuantizedConstant) and alpha == beta:
        return scaled(bias, alpha)
    return Constant((real_values(bias) * np.float32(beta)).astype(np.float32))


def bias_of(rest: list[Value | None]) -> QuantizedConstant | Constant | None:
    """A layer's third input, which may be absent."""
    value = rest[0] if rest else None
    if not isinstance(value, QuantizedConstant | Constant | None):
        raise Unsupported("its bias is computed", "store the bias as an initialiser")
    return value


def _normalise(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    raise Unsupported(
        "no convolution beside it takes it in",
        "fold it into the layer before it, or into a convolution behind it that has no padding",
    )


HANDLERS: dict[str, Handler] = {"BatchNormalization": _normalise, "Conv": _conv, "Gemm": _gemm, "MatMul": _matmul}
