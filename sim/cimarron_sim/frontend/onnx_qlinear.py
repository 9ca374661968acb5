"""QLinear operators: layers with the scales of all operands among their inputs."""

import dataclasses

import numpy as np
import onnx

from ..graph import Quantization
from .layer import layer_weights, transposed
from .model import Unsupported
from .onnx_context import DTYPES, QUANTISE, Context, Handler, attributes
from .onnx_layers import convolve, matrix, multiply, scaled
from .onnx_scales import quantization_of, read_integers
from .values import Constant, Integers, Layer, QuantizedConstant, Reals, Unknown, Value

__all__ = ["HANDLERS", "parameters"]


def parameters(
    node: onnx.NodeProto, inputs: list[Value | None], place: int, axis: int | None = None
) -> tuple[Quantization, np.dtype | None]:
    """Scale and zero point of a QLinear operator's operand, from the inputs `place` and the one behind."""
    scale, points = inputs[place : place + 2]
    if isinstance(scale, Constant) and scale.data.dtype == np.float16:
        # As the operator defines it: whatever type the scales have, they are multiplied as real numbers.
        scale = Constant(scale.data.astype(np.float32))
    quantization, points = quantization_of(node, [None, scale, points], 0)
    if quantization.axis is not None:
        quantization = dataclasses.replace(quantization, axis=axis)
    return quantization, points


def _operands(
    context: Context, node: onnx.NodeProto, inputs: list[Value | None], axis: int, place: int = 6
) -> tuple[Reals, QuantizedConstant, Quantization, np.dtype] | None:
    """Operands of a QLinear operator and what its result is wanted in, by the inputs from `place` on.

    None behind one that is not supported.
    """
    source, weights = inputs[0], inputs[3]
    if isinstance(source, Unknown) or isinstance(weights, Unknown):
        return None
    if not isinstance(source, Integers) or not isinstance(weights, Constant):
        raise Unsupported("it multiplies other values than an activation and constants", QUANTISE)
    x = read_integers(context, node, source, *parameters(node, inputs, 1))
    w = read_integers(context, node, weights, *parameters(node, inputs, 4, axis))
    wanted, dtype = parameters(node, inputs, place)
    if wanted.axis is not None or dtype not in DTYPES.values():
        raise Unsupported("its result is not quantised to 8 bits with one scale", QUANTISE)
    assert isinstance(x, Reals)
    assert isinstance(w, QuantizedConstant)
    return x, layer_weights(w, axis), wanted, np.dtype(dtype)


def _qlinear_conv(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    context.verdict("conv2d")
    operands = _operands(context, node, inputs, 0)
    if operands is None:
        return context.unknown(node)
    x, w, wanted, dtype = operands
    if w.data.ndim != 4:
        raise Unsupported(f"it has {w.data.ndim - 2} spatial dimensions", "use a two-dimensional convolution")
    bias = _bias(inputs[8] if len(inputs) > 8 else None, x, w)
    layer = dataclasses.replace(convolve(context, node, x, w, None), bias=bias)
    return context.draft.add_layer(layer, node.output[0], dtype, wanted)


def _qlinear_matmul(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    context.verdict("fully_connected")
    operands = _operands(context, node, inputs, 1)
    if operands is None:
        return context.unknown(node)
    x, w, wanted, dtype = operands
    layer = multiply(context, node, x, transposed(matrix(w)), None)
    assert isinstance(layer, Layer)
    return context.draft.add_layer(layer, node.output[0], dtype, wanted)


def _qgemm(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    context.verdict("fully_connected")
    values = attributes(node)
    if values.get("transA", 0):
        raise Unsupported("it transposes its input", "transpose it before the product")
    inputs = [*inputs, *[None] * (9 - len(inputs))]
    axis = 0 if values.get("transB", 0) else 1
    operands = _operands(context, node, inputs, axis, 7)
    if operands is None:
        return context.unknown(node)
    x, w, wanted, dtype = operands
    w = scaled(w, values.get("alpha", 1.0))
    bias = _bias(inputs[6], x, w)
    w = matrix(w, axis) if axis == 0 else transposed(matrix(w))
    layer = multiply(context, node, x, w, None)
    assert isinstance(layer, Layer)
    layer = dataclasses.replace(layer, bias=bias)
    return context.draft.add_layer(layer, node.output[0], dtype, wanted)


def _bias(bias: Value | None, x: Reals, w: QuantizedConstant) -> QuantizedConstant | None:
    """A bias in the integers of the layer's sums; it may be absent."""
    if bias is None:
        return None
    if not isinstance(bias, Constant) or bias.data.dtype != np.int32:
        raise Unsupported("its bias is computed or not int32", "store the bias as an initialiser of int32")
    products = x.quantization.scale * w.quantization.scale
    scale = Quantization(products, np.zeros(products.shape, np.int32), 0 if products.ndim else None)
    return QuantizedConstant(bias.data, scale)


HANDLERS: dict[str, Handler] = {"QGemm": _qgemm, "QLinearConv": _qlinear_conv, "QLinearMatMul": _qlinear_matmul}
