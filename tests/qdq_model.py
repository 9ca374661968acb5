"""Builds small ONNX QDQ models, layer by layer, for tests."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

__all__ = ["QdqModel", "layer_model"]

_ELEMENT = {np.dtype(np.int8): TensorProto.INT8, np.dtype(np.uint8): TensorProto.UINT8}


class QdqModel:
    """A model under construction: every method adds an operator and returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    def constant(self, name: str, value: ArrayLike) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def input(self, name: str, shape: tuple[int | str, ...], dtype: type = np.float32) -> str:
        element = _ELEMENT.get(np.dtype(dtype), TensorProto.FLOAT)
        self.inputs.append(helper.make_tensor_value_info(name, element, shape))
        return name

    def output(self, name: str, dtype: type = np.float32) -> str:
        element = _ELEMENT.get(np.dtype(dtype), TensorProto.FLOAT)
        self.outputs.append(helper.make_tensor_value_info(name, element, None))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def quantise(self, source: str, output: str, scale: ArrayLike, zero_point: ArrayLike) -> str:
        parameters = [self.constant(f"{output}_s", scale), self.constant(f"{output}_z", zero_point)]
        return self.node("QuantizeLinear", [source, *parameters], output)

    def dequantise(self, source: str, output: str, scale: ArrayLike, zero_point: ArrayLike, axis: int = 0) -> str:
        parameters = [self.constant(f"{output}_s", scale), self.constant(f"{output}_z", zero_point)]
        attributes = {"axis": axis} if np.ndim(scale) else {}
        return self.node("DequantizeLinear", [source, *parameters], output, **attributes)

    def weights(self, name: str, data: np.ndarray, scale: ArrayLike, axis: int = 0) -> str:
        integers = self.constant(f"{name}_int", data)
        return self.dequantise(integers, name, scale, np.zeros(np.shape(scale), data.dtype), axis)

    def model(self, opset: int = 17) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "test", self.inputs, self.outputs, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)

    def bytes(self, opset: int = 17) -> bytes:
        return self.model(opset).SerializeToString()


def layer_model(
    op: str,
    x: np.ndarray,
    x_scale: float | np.floating,
    x_zero_point: int,
    w: np.ndarray,
    w_scale: np.ndarray,
    bias: np.ndarray | None,
    y_scale: float | np.floating,
    y_zero_point: int,
    *,
    activation: tuple[str, ...] = (),
    **attributes: Any,
) -> QdqModel:
    """One Conv, Gemm or MatMul from integers ``x`` to integers ``y``.

    Parameters
    ----------
    op : str
    x : int8 or uint8 array
        Only its shape and dtype matter; ``y`` gets the same dtype.
    w : int8 array
        As the operator wants it.
    w_scale : float32 array, shape () or (outputs,)
    bias : int32 array (its scale is ``x_scale * w_scale``), float32 array, or None
    activation : tuple of str
        Operators between the layer and the QuantizeLinear; ``"Clip"`` clips to 0 to 6.
    **attributes
        Of the operator.
    """
    made, dtype = QdqModel(), x.dtype.type
    axis = 0 if op == "Conv" or attributes.get("transB") else 1
    source = made.dequantise(
        made.input("x", x.shape, dtype), "x_real", np.float32(x_scale), np.array(x_zero_point, dtype)
    )
    inputs = [source, made.weights("w", w, w_scale.astype(np.float32), axis)]
    if bias is not None:
        if bias.dtype == np.int32:
            b = made.weights("b", bias, (np.float32(x_scale) * w_scale).astype(np.float32))
        else:
            b = made.constant("b", bias)
        inputs += [b] if op != "MatMul" else []
    result = made.node(op, inputs, "real", **attributes)
    if bias is not None and op == "MatMul":
        result = made.node("Add", [result, "b"], "sum")
    for i, name in enumerate(activation):
        bounds = [made.constant(f"low{i}", np.float32(0)), made.constant(f"high{i}", np.float32(6))]
        result = made.node(name, [result, *(bounds if name == "Clip" else [])], f"active{i}")
    made.quantise(result, made.output("y", dtype), np.float32(y_scale), np.array(y_zero_point, dtype))
    return made
