"""QuantizeLinear and DequantizeLinear, and the scales that QLinear operators have in the same form."""

import dataclasses

import numpy as np
import onnx

from ..graph import Port, Quantization
from .model import ModelError, Unsupported
from .onnx_context import AGAIN, DTYPES, NARROW, Context, Handler, attributes, label_of
from .onnx_elementwise import elementwise
from .onnx_rescale import add_elementwise, is_same
from .values import Constant, Elementwise, Floats, Integers, Layer, QuantizedConstant, Reals, Unknown, Value

__all__ = ["HANDLERS", "quantization_of", "read_integers"]


def quantization_of(
    node: onnx.NodeProto, inputs: list[Value | None], ndim: int
) -> tuple[Quantization, np.dtype | None]:
    """Scale and zero point of a QuantizeLinear or DequantizeLinear; the zero point's dtype, if there is one."""
    label, values = label_of(node), attributes(node)
    scale, zero_point = inputs[1], inputs[2] if len(inputs) > 2 else None
    if not isinstance(scale, Constant) or not isinstance(zero_point, Constant | None):
        raise Unsupported("its scale or zero point is computed", "store both as initialisers")
    if values.get("block_size", 0):
        raise Unsupported("it has a scale per block", "quantise per tensor or per channel")
    if scale.data.dtype != np.float32:
        raise Unsupported(f"its scale is {scale.data.dtype}", "use a float32 scale")
    if (wrong := scale.data[~(np.isfinite(scale.data) & (scale.data > 0))]).size:
        raise ModelError(f"{label} has the scale {wrong.reshape(-1)[0]}, not a positive number: {AGAIN}")
    points = np.zeros(scale.data.shape, np.int32) if zero_point is None else zero_point.data
    if points.size != scale.data.size or scale.data.ndim > 1:
        raise ModelError(
            f"{label} has scales of shape {scale.data.shape} but zero points of shape {points.shape}: {AGAIN}"
        )
    if not points.dtype.name.startswith(("int", "uint")):
        raise ModelError(f"{label} has a zero point of {points.dtype}, not an integer: {AGAIN}")
    axis = None if scale.data.size == 1 else values.get("axis", 1)
    if axis is not None and axis < 0:
        axis += ndim
    shape = () if axis is None else scale.data.shape
    quantization = Quantization(scale.data.reshape(shape), points.astype(np.int32).reshape(shape), axis)
    return quantization, None if zero_point is None else points.dtype


def read_integers(
    context: Context,
    node: onnx.NodeProto,
    source: Constant | Integers,
    quantization: Quantization,
    points: np.dtype | None,
) -> QuantizedConstant | Reals:
    """The real numbers that integers stand for; `points` is the dtype of their zero point."""
    if isinstance(source, Constant):
        axis, count, dtype = quantization.axis, quantization.scale.size, source.data.dtype
        if axis is not None and source.data.shape[axis : axis + 1] != (count,):
            raise ModelError(
                f"{label_of(node)} has {count} scales for axis {axis} of shape {source.data.shape}: {AGAIN}"
            )
        value = QuantizedConstant(source.data, quantization, 4 if dtype.name in NARROW else 8)
    else:
        tensor = context.draft.tensors[source.tensor]
        dtype = tensor.dtype
        if quantization.axis is not None:
            raise Unsupported("it has a scale per channel of an activation", "quantise activations per tensor")
        if tensor.quantization is None:
            context.draft.tensors[source.tensor] = dataclasses.replace(tensor, quantization=quantization)
        elif not is_same(tensor, tensor.dtype, quantization):
            raise Unsupported("it reads integers with another scale than they were written with", "use one scale")
        value = Reals(source.tensor, source.positions, quantization)
    if points not in (None, dtype):
        raise ModelError(f"{label_of(node)} has a zero point of {points} for values of {dtype}: {AGAIN}")
    return value


def _dequantize(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    source = inputs[0]
    if isinstance(source, Unknown):
        return source
    if isinstance(source, Constant):
        quantization, points = quantization_of(node, inputs, source.data.ndim)
    elif isinstance(source, Integers):
        quantization, points = quantization_of(node, inputs, source.positions.ndim)
    else:
        raise ModelError(f"{label_of(node)} reads float32: {AGAIN}")
    return read_integers(context, node, source, quantization, points)


def _quantize(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    source, name = inputs[0], node.output[0]
    quantization, points = quantization_of(node, inputs, 0)
    if quantization.axis is not None:
        raise Unsupported("it has a scale per channel of an activation", "quantise activations per tensor")
    dtype = points or DTYPES.get(attributes(node).get("output_dtype", onnx.TensorProto.UINT8))
    if dtype is None or dtype not in DTYPES.values():
        raise Unsupported("it quantises to another type than int8 or uint8", "quantise activations to 8 bits")
    match source:
        case Layer():
            return context.draft.add_layer(source, name, dtype, quantization)
        case Elementwise():
            return add_elementwise(context.draft, source, name, dtype, quantization)
        case Reals(tensor, positions):
            if is_same(context.draft.tensors[tensor], dtype, quantization):
                return Integers(tensor, positions)
            return context.draft.add_elementwise(
                elementwise(context, node, "requantise", source), name, dtype, quantization
            )
        case Floats(caller, shape, positions):
            if any(port.name == caller for port in context.draft.ports.values()):
                raise Unsupported(f"it quantises the input {caller!r} a second time", "quantise the input once")
            context.draft.add_input(name, Port(caller, shape, np.dtype(np.float32)), dtype, quantization)
            return Integers(name, positions)
        case Unknown(shape) if shape is not None:
            context.draft.add_loose(name, shape, dtype, quantization)
            return Integers(name, np.arange(int(np.prod(shape))).reshape(shape))
        case Unknown():
            return source
    raise Unsupported("it quantises a constant or integers", "store constants as integers")


def _dynamic(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    raise Unsupported(
        "it chooses scales while the model runs",
        "quantise with fixed ones: onnxruntime.quantization.quantize_static",
    )


HANDLERS: dict[str, Handler] = {
    "DequantizeLinear": _dequantize,
    "DynamicQuantizeLinear": _dynamic,
    "QuantizeLinear": _quantize,
}
