"""What a front end knows about the values that flow between a model's operators."""

from dataclasses import dataclass

import numpy as np

from ..graph import Quantization

__all__ = [
    "Constant", "Elementwise", "Floats", "Integers", "Layer", "QuantizedConstant", "Reals", "Sums",
    "Unknown", "Value",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Constant:
    """An array that the file holds."""

    data: np.ndarray


@dataclass(frozen=True, eq=False)
class QuantizedConstant:
    """Real numbers, given as constant integers; ``bits`` is the width of the file's own type."""

    data: np.ndarray
    quantization: Quantization
    bits: int = 8


@dataclass(frozen=True, eq=False)
class Floats:
    """A float32 input of the model, possibly reshaped and transposed.

    ``shape`` is the input's own; ``positions``, of the value's shape, says which element of the input (in row-major
    order) stands where.
    """

    name: str
    shape: tuple[int, ...]
    positions: np.ndarray


@dataclass(frozen=True, eq=False)
class Integers:
    """A tensor of the graph, possibly reshaped and transposed; ``positions`` as in `Floats`."""

    tensor: str
    positions: np.ndarray


@dataclass(frozen=True, eq=False)
class Reals:
    """Real numbers that a tensor of the graph stands for; ``positions`` as in `Floats`."""

    tensor: str
    positions: np.ndarray
    quantization: Quantization


@dataclass(frozen=True, eq=False)
class Layer:
    """Real numbers that a layer computes, before anything quantises them.

    Parameters
    ----------
    name : str
    operator : int
        Index of the verdict on the operator.
    op : str
        Of the graph.
    input : str
        Tensor the layer reads, in the shape the operator wants.
    input_quantization : Quantization
    weights : QuantizedConstant
        Output channels first.
    bias : QuantizedConstant or Constant or None
    attributes : dict
    shape : tuple of int
        In the model's layout.
    low, high : float
        Bounds of the activation function.
    """

    name: str
    operator: int
    op: str
    input: str
    input_quantization: Quantization
    weights: QuantizedConstant
    bias: QuantizedConstant | Constant | None
    attributes: dict
    shape: tuple[int, ...]
    low: float = -np.inf
    high: float = np.inf

    @property
    def bounds(self) -> tuple[float, float]:
        """``low`` and ``high``."""
        return self.low, self.high

    @property
    def memory_shape(self) -> tuple[int, ...]:
        """Shape of the result in the graph: NHWC, or a matrix."""
        if self.op in ("conv2d", "depthwise_conv2d"):
            batch, channels, height, width = self.shape
            return batch, height, width, channels
        return int(np.prod(self.shape[:-1])), self.shape[-1]


@dataclass(frozen=True, eq=False)
class Sums:
    """What a layer of integers without scales computes: its 32-bit sums, ``real`` behind a Cast to float32."""

    layer: Layer
    real: bool = False


@dataclass(frozen=True, eq=False)
class Elementwise:
    """Real numbers that an operator without weights computes, before anything quantises them.

    Parameters
    ----------
    name : str
    operator : int
        Index of the verdict on the operator.
    op : str
        Of the graph.
    inputs : tuple of str
        Tensors it reads, in the order in which they lie in memory.
    shape : tuple of int
        Of the result in memory.
    positions : int array
        Positions of the result's elements, in the model's layout.
    attributes : dict
    low, high : float
        Bounds of the activation function.
    """

    name: str
    operator: int
    op: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    positions: np.ndarray
    attributes: dict
    low: float = -np.inf
    high: float = np.inf

    @property
    def bounds(self) -> tuple[float, float]:
        """``low`` and ``high``."""
        return self.low, self.high


@dataclass(frozen=True, eq=False)
class Unknown:
    """The result of an operator that is not supported; its shape, where ONNX can tell."""

    shape: tuple[int, ...] | None


Value = Constant | QuantizedConstant | Floats | Integers | Reals | Layer | Sums | Elementwise | Unknown
