"""Integer operators, whose scale comes behind them: the 32-bit sums, a Cast, a Mul."""

import dataclasses

import numpy as np
import onnx

from ..graph import Quantization
from .layer import layer_weights, transposed
from .model import ModelError, Unsupported
from .onnx_context import AGAIN, NARROW, QUANTISE, Context, Handler, attributes, label_of
from .onnx_layers import convolve, matrix, multiply
from .values import Constant, Integers, Layer, QuantizedConstant, Reals, Sums, Unknown, Value

__all__ = ["HANDLERS", "per_output"]


def _operands(
    context: Context, node: onnx.NodeProto, inputs: list[Value | None], axis: int
) -> tuple[Reals, QuantizedConstant] | None:
    """Operands of an Integer operator as if their scale were 1; None behind one that is not supported."""
    source, weights = inputs[:2]
    points = [inputs[place] if len(inputs) > place else None for place in (2, 3)]
    if isinstance(source, Unknown) or isinstance(weights, Unknown):
        return None
    if not isinstance(source, Integers) or not isinstance(weights, Constant):
        raise Unsupported("it multiplies other values than an activation and constants", QUANTISE)
    if weights.data.ndim <= axis:
        raise Unsupported(f"its weights have {weights.data.ndim} dimensions", "use a matrix or a convolution's weights")
    zeros = []
    for point in points:
        if not isinstance(point, Constant | None):
            raise Unsupported("its zero point is computed", "store zero points as initialisers")
        zeros.append(np.zeros((), np.int32) if point is None else point.data.astype(np.int32))
    if zeros[0].size != 1 or zeros[1].size not in (1, weights.data.shape[axis]):
        raise Unsupported("it has a zero point per row", "quantise activations per tensor")
    tensor = context.draft.tensors[source.tensor]
    if tensor.quantization is None:
        quantization = Quantization.per_tensor(1.0, int(zeros[0].reshape(())))
        context.draft.tensors[source.tensor] = tensor = dataclasses.replace(tensor, quantization=quantization)
    assert tensor.quantization is not None
    if tensor.quantization.axis is not None or tensor.zero_point != int(zeros[0].reshape(())):
        raise Unsupported("it reads integers with another zero point than they were written with", "use one")
    zero = zeros[1].reshape(-1) if zeros[1].size > 1 else zeros[1].reshape(())
    scale = Quantization(np.ones(zero.shape, np.float32), zero, axis if zero.ndim else None)
    bits = 4 if weights.data.dtype.name in NARROW else 8
    w = layer_weights(QuantizedConstant(weights.data, scale, bits), axis)
    return Reals(source.tensor, source.positions, tensor.quantization), w


def _conv_integer(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    context.verdict("conv2d")
    operands = _operands(context, node, inputs, 0)
    if operands is None:
        return context.unknown(node)
    if operands[1].data.ndim != 4:
        raise Unsupported("it has not two spatial dimensions", "use a two-dimensional convolution")
    return Sums(convolve(context, node, *operands, None))


def _matmul_integer(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    context.verdict("fully_connected")
    operands = _operands(context, node, inputs, 1)
    if operands is None:
        return context.unknown(node)
    layer = multiply(context, node, operands[0], transposed(matrix(operands[1])), None)
    assert isinstance(layer, Layer)
    return Sums(layer)


def _cast(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    source = inputs[0]
    if isinstance(source, Unknown):
        return context.unknown(node)
    if not isinstance(source, Sums) or attributes(node).get("to") != onnx.TensorProto.FLOAT:
        raise Unsupported("it casts other values than 32-bit sums to float32", QUANTISE)
    return dataclasses.replace(source, real=True)


def _mul(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    if any(isinstance(value, Unknown) for value in inputs):
        return context.unknown(node)
    match inputs:
        case [Sums(layer, True), Constant(factor)] | [Constant(factor), Sums(layer, True)]:
            pass
        case _:
            raise Unsupported("it multiplies other values than 32-bit sums with their scale", QUANTISE)
    scale = per_output(node, layer, factor)
    if factor.dtype != np.float32 or not np.all(np.isfinite(scale) & (scale > 0)):
        raise ModelError(f"{label_of(node)} scales with numbers that are not positive float32: {AGAIN}")
    return context.draft.add_sums(layer, node.output[0], scale)


def per_output(node: onnx.NodeProto, layer: Layer, values: np.ndarray) -> np.ndarray:
    """`values` that broadcast with a layer's result: one, or one per output."""
    outputs = layer.weights.data.shape[0]
    shape = (outputs,) if layer.op == "fully_connected" else (outputs, 1, 1)
    # More axes of size 1 in front change nothing.
    trimmed = values.reshape(values.shape[values.ndim - len(shape) :]) if values.size == outputs > 1 else values
    if values.size == 1:
        return values.reshape(())
    if trimmed.shape != shape:
        raise ModelError(f"{label_of(node)} has {outputs} outputs but an operand of {values.shape}: let them agree")
    return values.reshape(-1)


HANDLERS: dict[str, Handler] = {
    "Cast": _cast,
    "ConvInteger": _conv_integer,
    "MatMulInteger": _matmul_integer,
    "Mul": _mul,
}
