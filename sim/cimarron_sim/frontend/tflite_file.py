"""What a TFLite file says, read out of its flatbuffer and checked; `tflite` lowers the operators."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tflite

from ..graph import MAX_VALUES, Quantization
from .model import ModelError, Unsupported

__all__ = ["FileModel", "FileOperator", "FileTensor", "read_model"]

#: Nothing that a quantised network is made of has more operands.
_MAX_OPERANDS = 1024

_AGAIN = "convert the model again"

_DTYPES = {
    "INT4": np.dtype(np.int8),
    "INT8": np.dtype(np.int8),
    "UINT8": np.dtype(np.uint8),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FLOAT32": np.dtype(np.float32),
}


def _names(enumeration: type) -> dict[int, str]:
    return {value: key for key, value in vars(enumeration).items() if key[0].isupper()}


_OPERATORS, _TYPES = _names(tflite.BuiltinOperator), _names(tflite.TensorType)

_WINDOW = ("Padding", "StrideH", "StrideW", "FusedActivationFunction")
_CONVOLUTION = (*_WINDOW, "DilationHFactor", "DilationWFactor")
_POOL = (*_WINDOW, "FilterHeight", "FilterWidth")

#: Operators that have options: their table, its number in the union, and the fields that matter.
_OPTIONS: dict[str, tuple[type, int, tuple[str, ...]]] = {
    "ADD": (tflite.AddOptions, tflite.BuiltinOptions.AddOptions, ("FusedActivationFunction",)),
    "AVERAGE_POOL_2D": (tflite.Pool2DOptions, tflite.BuiltinOptions.Pool2DOptions, _POOL),
    "CONCATENATION": (
        tflite.ConcatenationOptions,
        tflite.BuiltinOptions.ConcatenationOptions,
        ("Axis", "FusedActivationFunction"),
    ),
    "CONV_2D": (tflite.Conv2DOptions, tflite.BuiltinOptions.Conv2DOptions, _CONVOLUTION),
    "DEPTHWISE_CONV_2D": (
        tflite.DepthwiseConv2DOptions,
        tflite.BuiltinOptions.DepthwiseConv2DOptions,
        (*_CONVOLUTION, "DepthMultiplier"),
    ),
    "FULLY_CONNECTED": (
        tflite.FullyConnectedOptions,
        tflite.BuiltinOptions.FullyConnectedOptions,
        ("FusedActivationFunction", "WeightsFormat"),
    ),
    "MAX_POOL_2D": (tflite.Pool2DOptions, tflite.BuiltinOptions.Pool2DOptions, _POOL),
    "SOFTMAX": (tflite.SoftmaxOptions, tflite.BuiltinOptions.SoftmaxOptions, ("Beta",)),
}


@dataclass(frozen=True, eq=False)
class FileTensor:
    """One tensor of the file.

    Parameters
    ----------
    index : int
    name : str
        Unique in the file.
    shape : tuple of int
    type : str
        TFLite's name of the type of its elements.
    quantization : Quantization or None
    data : array of `shape`, or None
        The value of a constant; 4-bit integers come one per int8.
    refusal : str
        Why nothing can use it, or empty.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    type: str
    quantization: Quantization | None
    data: np.ndarray | None
    refusal: str = ""

    @property
    def dtype(self) -> np.dtype:
        """Type of the elements in numpy.

        Raises
        ------
        Unsupported
            If nothing can use the tensor.
        """
        if self.refusal:
            raise Unsupported(f"{self.name!r} {self.refusal}", "convert the model with full integer quantisation")
        return _DTYPES[self.type]


@dataclass(frozen=True, eq=False)
class FileOperator:
    """One operator of the file; ``inputs`` and ``outputs`` index tensors, -1 stands for an absent input."""

    name: str
    op: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class FileModel:
    """The only subgraph of a file, in its own order of execution."""

    name: str
    tensors: tuple[FileTensor, ...]
    operators: tuple[FileOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_model(data: bytes, path: str) -> FileModel:
    """The content of a TFLite file.

    Parameters
    ----------
    data : bytes
    path : str
        What sentences call the file.

    Raises
    ------
    ModelError
        If the file is damaged, or contradicts itself.
    """
    try:
        return _Reader(data, path).model()
    except (struct.error, IndexError, ValueError, TypeError, OverflowError, AttributeError) as error:
        if isinstance(error, ModelError):
            raise
        # The accessors of a flatbuffer follow offsets blindly: whatever they stumble on is damage.
        raise ModelError(f"{path} is not a TFLite model or is damaged: {_AGAIN}") from None


class _Reader:
    """Follows the offsets of one flatbuffer; no vector may be longer than the file."""

    def __init__(self, data: bytes, path: str) -> None:
        self._data, self._path = data, path

    def model(self) -> FileModel:
        root = tflite.Model.GetRootAs(self._data, 0)
        if root.Version() != 3:
            raise ModelError(f"{self._path} has TFLite version {root.Version()}, not 3: {_AGAIN}")
        if root.SubgraphsLength() != 1:
            raise ModelError(f"{self._path} has {root.SubgraphsLength()} subgraphs: keep the main one")
        graph: Any = root.Subgraphs(0)
        if not graph.OperatorsLength():
            raise ModelError(f"{self._path} has no operators: {_AGAIN}")
        tensors = tuple(self._tensors(root, graph))
        return FileModel(
            (graph.Name() or b"").decode(errors="replace") or "model",
            tensors,
            tuple(self._operators(root, graph, len(tensors))),
            self._indices(graph.InputsLength(), graph.Inputs, "the model", len(tensors)),
            self._indices(graph.OutputsLength(), graph.Outputs, "the model", len(tensors)),
        )

    def _all(self, length: int, item: Callable[[int], Any]) -> Iterator[Any]:
        # Four bytes is the least that an element of these vectors takes.
        if 4 * length > len(self._data):
            raise ModelError(f"{self._path} is not a TFLite model or is damaged: {_AGAIN}")
        return (item(i) for i in range(length))

    def _indices(self, length: int, item: Callable[[int], int], owner: str, count: int) -> tuple[int, ...]:
        if length > _MAX_OPERANDS:
            raise ModelError(f"{owner} has {length} operands, more than {_MAX_OPERANDS}: {_AGAIN}")
        indices = tuple(int(index) for index in self._all(length, item))
        for index in indices:
            if not -1 <= index < count:
                raise ModelError(f"{owner} uses tensor {index} of {count}: {_AGAIN}")
        return indices

    def _operators(self, root: tflite.Model, graph: tflite.SubGraph, count: int) -> Iterator[FileOperator]:
        codes = []
        for code in self._all(root.OperatorCodesLength(), root.OperatorCodes):
            number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            codes.append(_OPERATORS.get(number, f"operator {number}"))
        for index, operator in enumerate(self._all(graph.OperatorsLength(), graph.Operators)):
            if operator.OpcodeIndex() >= len(codes):
                raise ModelError(f"operator {index} has no operator code: {_AGAIN}")
            op = codes[operator.OpcodeIndex()]
            label = f"{op.lower()}_{index}"
            yield FileOperator(
                label,
                op,
                self._indices(operator.InputsLength(), operator.Inputs, label, count),
                self._indices(operator.OutputsLength(), operator.Outputs, label, count),
                _options(operator, op, label),
            )

    def _tensors(self, root: tflite.Model, graph: tflite.SubGraph) -> Iterator[FileTensor]:
        taken: set[str] = set()
        for index, tensor in enumerate(self._all(graph.TensorsLength(), graph.Tensors)):
            name = (tensor.Name() or b"").decode(errors="replace") or f"tensor{index}"
            if name in taken:
                name = f"{name}#{index}"
            taken.add(name)
            yield self._tensor(root, tensor, index, name)

    def _tensor(self, root: tflite.Model, tensor: tflite.Tensor, index: int, name: str) -> FileTensor:
        shape = tuple(int(size) for size in self._all(tensor.ShapeLength(), tensor.Shape))
        kind = _TYPES.get(tensor.Type(), f"type {tensor.Type()}")
        if min(shape, default=1) < 0 or int(np.prod(shape, dtype=object)) > MAX_VALUES:
            raise ModelError(f"tensor {name!r} has the shape {shape}: at most {MAX_VALUES} values can be handled")
        refusal = ""
        if kind not in _DTYPES:
            refusal = f"is {kind.lower()}"
        elif tensor.IsVariable():
            refusal = "keeps its value from run to run"
        elif tensor.Sparsity() is not None:
            refusal = "is sparse"
        if refusal:
            return FileTensor(index, name, shape, kind, None, None, refusal)
        quantization = self._quantization(tensor, name, shape, kind)
        return FileTensor(index, name, shape, kind, quantization, self._value(root, tensor, name, shape, kind))

    def _quantization(self, tensor: tflite.Tensor, name: str, shape: tuple[int, ...], kind: str) -> Quantization | None:
        found = tensor.Quantization()
        if found is None or not found.ScaleLength():
            return None
        scale = np.array(list(self._all(found.ScaleLength(), found.Scale)), np.float32)
        points = np.array(list(self._all(found.ZeroPointLength(), found.ZeroPoint)) or [0] * scale.size, np.int64)
        if wrong := [value for value in scale.tolist() if not 0 < value < np.inf]:
            raise ModelError(f"tensor {name!r} has the scale {wrong[0]}, not a positive number: quantise it again")
        dtype = _DTYPES[kind]
        if dtype.kind == "f":
            return None
        low, high = (-8, 7) if kind == "INT4" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
        if wrong := [value for value in points.tolist() if not low <= value <= high]:
            raise ModelError(f"tensor {name!r} has the zero point {wrong[0]}, not {low} to {high}: quantise it again")
        if scale.size == points.size == 1:
            return Quantization(scale[0], points[0])
        axis = found.QuantizedDimension()
        if points.size != scale.size or not 0 <= axis < len(shape) or shape[axis] != scale.size:
            raise ModelError(
                f"tensor {name!r} of shape {shape} has {scale.size} scales and {points.size} zero points for axis"
                f" {axis}: quantise it again"
            )
        return Quantization(scale, points, axis)

    def _value(
        self, root: tflite.Model, tensor: tflite.Tensor, name: str, shape: tuple[int, ...], kind: str
    ) -> np.ndarray | None:
        if tensor.Buffer() >= root.BuffersLength():
            raise ModelError(f"tensor {name!r} has no buffer: {_AGAIN}")
        buffer: Any = root.Buffers(tensor.Buffer())
        if buffer.Offset() > 1:
            raise ModelError(f"tensor {name!r} lies behind the flatbuffer: convert a model of less than 2 GiB")
        if not buffer.DataLength():
            return None
        content = np.asarray(buffer.DataAsNumpy(), np.uint8)
        count, dtype = int(np.prod(shape)), _DTYPES[kind]
        expected = -(-count // 2) if kind == "INT4" else count * dtype.itemsize
        if content.size != expected:
            raise ModelError(f"tensor {name!r} takes {expected} bytes, its buffer has {content.size}: {_AGAIN}")
        if kind == "INT4":
            # The low half of a byte is the earlier value.
            halves = np.stack([content & 15, content >> 4], axis=-1).reshape(-1)[:count].astype(np.int8)
            return np.where(halves > 7, halves - 16, halves).astype(np.int8).reshape(shape)
        return content.view(dtype.newbyteorder("<")).astype(dtype).reshape(shape)


def _options(operator: tflite.Operator, op: str, label: str) -> dict[str, Any]:
    if op not in _OPTIONS:
        return {}
    table, number, names = _OPTIONS[op]
    found = operator.BuiltinOptions()
    if found is None or operator.BuiltinOptionsType() != number:
        raise ModelError(f"{label} lacks its options: {_AGAIN}")
    options = table()
    options.Init(found.Bytes, found.Pos)
    return {name: getattr(options, name)() for name in names}
