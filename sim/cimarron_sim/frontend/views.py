"""Operators that move no data: they only rename the axes of a value."""

import numpy as np
import onnx

from .model import ModelError

__all__ = ["VIEWS", "attributes", "view"]

#: ONNX operators that `view` understands.
VIEWS = frozenset({"Flatten", "Identity", "Dropout", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})


def attributes(node: onnx.NodeProto) -> dict:
    """Attributes of a node, by name."""
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _reshape(node: onnx.NodeProto, array: np.ndarray, target: list[int]) -> np.ndarray:
    if not attributes(node).get("allowzero", 0):
        target = [array.shape[i] if size == 0 and i < array.ndim else size for i, size in enumerate(target)]
    return array.reshape(target)


def _squeeze(array: np.ndarray, axes: list[int] | None) -> np.ndarray:
    return np.squeeze(array, None if axes is None else tuple(axes))


def view(node: onnx.NodeProto, array: np.ndarray, operand: np.ndarray | None) -> np.ndarray:
    """`array` as the output of `node` shows it.

    Parameters
    ----------
    node : NodeProto
        One of `VIEWS`.
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
