"""Constants, and operators that move no data: they only rename the axes of a value."""

import dataclasses

import numpy as np
import onnx

from .model import ModelError, Unsupported
from .onnx_context import Context, Handler, attributes
from .values import (
    Constant,
    Elementwise,
    Floats,
    Integers,
    Layer,
    QuantizedConstant,
    Reals,
    Sums,
    Value,
)  # fmt: skip

__all__ = ["HANDLERS"]

_VIEWS = ("Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")


def _reshape(node: onnx.NodeProto, array: np.ndarray, target: list[int]) -> np.ndarray:
    if not attributes(node).get("allowzero", 0):
        target = [array.shape[i] if size == 0 and i < array.ndim else size for i, size in enumerate(target)]
    return array.reshape(target)


def _squeeze(array: np.ndarray, axes: list[int] | None) -> np.ndarray:
    return np.squeeze(array, None if axes is None else tuple(axes))


def _seen(node: onnx.NodeProto, array: np.ndarray, operand: np.ndarray | None) -> np.ndarray:
    """`array` as the output of `node` shows it.

    Parameters
    ----------
    node : NodeProto
        One of the operators that move no data.
    array : array
        The node's first input, or the positions of its elements.
    operand : int array or None
        The node's second input: a shape or axes, where it is not an attribute.

    Raises
    ------
    ModelError
        If the sizes do not fit.
    """
    values = attributes(node)
    try:
        listed = None if operand is None else [int(number) for number in operand.reshape(-1)]
        match node.op_type:
            case "Flatten":
                axis = values.get("axis", 1)
                return array.reshape(int(np.prod(array.shape[: axis if axis >= 0 else array.ndim + axis])), -1)
            case "Reshape":
                return _reshape(node, array, listed or [])
            case "Squeeze":
                return _squeeze(array, values.get("axes", listed))
            case "Unsqueeze":
                return np.expand_dims(array, tuple(values.get("axes", listed or ())))
            case "Transpose":
                return array.transpose(values.get("perm"))
            case _:
                return array
    except (OverflowError, TypeError, ValueError) as error:
        raise ModelError(f"{node.op_type} {node.name or node.output[0]!r} does not fit its input ({error})") from None


def _view(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    source, operand = inputs[0], inputs[1] if len(inputs) > 1 and node.op_type != "Dropout" else None
    if not isinstance(operand, Constant | None):
        raise Unsupported("its shape or axes are computed", "export the model with fixed sizes")
    numbers = None if operand is None else operand.data
    context.verdict("view")
    match source:
        case Integers() | Reals() | Floats() | Elementwise():
            return dataclasses.replace(source, positions=_seen(node, source.positions, numbers))
        case Constant(data):
            return Constant(_seen(node, data, numbers))
        case QuantizedConstant(data, quantization):
            if quantization.axis is not None:
                if node.op_type != "Transpose":
                    raise Unsupported("it reshapes weights with a scale per channel", "store them reshaped")
                order = list(attributes(node).get("perm", range(data.ndim)[::-1]))
                quantization = dataclasses.replace(quantization, axis=order.index(quantization.axis))
            return dataclasses.replace(source, data=_seen(node, data, numbers), quantization=quantization)
        case Layer() | Sums():
            raise Unsupported("it reads float32 that nothing quantised", "put a QuantizeLinear before it")
    return context.unknown(node)


def _constant(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    values = attributes(node)
    if "value" in values:
        return Constant(onnx.numpy_helper.to_array(values["value"]))
    for kind, dtype in (("float", np.float32), ("int", np.int64)):
        for key in (f"value_{kind}", f"value_{kind}s"):
            if key in values:
                return Constant(np.array(values[key], dtype))
    raise Unsupported("it holds neither a tensor nor numbers", "store it as an initialiser")


HANDLERS: dict[str, Handler] = {"Constant": _constant, **dict.fromkeys(_VIEWS, _view)}
