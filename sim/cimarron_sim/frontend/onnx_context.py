"""What the lowering of one ONNX model knows so far, and what all its operators ask."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import onnx

from .draft import Draft
from .model import Operator, Unsupported
from .values import Constant, QuantizedConstant, Reals, Unknown, Value

__all__ = [
    "AGAIN", "DTYPES", "NARROW", "QUANTISE", "Context", "Handler", "activation", "attributes", "in_model_order",
    "label_of", "name_of", "real_values",
]  # fmt: skip

QUANTISE = "quantise it with onnxruntime.quantization.quantize_static"
AGAIN = "quantise the model again"
DTYPES = {int(onnx.TensorProto.INT8): np.dtype(np.int8), int(onnx.TensorProto.UINT8): np.dtype(np.uint8)}
NARROW = ("int4", "uint4")


class Context:
    """The graph under construction and the verdicts.

    Parameters
    ----------
    name : str
        Of the graph.
    shapes : dict of str to tuple of int
        What ONNX infers about values; only needed behind operators that are not supported.
    opset : int
        The version of the operators.
    """

    def __init__(self, name: str, shapes: Mapping[str, tuple[int, ...]], opset: int) -> None:
        #: Verdicts on all operators, except constants, QuantizeLinear and DequantizeLinear that are fine.
        self.operators: list[Operator] = []
        self.draft = Draft(name)
        self.shapes = shapes
        self.opset = opset

    def verdict(self, becomes: str) -> None:
        """What becomes of the operator that is being lowered."""
        self.operators[-1] = dataclasses.replace(self.operators[-1], becomes=becomes)

    def unknown(self, node: onnx.NodeProto) -> Unknown:
        """The result of an operator that cannot be lowered, or that is behind one."""
        return Unknown(self.shapes.get(node.output[0]))


#: Lowers one operator, given what is known about its inputs.
Handler = Callable[[Context, onnx.NodeProto, list[Value | None]], Value]


def attributes(node: onnx.NodeProto) -> dict:
    """Attributes of a node, by name."""
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def name_of(node: onnx.NodeProto) -> str:
    """What reports call an operator: its own name, or that of its result."""
    return node.name or node.output[0]


def label_of(node: onnx.NodeProto) -> str:
    """What sentences call an operator."""
    return f"{node.op_type} {name_of(node)!r}"


def activation(value: Value | None) -> Reals | None:
    """A layer's input; None behind an operator that is not supported."""
    if isinstance(value, Unknown):
        return None
    if not isinstance(value, Reals):
        raise Unsupported("its input is float32", QUANTISE)
    return value


def real_values(value: Constant | QuantizedConstant) -> np.ndarray:
    """The numbers that a constant stands for."""
    return value.data if isinstance(value, Constant) else value.quantization.dequantize(value.data)


def in_model_order(shape: tuple[int, ...]) -> np.ndarray:
    """Positions of a tensor's elements, NCHW for the NHWC of four dimensions."""
    positions = np.arange(int(np.prod(shape))).reshape(shape)
    return positions.transpose(0, 3, 1, 2) if len(shape) == 4 else positions
