"""Builds small TFLite models, operator by operator, for tests."""

from typing import Any

import flatbuffers
import numpy as np
import pytest
from numpy.typing import ArrayLike

schema = pytest.importorskip(
    "tflite_micro.tensorflow.lite.micro.python.schema_py_generated", reason="needs tflite-micro, a development package"
)

__all__ = ["TfliteModel", "schema"]

_TYPES = {
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.uint8): schema.TensorType.UINT8,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.float32): schema.TensorType.FLOAT32,
}


def _nibbles(data: np.ndarray) -> bytes:
    """4-bit integers, two per byte, the earlier one in the low half."""
    halves = (data.reshape(-1) & 15).astype(np.uint8)
    halves = np.append(halves, np.zeros(halves.size % 2, np.uint8))
    return (halves[::2] | halves[1::2] << 4).tobytes()


class TfliteModel:
    """A model under construction; tensors are known by their index.

    Parameters
    ----------
    wide : bool
        Store 4-bit weights as int8, for an interpreter that knows no other.
    """

    def __init__(self, *, wide: bool = False) -> None:
        self.wide = wide
        self.buffers = [schema.BufferT()]
        self.codes: list[Any] = []
        self.operators: list[Any] = []
        self.tensors: list[Any] = []
        self.inputs: list[int] = []
        self.outputs: list[int] = []

    def tensor(
        self,
        shape: tuple[int, ...],
        dtype: type = np.int8,
        scale: ArrayLike | None = None,
        zero_point: ArrayLike = 0,
        *,
        axis: int = 0,
        data: np.ndarray | None = None,
        bits: int = 8,
    ) -> int:
        """Add a tensor; constant if it has data."""
        tensor = schema.TensorT()
        tensor.shape = list(shape)
        tensor.name = f"t{len(self.tensors)}"
        tensor.type = _TYPES[np.dtype(dtype)] if bits == 8 or self.wide else schema.TensorType.INT4
        if scale is not None:
            quantization = schema.QuantizationParametersT()
            quantization.scale = [float(value) for value in np.asarray(scale, np.float32).reshape(-1)]
            points = np.broadcast_to(np.asarray(zero_point, np.int64).reshape(-1), len(quantization.scale))
            quantization.zeroPoint = [int(value) for value in points]
            quantization.quantizedDimension = axis
            tensor.quantization = quantization
        if data is not None:
            buffer = schema.BufferT()
            content = _nibbles(data) if tensor.type == schema.TensorType.INT4 else np.ascontiguousarray(data).tobytes()
            buffer.data = np.frombuffer(content, np.uint8)
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def numbers(self, values: ArrayLike) -> int:
        """Add a constant of int32."""
        data = np.asarray(values, np.int32)
        return self.tensor(data.shape, np.int32, data=data)

    def operator(self, op: str, inputs: list[int], output: int, table: str = "", **options: Any) -> int:
        """Add an operator with the options of the named table."""
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, op)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = 1
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.codes)
        operator.inputs, operator.outputs = list(inputs), [output]
        if table:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, table)
            operator.builtinOptions = getattr(schema, f"{table}T")()
            for name, value in options.items():
                assert hasattr(operator.builtinOptions, name)
                setattr(operator.builtinOptions, name, value)
        self.codes.append(code)
        self.operators.append(operator)
        return output

    def bytes(self) -> bytes:
        """The file."""
        graph = schema.SubGraphT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = self.inputs, self.outputs
        graph.name = "test"
        model = schema.ModelT()
        model.version, model.description = 3, "test"
        model.buffers, model.operatorCodes, model.subgraphs = self.buffers, self.codes, [graph]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())
