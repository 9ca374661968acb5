"""The quantised graph: what the front ends produce, the compiler schedules and the reference executes.

Integers only. A model that quantises its input and dequantises its output keeps those steps on the host: the
graph's inputs and outputs are integer tensors, and a `Port` remembers what the model's own array looked like.

Images are NHWC and reductions run over the last axes of the weights:

==================== ============================ ==============================================================
op                   inputs                       attributes
==================== ============================ ==============================================================
``fully_connected``  x (N, K), w (M, K), [bias    clamps, scaling
                     (M,)]
``conv2d``           x (N, H, W, C), w (M, KH,    window, ``dilation`` (h, w), clamps, scaling
                     KW, C), [bias (M,)]
``depthwise_conv2d`` x (N, H, W, C), w (M, KH,    as ``conv2d``; M is a multiple of C, and output m reads channel
                     KW), [bias (M,)]             ``m // (M / C)``
``average_pool``,    x (N, H, W, C)               ``kernel`` (h, w), window, clamps; padding does not count
``max_pool``
``add``              a, b, which broadcast        clamps; TFLM: scaling of a, b and their sum, shape (3,)
``mean``             x                            ``axes``, scaling, shape (); ONNX: clamps
``real_mean``        x (N, H, W, C)               clamps; over the pixels; profile ONNX only
``settle``           x, low, high                 as the mean, and ``of``, its op; made by the compiler, see
                                                  `cimarron_sim.compiler.bracket`
``requantise``       x                            clamps; TFLM: scaling, shape ()
``softmax``          x                            over the last axis; TFLM: ``multiplier`` and ``shift`` that bring
                                                  the differences to 26 bits of fraction
``pad``              x                            ``pads`` ((before, after), one per axis), ``value``
``concat``           one or more                  ``axis``
``reshape``          x                            none: the bytes stay where they are
==================== ============================ ==============================================================

A window is ``stride`` (h, w) and ``pads`` (top, left, bottom, right); clamps are ``clamp_min`` and ``clamp_max``.

A multiply-accumulate computes ``acc = sum((x - x_zero_point) * w) + bias`` in 32 bits that wrap, then
``clip(requantise(acc) + y_zero_point, clamp_min, clamp_max)``. ReLU, ReLU6 and clip are clamps. Scaling is
``scale`` (float32, shape (M,)) in profile ONNX, ``multiplier`` and ``shift`` (int32, shape (M,)) in profile TFLM, and
nothing where the output is int32, which also has no zero point and no clamps. Other operators without weights than
``mean`` compute with the scales of their tensors in profile ONNX.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cimarron.isa import Profile

__all__ = ["Graph", "GraphError", "MAX_VALUES", "Node", "OPERATORS", "Port", "Quantization", "Tensor", "WEIGHTED"]

_MANY = 1024

#: Values of one tensor: as many as the largest main memory has bytes, few enough for the host.
MAX_VALUES = 2**24

#: Operators of the graph, and how many inputs each takes (least, most).
OPERATORS: dict[str, tuple[int, int]] = {
    "fully_connected": (2, 3),
    "conv2d": (2, 3),
    "depthwise_conv2d": (2, 3),
    "average_pool": (1, 1),
    "max_pool": (1, 1),
    "add": (2, 2),
    "mean": (1, 1),
    "real_mean": (1, 1),
    "settle": (3, 3),
    "requantise": (1, 1),
    "softmax": (1, 1),
    "pad": (1, 1),
    "concat": (1, _MANY),
    "reshape": (1, 1),
}

_CLAMPS = ("clamp_min", "clamp_max")
_WINDOW = ("stride", "pads")
_REQUIRED = {
    "fully_connected": _CLAMPS,
    "conv2d": (*_WINDOW, "dilation", *_CLAMPS),
    "depthwise_conv2d": (*_WINDOW, "dilation", *_CLAMPS),
    "average_pool": ("kernel", *_WINDOW, *_CLAMPS),
    "max_pool": ("kernel", *_WINDOW, *_CLAMPS),
    "add": _CLAMPS,
    "mean": ("axes",),
    "real_mean": _CLAMPS,
    "requantise": _CLAMPS,
    "pad": ("pads", "value"),
    "concat": ("axis",),
}
#: Operators with weights.
WEIGHTED = ("fully_connected", "conv2d", "depthwise_conv2d")

#: Scaling that operators with weights need, and that the others need, by profile.
_SCALING = {Profile.ONNX: ("scale",), Profile.TFLM: ("multiplier", "shift")}
_SCALED = {Profile.ONNX: ("mean",), Profile.TFLM: ("add", "mean", "requantise", "softmax")}


class GraphError(ValueError):
    """A graph, or an array given to it, that contradicts itself."""


@dataclass(frozen=True, eq=False)
class Quantization:
    """``real = scale * (integer - zero_point)``, for a tensor or along one of its axes.

    Parameters
    ----------
    scale : float32 array, shape () or (n,)
    zero_point : int32 array, shape () or (n,)
    axis : int or None
        The axis of length n, or None if one scale holds for the whole tensor.
    """

    scale: np.ndarray
    zero_point: np.ndarray
    axis: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", np.asarray(self.scale, np.float32))
        object.__setattr__(self, "zero_point", np.asarray(self.zero_point, np.int32))
        dimensions = 0 if self.axis is None else 1
        if self.scale.ndim != dimensions or self.zero_point.shape != self.scale.shape:
            raise GraphError(
                f"quantization needs scale and zero_point of one shape with {dimensions} dimensions,"
                f" not {self.scale.shape} and {self.zero_point.shape}"
            )

    @classmethod
    def per_tensor(cls, scale: float, zero_point: int = 0) -> "Quantization":
        """One scale and zero point for the whole tensor."""
        return cls(np.array(scale, np.float32), np.array(zero_point, np.int32))

    def along(self, values: np.ndarray, ndim: int) -> np.ndarray:
        """`values`, one per scale, in a shape that broadcasts with arrays of `ndim` dimensions."""
        return values if self.axis is None else values.reshape([-1 if i == self.axis else 1 for i in range(ndim)])

    def quantize(self, real: np.ndarray, dtype: np.dtype, profile: Profile = Profile.ONNX) -> np.ndarray:
        """Nearest integers, saturated to `dtype`: ONNX's QuantizeLinear, or TFLite's QUANTIZE.

        Ties go to even in profile ONNX, away from zero in profile TFLM.
        """
        limits = np.iinfo(dtype)
        real = np.asarray(real, np.float32)
        with np.errstate(over="ignore"):
            steps = (real / self.along(self.scale, real.ndim)).astype(np.float64)
        steps = np.rint(steps) if profile is Profile.ONNX else np.copysign(np.floor(np.abs(steps) + 0.5), steps)
        return np.clip(steps + self.along(self.zero_point, real.ndim), limits.min, limits.max).astype(dtype)

    def dequantize(self, integers: np.ndarray) -> np.ndarray:
        """Real values of `integers`, float32; ONNX's DequantizeLinear."""
        steps = integers.astype(np.int64) - self.along(self.zero_point, integers.ndim)
        return steps.astype(np.float32) * self.along(self.scale, integers.ndim)


@dataclass(frozen=True, eq=False)
class Tensor:
    """One array of the graph.

    Parameters
    ----------
    name : str
    shape : tuple of int
    dtype : numpy dtype
        int8, uint8 or int32.
    quantization : Quantization or None
    data : array of `shape` and `dtype`, or None
        The value, if it is a constant.
    bits : int or None
        Bits each value needs when stored: fewer than the dtype has for 4-bit weights, which are kept one per int8.
        None is the width of the dtype.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    quantization: Quantization | None = None
    data: np.ndarray | None = None
    bits: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))
        object.__setattr__(self, "dtype", np.dtype(self.dtype))
        if self.bits is None:
            object.__setattr__(self, "bits", 8 * self.dtype.itemsize)
        if self.dtype not in (np.int8, np.uint8, np.int32):
            raise GraphError(f"tensor {self.name!r} must be int8, uint8 or int32, not {self.dtype}")
        if any(size < 1 for size in self.shape):
            raise GraphError(f"tensor {self.name!r} must have a positive size on every axis, not {self.shape}")
        if self.size > MAX_VALUES:
            raise GraphError(f"tensor {self.name!r} of shape {self.shape} has more than {MAX_VALUES} values")
        if self.data is not None and (self.data.shape != self.shape or self.data.dtype != self.dtype):
            raise GraphError(
                f"tensor {self.name!r} is {self.dtype} {self.shape}, but its data is"
                f" {self.data.dtype} {self.data.shape}"
            )

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor at one value per element of its dtype."""
        return self.size * self.dtype.itemsize

    @property
    def zero_points(self) -> np.ndarray:
        """Zero points, int64, in a shape that broadcasts with the tensor; 0 if it is not quantised."""
        if self.quantization is None:
            return np.zeros((), np.int64)
        return self.quantization.along(self.quantization.zero_point, len(self.shape)).astype(np.int64)

    @property
    def zero_point(self) -> int:
        """Zero point of a tensor with one scale; 0 if it is not quantised.

        Raises
        ------
        GraphError
            If it is quantised per channel.
        """
        if self.quantization is None:
            return 0
        if self.quantization.axis is not None:
            raise GraphError(f"tensor {self.name!r} has a zero point per channel")
        return int(self.quantization.zero_point)


@dataclass(frozen=True, eq=False)
class Node:
    """One operation.

    Parameters
    ----------
    name : str
        Unique in the graph; what reports call the layer.
    op : str
        A key of `OPERATORS`.
    inputs, outputs : tuple of str
        Names of tensors.
    attributes : dict
        See the table at the top of this module.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Port:
    """How a caller sees an input or output of the model.

    Parameters
    ----------
    name : str
        The model's own name.
    shape : tuple of int
        The model's own shape.
    dtype : numpy dtype
        float32 if the model quantises its input or dequantises its output itself, else the tensor's.
    order : int array, shape (size,), or None
        Value i of the tensor is value ``order[i]`` of the caller's array, both counted in row-major order.
        None where the orders are the same.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    order: np.ndarray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", np.dtype(self.dtype))


@dataclass(frozen=True, eq=False)
class Graph:
    """A quantised network.

    Parameters
    ----------
    name : str
    tensors : dict of str to Tensor
    nodes : tuple of Node
        In an order in which they can be executed.
    inputs, outputs : tuple of str
        Names of tensors.
    profile : cimarron.isa.Profile
        Whose rounding the integers follow.
    model_hash : str
        SHA-256 of the model file, in hexadecimal.
    ports : dict of str to Port
        By tensor name; a tensor without one is its own port.

    Raises
    ------
    GraphError
        If a tensor is missing, defined twice, used before it is computed, or an operation lacks something.
    """

    name: str
    tensors: Mapping[str, Tensor]
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    profile: Profile
    model_hash: str = ""
    ports: Mapping[str, Port] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ready = {name for name, tensor in self.tensors.items() if tensor.data is not None}
        self._define(ready, self.inputs, "the graph's inputs")
        names = set()
        for node in self.nodes:
            if node.name in names:
                raise GraphError(f"two nodes are called {node.name!r}")
            names.add(node.name)
            self._check(node)
            self._use(ready, node.inputs, f"node {node.name!r}")
            self._define(ready, node.outputs, f"node {node.name!r}")
        self._use(ready, self.outputs, "the graph's outputs")

    def _check(self, node: Node) -> None:
        if node.op not in OPERATORS:
            raise GraphError(f"node {node.name!r} has the unknown operator {node.op!r}; known: {', '.join(OPERATORS)}")
        least, most = OPERATORS[node.op]
        if not least <= len(node.inputs) <= most:
            raise GraphError(f"node {node.name!r} ({node.op}) takes {least} to {most} inputs, not {len(node.inputs)}")
        if len(node.outputs) != 1:
            raise GraphError(f"node {node.name!r} ({node.op}) has one output, not {len(node.outputs)}")
        required = _REQUIRED.get(node.op, ())
        output = self.tensors.get(node.outputs[0])
        if node.op in WEIGHTED and output is not None and output.dtype == np.int32:
            required = tuple(name for name in required if name not in _CLAMPS)
        elif node.op in WEIGHTED or node.op in _SCALED[self.profile]:
            required += _SCALING[self.profile]
        if missing := [name for name in required if name not in node.attributes]:
            raise GraphError(f"node {node.name!r} ({node.op}) lacks the attribute {', '.join(missing)}")

    def _use(self, ready: set[str], names: tuple[str, ...], where: str) -> None:
        for name in names:
            if name not in ready:
                what = "nothing computes before it" if name in self.tensors else "does not exist"
                raise GraphError(f"{where} uses tensor {name!r}, which {what}")

    def _define(self, ready: set[str], names: tuple[str, ...], where: str) -> None:
        for name in names:
            if name not in self.tensors:
                raise GraphError(f"{where} defines tensor {name!r}, which does not exist")
            if name in ready:
                raise GraphError(f"{where} defines tensor {name!r} a second time")
            ready.add(name)

    def port(self, name: str) -> Port:
        """The caller's side of the input or output tensor `name`."""
        tensor = self.tensors[name]
        return self.ports.get(name) or Port(name, tensor.shape, tensor.dtype)

    def encode(self, name: str, array: np.ndarray) -> np.ndarray:
        """What the device reads, from the caller's array.

        Parameters
        ----------
        name : str
            An input (or output) tensor.
        array : array of the port's shape
            Floats are quantised; integers must be of the tensor's dtype and are taken as they are.

        Returns
        -------
        array of the tensor's shape and dtype
            Contiguous: ``.tobytes()`` is the image in memory.

        Raises
        ------
        GraphError
            If the shape or dtype is another one, or a float is not a number.
        """
        tensor, port = self.tensors[name], self.port(name)
        array = np.asarray(array)
        if array.shape != port.shape:
            raise GraphError(f"{port.name!r} has shape {port.shape}, not {array.shape}: reshape the array")
        if array.dtype.kind == "f" and tensor.quantization is not None:
            if np.isnan(array).any():
                raise GraphError(f"{port.name!r} holds values that are not a number: clean the array")
            array = tensor.quantization.quantize(array, tensor.dtype, self.profile)
        if array.dtype != tensor.dtype:
            raise GraphError(f"{port.name!r} takes {tensor.dtype} or float32, not {array.dtype}: convert the array")
        return self._permuted(array.reshape(-1), port.order).reshape(tensor.shape)

    def decode(self, name: str, array: np.ndarray) -> np.ndarray:
        """The caller's array, from what the device wrote: the inverse of `encode`.

        Parameters
        ----------
        name : str
            An output (or input) tensor.
        array : array of the tensor's size and dtype

        Returns
        -------
        array of the port's shape and dtype

        Raises
        ------
        GraphError
            If the size or dtype is another one.
        """
        tensor, port = self.tensors[name], self.port(name)
        if array.size != tensor.size or array.dtype != tensor.dtype:
            raise GraphError(
                f"tensor {name!r} holds {tensor.size} values of {tensor.dtype}, not {array.size} of {array.dtype}"
            )
        order = None if port.order is None else np.argsort(port.order)
        array = self._permuted(array.reshape(-1), order).reshape(port.shape)
        if port.dtype.kind == "f" and tensor.quantization is not None:
            return tensor.quantization.dequantize(array)
        return array

    @staticmethod
    def _permuted(flat: np.ndarray, order: np.ndarray | None) -> np.ndarray:
        return flat.copy() if order is None else flat[order]
