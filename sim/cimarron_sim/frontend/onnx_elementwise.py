"""Operators without weights."""

import dataclasses
import math
from typing import Any

import numpy as np
import onnx

from ..graph import MAX_VALUES
from .layer import convolution, pooling
from .model import ModelError, Unsupported
from .onnx_context import (
    AGAIN,
    DTYPES,
    QUANTISE,
    Context,
    Handler,
    activation,
    attributes,
    in_model_order,
    label_of,
    name_of,
    real_values,
)
from .onnx_integer import per_output
from .onnx_rescale import add_elementwise
from .values import Constant, Elementwise, Layer, QuantizedConstant, Reals, Sums, Unknown, Value

__all__ = ["HANDLERS", "elementwise", "softmax"]


def elementwise(context: Context, node: onnx.NodeProto, op: str, *sources: Reals, **attributes: Any) -> Elementwise:
    """An operator whose result has the shape and order of its inputs."""
    inputs = tuple(context.draft.ordered(source) for source in sources)
    shape = context.draft.tensors[inputs[0]].shape
    return Elementwise(
        name=name_of(node),
        operator=len(context.operators) - 1,
        op=op,
        inputs=inputs,
        shape=shape,
        positions=in_model_order(shape),
        attributes=attributes,
    )


def _rounded_up(
    geometry: dict[str, tuple[int, ...]], size: tuple[int, int], kernel: tuple[int, int]
) -> tuple[tuple[int, ...], tuple[int, int]]:
    """Padding and output of a pool that has one more window per axis if the last one leaves pixels over.

    What that window lacks is padding behind the image. There is none if it would begin behind the image, too.
    """
    pads, out = list(geometry["pads"]), []
    for axis, (pixels, taps, step) in enumerate(zip(size, kernel, geometry["stride"], strict=True)):
        windows, over = divmod(pads[axis] + pixels + pads[axis + 2] - taps, step)
        windows += 1
        if over and windows * step < pads[axis] + pixels:
            windows, pads[axis + 2] = windows + 1, pads[axis + 2] + step - over
        out.append(windows)
    return tuple(pads), (out[0], out[1])


def _pool(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    op = "max_pool" if node.op_type.endswith("MaxPool") else "average_pool"
    context.verdict(op)
    x, values = activation(inputs[0]), attributes(node)
    if x is None:
        return context.unknown(node)
    if x.positions.ndim != 4:
        raise Unsupported(f"it has {x.positions.ndim - 2} spatial dimensions", "use a two-dimensional pool")
    batch, channels, *size = x.positions.shape
    if node.op_type.startswith("Global"):
        values = {"kernel_shape": size}
    kernel = pooling(label_of(node), tuple(values.get("kernel_shape", ())))
    geometry, out = convolution(label_of(node), values, (size[0], size[1]), kernel, batch * channels)
    if geometry.pop("dilation") != (1, 1):
        raise Unsupported("it is dilated", "use a plain pool")
    pads = geometry["pads"]
    if values.get("ceil_mode", 0):
        geometry["pads"], out = _rounded_up(geometry, (size[0], size[1]), kernel)
    if op == "average_pool" and any(pads) and values.get("count_include_pad", 0):
        # The padding that makes room for the last window is not counted.
        geometry["pads"] = tuple(now - before for now, before in zip(geometry["pads"], pads, strict=True))
        x = _bordered(context, node, x, pads)
    if any(pad >= kernel[i % 2] for i, pad in enumerate(geometry["pads"])):
        raise ModelError(f"{label_of(node)} has windows of nothing but padding: {AGAIN}")
    if op == "average_pool" and kernel == tuple(size) and not any(pads):
        # ONNX Runtime adds integers where nothing but one window is read.
        context.verdict("mean")
        value = elementwise(context, node, "mean", x, axes=(1, 2))
    else:
        value = elementwise(context, node, op, x, kernel=kernel, **geometry)
    shape = (batch, *out, channels)
    return dataclasses.replace(value, shape=shape, positions=in_model_order(shape))


def _bordered(context: Context, node: onnx.NodeProto, x: Reals, pads: tuple[int, ...]) -> Reals:
    """An image with a border of zeros, which a mean counts."""
    source = context.draft.tensors[context.draft.ordered(x)]
    top, left, bottom, right = pads
    pairs = ((0, 0), (top, bottom), (left, right), (0, 0))
    shape = tuple(size + sum(pair) for size, pair in zip(source.shape, pairs, strict=True))
    value = elementwise(context, node, "pad", x, pads=pairs, value=0.0)
    name = f"{node.output[0]}.border"
    value = dataclasses.replace(value, name=name, shape=shape, positions=in_model_order(shape))
    integers = add_elementwise(context.draft, value, name, source.dtype, x.quantization)
    return Reals(integers.tensor, integers.positions, x.quantization)


def _mean(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    context.verdict("real_mean")
    x, values = activation(inputs[0]), attributes(node)
    if x is None:
        return context.unknown(node)
    operand = inputs[1] if len(inputs) > 1 else None
    axes = operand.data.reshape(-1).tolist() if isinstance(operand, Constant) else values.get("axes", ())
    if x.positions.ndim != 4 or sorted(axis % 4 for axis in axes) != [2, 3]:
        raise Unsupported("it is not a mean over the pixels of an image", "use a global average pool")
    value = elementwise(context, node, "real_mean", x)
    shape = (value.shape[0], 1, 1, value.shape[3])
    positions = in_model_order(shape)
    if not values.get("keepdims", 1):
        positions = positions.reshape(shape[0], shape[3])
    return dataclasses.replace(value, shape=shape, positions=positions)


def softmax(
    context: Context, node: onnx.NodeProto, inputs: list[Value | None], opset: int | None = None
) -> Elementwise | Unknown:
    """A softmax as the model's opset defines it, or another one."""
    context.verdict("softmax")
    x = activation(inputs[0])
    if x is None:
        return context.unknown(node)
    shape, is_old = x.positions.shape, (opset or context.opset) < 13
    axis = attributes(node).get("axis", 1 if is_old else -1)
    if not -len(shape) <= axis < len(shape):
        raise ModelError(f"{label_of(node)} goes over axis {axis} of {shape}, which does not exist: {AGAIN}")
    axis %= len(shape)
    if is_old:
        # Before opset 13 it went over all axes from `axis` on at once.
        rows, back = x.positions.reshape(math.prod(shape[:axis]), -1), None
    else:
        rows, back = np.moveaxis(x.positions, axis, -1), axis
    tensor, columns = context.draft.matrix(dataclasses.replace(x, positions=rows))
    size = context.draft.tensors[tensor].shape
    # The model's column i stands where the columns in memory say so.
    positions = np.arange(math.prod(size)).reshape(size)[:, np.argsort(columns)].reshape(rows.shape)
    return Elementwise(
        name=name_of(node),
        operator=len(context.operators) - 1,
        op="softmax",
        inputs=(tensor,),
        shape=size,
        positions=positions.reshape(shape) if back is None else np.moveaxis(positions, -1, back),
        attributes={},
    )


def _concat(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    context.verdict("concat")
    parts = [activation(value) for value in inputs]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return context.unknown(node)
    shapes = [part.positions.shape for part in known]
    axis, ndim = attributes(node)["axis"], len(shapes[0])
    axis += ndim if axis < 0 else 0
    rest = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if not 0 <= axis < ndim or len(rest) != 1 or len({len(shape) for shape in shapes}) != 1:
        raise ModelError(f"{label_of(node)} joins {shapes} along axis {axis}, which does not fit: {AGAIN}")
    order = (0, 2, 3, 1) if ndim == 4 else tuple(range(ndim))
    value = elementwise(context, node, "concat", *known, axis=order.index(axis))
    shape = list(value.shape)
    shape[order.index(axis)] = sum(shape_[axis] for shape_ in shapes)
    return dataclasses.replace(value, shape=tuple(shape), positions=in_model_order(tuple(shape)))


def _pad(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    context.verdict("pad")
    x, values = activation(inputs[0]), attributes(node)
    if x is None:
        return context.unknown(node)
    pads, constant, axes = (inputs[place] if len(inputs) > place else None for place in (1, 2, 3))
    if not isinstance(pads, Constant | None) or not isinstance(axes, Constant | None):
        raise Unsupported("its widths or axes are computed", "export the model with fixed sizes")
    widths = list(values.get("pads", ())) if pads is None else pads.data.reshape(-1).tolist()
    real = values.get("value", 0.0)
    if isinstance(constant, Constant | QuantizedConstant) and constant.data.size == 1:
        real = float(real_values(constant).reshape(()))
    elif constant is not None:
        raise Unsupported("its value is not a constant number", "store the value as an initialiser")
    ndim = x.positions.ndim
    if values.get("mode", b"constant") != b"constant" or min(widths, default=0) < 0:
        raise Unsupported("it does not pad with a constant", "pad with zeros")
    if axes is not None:
        widths = _for_all_axes(label_of(node), widths, axes.data.reshape(-1).tolist(), ndim)
    if len(widths) != 2 * ndim:
        raise ModelError(f"{label_of(node)} has {len(widths)} widths for {ndim} axes: {AGAIN}")
    order = (0, 2, 3, 1) if ndim == 4 else tuple(range(ndim))
    pairs = tuple((int(widths[axis]), int(widths[axis + ndim])) for axis in order)
    tensor = context.draft.tensors[context.draft.ordered(x)]
    shape = tuple(size + sum(pair) for size, pair in zip(tensor.shape, pairs, strict=True))
    if int(np.prod(shape, dtype=object)) > MAX_VALUES:
        raise ModelError(f"{label_of(node)} gives the shape {shape}: at most {MAX_VALUES} values can be handled")
    value = elementwise(context, node, "pad", x, pads=pairs, value=real)
    return dataclasses.replace(value, shape=shape, positions=in_model_order(shape))


def _for_all_axes(label: str, widths: list[int], axes: list[int], ndim: int) -> list[int]:
    """Widths of a Pad that names the axes that it pads."""
    places = [axis + ndim if axis < 0 else axis for axis in axes]
    if len(set(places)) < len(places) or not all(0 <= axis < ndim for axis in places) or len(widths) != 2 * len(axes):
        raise ModelError(f"{label} has {len(widths)} widths for the axes {axes} of {ndim}: {AGAIN}")
    all_widths = [0] * (2 * ndim)
    for index, axis in enumerate(places):
        all_widths[axis], all_widths[axis + ndim] = widths[index], widths[index + len(axes)]
    return all_widths


def _addend(context: Context, node: onnx.NodeProto, value: Reals | QuantizedConstant, axes: int) -> str:
    """Name of an operand as a tensor of so many axes, the foremost of size 1 where it has fewer."""
    if isinstance(value, Reals):
        shape = value.positions.shape
        lifted = value.positions.reshape((1,) * (axes - len(shape)) + shape)
        return context.draft.ordered(dataclasses.replace(value, positions=lifted))
    if value.quantization.axis is not None or value.data.dtype not in DTYPES.values() or value.bits != 8:
        raise Unsupported("it adds a constant that has not 8 bits and one scale", QUANTISE)
    data = value.data.reshape((1,) * (axes - value.data.ndim) + value.data.shape)
    data = np.ascontiguousarray(data.transpose(0, 2, 3, 1) if axes == 4 else data)
    return context.draft.constant(f"{node.output[0]}.constant", data, value.quantization)


def _sum(context: Context, node: onnx.NodeProto, operands: list[Reals | QuantizedConstant]) -> Elementwise:
    context.verdict("add")
    shapes = [value.positions.shape if isinstance(value, Reals) else value.data.shape for value in operands]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ModelError(f"{label_of(node)} adds the shapes {shapes}, which do not broadcast: {AGAIN}") from None
    if math.prod(shape) > MAX_VALUES:
        raise ModelError(f"{label_of(node)} gives the shape {shape}: at most {MAX_VALUES} values can be handled")
    in_memory = (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else shape
    return Elementwise(
        name=name_of(node),
        operator=len(context.operators) - 1,
        op="add",
        inputs=tuple(_addend(context, node, value, len(shape)) for value in operands),
        shape=in_memory,
        positions=in_model_order(in_memory),
        attributes={},
    )


def _add(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    if any(isinstance(value, Unknown) for value in inputs):
        return context.unknown(node)
    match inputs:
        case [Layer() as layer, Constant() | QuantizedConstant() as bias]:
            pass
        case [Constant() | QuantizedConstant() as bias, Layer() as layer]:
            pass
        case [Sums(layer, False), Constant() as bias] | [Constant() as bias, Sums(layer, False)]:
            if layer.bias is not None:
                raise Unsupported("it adds to a layer that has a bias", "give the layer one bias")
            return Sums(dataclasses.replace(layer, bias=Constant(per_output(node, layer, bias.data))))
        case [Reals(), Reals() | QuantizedConstant()] | [QuantizedConstant(), Reals()]:
            return _sum(context, node, [value for value in inputs if isinstance(value, Reals | QuantizedConstant)])
        case [Reals(), Constant()] | [Constant(), Reals()]:
            raise Unsupported("it adds a constant of float32", QUANTISE)
        case _:
            raise Unsupported("it adds values that nothing quantised", "put a QuantizeLinear before it")
    if layer.op != "fully_connected" or layer.bias is not None or np.isfinite(layer.bounds).any():
        raise Unsupported("it adds to a layer that cannot take a bias any more", "give the layer the bias")
    return dataclasses.replace(layer, bias=bias)


def _clip(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    source, values = inputs[0], attributes(node)
    if isinstance(source, Unknown):
        return context.unknown(node)
    if isinstance(source, Reals):
        context.verdict("requantise")
        source = elementwise(context, node, "requantise", source)
    if not isinstance(source, Layer | Elementwise):
        raise Unsupported("it does not follow a layer", "put it between a layer and its QuantizeLinear")
    low = 0.0 if node.op_type == "Relu" else values.get("min", -np.inf)
    bounds = [low, values.get("max", np.inf)]
    for i, bound in enumerate(inputs[1:3]):
        if isinstance(bound, Constant | QuantizedConstant) and bound.data.size == 1:
            bounds[i] = float(real_values(bound).reshape(()))
        elif bound is not None:
            raise Unsupported("its bounds are not constant numbers", "store the bounds as initialisers")
    if not bounds[0] <= bounds[1]:
        raise ModelError(f"{label_of(node)} has the bounds {bounds[0]} and {bounds[1]}: exchange them")
    low, high = (min(max(bound, bounds[0]), bounds[1]) for bound in source.bounds)
    return dataclasses.replace(source, low=low, high=high)


HANDLERS: dict[str, Handler] = {
    "Add": _add,
    "AveragePool": _pool,
    "Clip": _clip,
    "Concat": _concat,
    "GlobalAveragePool": _pool,
    "GlobalMaxPool": _pool,
    "MaxPool": _pool,
    "Pad": _pad,
    "ReduceMean": _mean,
    "Relu": _clip,
    "Softmax": softmax,
}
