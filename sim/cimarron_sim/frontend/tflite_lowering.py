"""Lowers TFLite operators to nodes of the graph: NHWC, one tensor of the file to one of the graph."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from cimarron.isa import Profile

from ..graph import Graph, Node, Port, Quantization, Tensor
from .fixed_point import activation_range, multiplier, multipliers
from .layer import convolution, pooling
from .model import ModelError, Operator, Unsupported
from .part import part_of
from .tflite_file import FileModel, FileOperator, FileTensor

__all__ = ["SUPPORTED", "TfliteLowering"]

_AGAIN = "convert the model again"
_QUANTISE = "convert the model with full integer quantisation"

#: TFLite's numbers of the paddings, in ONNX's words.
_PADDING = {0: b"SAME_UPPER", 1: b"VALID"}

#: Addition shifts its inputs so far to the left before it scales them.
_ADD_SHIFT = 20

#: Bits of the integer part of differences under the softmax.
_SOFTMAX_BITS = 5

SUPPORTED = frozenset(
    {
        "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEQUANTIZE", "EXPAND_DIMS",
        "FULLY_CONNECTED", "MAX_POOL_2D", "MEAN", "PAD", "PADV2", "QUANTIZE", "RELU", "RELU6", "RELU_N1_TO_1",
        "RESHAPE", "SOFTMAX", "SQUEEZE",
    }
)  # fmt: skip


class TfliteLowering:
    """What is known about one TFLite model so far.

    Parameters
    ----------
    model : FileModel
    """

    def __init__(self, model: FileModel) -> None:
        #: Verdicts on all operators, in the order of execution.
        self.operators: list[Operator] = []
        self._model = model
        self._tensors: dict[str, Tensor] = {}
        self._nodes: list[Node] = []
        self._ports: dict[str, Port] = {}
        self._inputs: list[str] = []
        #: Tensors of the file that are computed so far, by index.
        self._ready: set[int] = set()
        #: Float inputs and outputs: the index of the integers behind QUANTIZE, before DEQUANTIZE.
        self._quantised: dict[int, int] = {}
        self._dequantised: dict[int, int] = {}
        pools = {"AVERAGE_POOL_2D": "average_pool", "MAX_POOL_2D": "max_pool"}
        clamps = {"RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}
        self._handlers: dict[str, Callable[[FileOperator], str]] = {
            "ADD": self._add,
            "CONCATENATION": self._concat,
            "CONV_2D": self._conv,
            "DEPTHWISE_CONV_2D": self._depthwise,
            "DEQUANTIZE": self._dequantize,
            "FULLY_CONNECTED": self._fully_connected,
            "MEAN": self._mean,
            "QUANTIZE": self._quantize,
            "SOFTMAX": self._softmax,
            **{op: lambda operator, becomes=becomes: self._pool(operator, becomes) for op, becomes in pools.items()},
            **{op: lambda operator, number=number: self._requantise(operator, number) for op, number in clamps.items()},
            **dict.fromkeys(("EXPAND_DIMS", "RESHAPE", "SQUEEZE"), self._reshape),
            **dict.fromkeys(("PAD", "PADV2"), self._pad),
        }

    def lower(self) -> None:
        """Lower every operator.

        Raises
        ------
        ModelError
            If the file contradicts itself. What is not supported goes to `operators` instead.
        GraphError
            If a tensor cannot exist.
        """
        for index in self._model.inputs:
            if index < 0 or index in self._ready:
                raise ModelError(f"the model lists input tensor {index} twice or not at all: {_AGAIN}")
            self._ready.add(index)
        self._ready.update(tensor.index for tensor in self._model.tensors if tensor.data is not None)
        for operator in self._model.operators:
            self._check_order(operator)
            self.operators.append(self._verdict(operator))
            self._ready.update(operator.outputs)

    def _check_order(self, operator: FileOperator) -> None:
        tensors = self._model.tensors
        for index in operator.inputs:
            if index >= 0 and index not in self._ready:
                raise ModelError(
                    f"{operator.name} reads {tensors[index].name!r}, which no operator before it computes: sort the"
                    " operators, break cycles"
                )
        for index in operator.outputs:
            if index < 0 or index in self._ready:
                raise ModelError(f"{operator.name} computes tensor {index}, which exists without it: {_AGAIN}")

    def _verdict(self, operator: FileOperator) -> Operator:
        handler = self._handlers.get(operator.op)
        try:
            if handler is None:
                raise Unsupported("no layer does this", "compute it outside the model")
            if len(operator.outputs) != 1:
                raise ModelError(f"{operator.name} has {len(operator.outputs)} outputs, not one: {_AGAIN}")
            return Operator(operator.name, operator.op, handler(operator))
        except Unsupported as refusal:
            return Operator(operator.name, operator.op, "", refusal.reason, refusal.remedy)

    def graph(self, model_hash: str) -> Graph:
        """The graph of a model whose every operator is supported.

        Raises
        ------
        ModelError
            If an input or output is not an 8-bit tensor.
        GraphError
            If the operators contradict each other.
        """
        inputs = [self._end(index, self._quantised, "input") for index in self._model.inputs]
        outputs = [self._end(index, self._dequantised, "output") for index in self._model.outputs]
        if len({*inputs, *outputs}) < len(inputs) + len(outputs):
            raise ModelError("two inputs or outputs of the model are one tensor: keep one")
        return Graph(
            self._model.name, self._tensors, tuple(self._nodes), tuple(inputs), tuple(outputs), Profile.TFLM,
            model_hash, self._ports,
        )  # fmt: skip

    def part(self) -> Graph:
        """The layers that are understood, of any model."""
        return part_of(self._model.name, self._tensors, self._nodes, Profile.TFLM)

    def _end(self, index: int, integers: dict[int, int], what: str) -> str:
        """The graph's tensor for an input or output of the model; a port if the model has it in float32."""
        if index < 0 or (index not in self._ready):
            raise ModelError(f"{what} {index} of the model is not computed: {_AGAIN}")
        tensor = self._model.tensors[index]
        if tensor.type == "FLOAT32" and index in integers:
            name = self._activation(integers[index]).name
            self._ports[name] = Port(tensor.name, tensor.shape, np.dtype(np.float32))
            return name
        if tensor.type not in ("INT8", "UINT8"):
            raise ModelError(f"{what} {tensor.name!r} is {tensor.type.lower()} and stays so: {_QUANTISE}")
        return self._activation(index).name

    # Operands.

    def _operand(self, operator: FileOperator, place: int) -> FileTensor:
        if place >= len(operator.inputs) or operator.inputs[place] < 0:
            raise ModelError(f"{operator.name} lacks its input {place}: {_AGAIN}")
        return self._model.tensors[operator.inputs[place]]

    def _activation(self, index: int) -> Tensor:
        """A tensor of the file as one of the graph, with a scale for the whole tensor."""
        tensor = self._model.tensors[index]
        dtype, quantization = tensor.dtype, tensor.quantization
        if tensor.type not in ("INT8", "UINT8") or quantization is None:
            raise Unsupported(f"{tensor.name!r} is {tensor.type.lower()}, not quantised to 8 bits", _QUANTISE)
        if quantization.axis is not None:
            raise Unsupported(f"{tensor.name!r} has a scale per channel", "quantise activations per tensor")
        if tensor.name not in self._tensors:
            self._tensors[tensor.name] = Tensor(tensor.name, tensor.shape, dtype, quantization, tensor.data)
        return self._tensors[tensor.name]

    def _input(self, operator: FileOperator, place: int = 0) -> Tensor:
        self._operand(operator, place)
        return self._activation(operator.inputs[place])

    def _output(self, operator: FileOperator) -> Tensor:
        return self._activation(operator.outputs[0])

    def _numbers(self, operator: FileOperator, place: int) -> np.ndarray:
        """A constant operand of integers that are not quantised, such as axes."""
        tensor = self._operand(operator, place)
        if tensor.data is None:
            raise Unsupported(f"its operand {tensor.name!r} is computed", "convert the model with fixed sizes")
        if tensor.dtype not in (np.int32, np.int64):
            raise ModelError(f"{operator.name} has the operand {tensor.name!r} of {tensor.dtype}: {_AGAIN}")
        return tensor.data.astype(np.int64)

    def _bias(self, operator: FileOperator, outputs: int) -> list[str]:
        if len(operator.inputs) < 3 or operator.inputs[2] < 0:
            return []
        bias = self._operand(operator, 2)
        if bias.data is None:
            raise Unsupported("its bias is computed", "store the bias in the model")
        if bias.dtype != np.int32:
            raise Unsupported(f"its bias is {bias.type.lower()}", "quantise activations to 8 bits")
        if bias.shape != (outputs,) or (bias.quantization is not None and np.any(bias.quantization.zero_point)):
            raise ModelError(
                f"{operator.name} has {outputs} outputs but a bias of {bias.shape}, or one with a zero point: {_AGAIN}"
            )
        self._tensors[bias.name] = Tensor(bias.name, bias.shape, bias.dtype, bias.quantization, bias.data)
        return [bias.name]

    def _weights(self, operator: FileOperator, axis: int) -> tuple[FileTensor, np.ndarray, Quantization]:
        """Weights of a layer: the file's tensor, its values and their scales along `axis`."""
        weights = self._operand(operator, 1)
        dtype, quantization = weights.dtype, weights.quantization
        if weights.data is None:
            raise Unsupported("its weights are computed", "store the weights in the model")
        if weights.type not in ("INT4", "INT8", "UINT8") or quantization is None:
            raise Unsupported(f"its weights are {weights.type.lower()}, not quantised to 8 or 4 bits", _QUANTISE)
        if quantization.axis not in (None, axis):
            raise Unsupported("its weights have a scale per input", "quantise weights per output channel")
        if dtype == np.int8 and np.any(quantization.zero_point):
            raise Unsupported("its signed weights have a zero point", "quantise weights symmetrically")
        return weights, weights.data, quantization

    def _store_weights(self, weights: FileTensor, data: np.ndarray, quantization: Quantization) -> str:
        """Define the weights, output channels first."""
        if quantization.axis is not None:
            quantization = dataclasses.replace(quantization, axis=0)
        bits = 4 if weights.type == "INT4" else 8
        self._tensors[weights.name] = Tensor(weights.name, data.shape, data.dtype, quantization, data, bits)
        return weights.name

    def _append(
        self, operator: FileOperator, op: str, inputs: list[str], y: Tensor, attributes: dict[str, Any] | None = None
    ) -> str:
        self._nodes.append(Node(operator.name, op, tuple(inputs), (y.name,), attributes or {}))
        return op

    def _reshaped(self, tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
        """`tensor` in another shape, behind a node that reshapes it."""
        if tensor.shape == shape:
            return tensor
        name = f"{tensor.name}.{'x'.join(map(str, shape))}"
        if name not in self._tensors:
            self._tensors[name] = dataclasses.replace(tensor, name=name, shape=shape)
            self._nodes.append(Node(f"reshape {name}", "reshape", (tensor.name,), (name,)))
        return self._tensors[name]

    # Layers.

    def _clamps(self, operator: FileOperator, y: Tensor) -> dict[str, int]:
        return activation_range(operator.options["FusedActivationFunction"], _scale(y), y.dtype)

    def _geometry(
        self, operator: FileOperator, x: Tensor, y: Tensor, kernel: tuple[int, int], channels: int
    ) -> dict[str, Any]:
        """Window attributes; checks the output's shape."""
        options = operator.options
        if len(x.shape) != 4:
            raise ModelError(f"{operator.name} reads the shape {x.shape}, not an image: {_AGAIN}")
        attributes = {
            "strides": (options["StrideH"], options["StrideW"]),
            "dilations": (options.get("DilationHFactor", 1), options.get("DilationWFactor", 1)),
            "auto_pad": _PADDING.get(options["Padding"], b"unknown"),
        }
        batch, height, width, depth = x.shape
        geometry, size = convolution(operator.name, attributes, (height, width), kernel, batch * depth)
        _require(operator, y.shape == (batch, *size, channels), f"computes {size} x {channels} into {y.shape}")
        return geometry

    def _conv(self, operator: FileOperator) -> str:
        x, y = self._input(operator), self._output(operator)
        weights, data, quantization = self._weights(operator, 0)
        _require(operator, data.ndim == 4 and len(x.shape) == 4, f"reads {x.shape} with weights of {data.shape}")
        outputs, kernel_h, kernel_w, depth = data.shape
        if depth != x.shape[3]:
            _require(operator, x.shape[3] % depth == 0, f"has {x.shape[3]} channels and weights for {depth}")
            raise Unsupported(f"it has {x.shape[3] // depth} groups", "use a convolution of one group")
        attributes = {
            **self._geometry(operator, x, y, (kernel_h, kernel_w), outputs),
            **multipliers(operator.name, _factors(x, quantization, y, outputs)),
            **self._clamps(operator, y),
        }
        inputs = [x.name, self._store_weights(weights, data, quantization), *self._bias(operator, outputs)]
        return self._append(operator, "conv2d", inputs, y, attributes)

    def _depthwise(self, operator: FileOperator) -> str:
        x, y = self._input(operator), self._output(operator)
        weights, data, quantization = self._weights(operator, 3)
        fits = data.ndim == 4 and data.shape[0] == 1 and len(x.shape) == 4 and data.shape[3] % x.shape[3] == 0
        _require(operator, fits, f"reads {x.shape} with weights of {data.shape}")
        _, kernel_h, kernel_w, outputs = data.shape
        multiple = operator.options["DepthMultiplier"]
        _require(operator, multiple in (0, outputs // x.shape[3]), f"has the depth multiplier {multiple}")
        attributes = {
            **self._geometry(operator, x, y, (kernel_h, kernel_w), outputs),
            **multipliers(operator.name, _factors(x, quantization, y, outputs)),
            **self._clamps(operator, y),
        }
        data = np.ascontiguousarray(data[0].transpose(2, 0, 1))
        inputs = [x.name, self._store_weights(weights, data, quantization), *self._bias(operator, outputs)]
        return self._append(operator, "depthwise_conv2d", inputs, y, attributes)

    def _fully_connected(self, operator: FileOperator) -> str:
        x, y = self._input(operator), self._output(operator)
        weights, data, quantization = self._weights(operator, 0)
        if operator.options["WeightsFormat"]:
            raise Unsupported("its weights are shuffled", "convert the model without shuffled weights")
        fits = data.ndim == 2 and x.size % data.shape[1] == 0 and y.size == x.size // data.shape[1] * data.shape[0]
        _require(operator, fits, f"multiplies {x.shape} by {data.shape} into {y.shape}")
        outputs, depth = data.shape
        factors = _factors(x, quantization, y, outputs)
        if quantization.axis is None:
            # One scale for all outputs is multiplied in float32 before it is divided in double.
            with np.errstate(over="ignore"):
                product = np.float64(_scale(x).scale * quantization.scale)
            factors = np.full(outputs, product / np.float64(_scale(y).scale))
        attributes = {**multipliers(operator.name, factors), **self._clamps(operator, y)}
        x = self._reshaped(x, (x.size // depth, depth))
        inputs = [x.name, self._store_weights(weights, data, quantization), *self._bias(operator, outputs)]
        matrix = (x.shape[0], outputs)
        if y.shape == matrix:
            return self._append(operator, "fully_connected", inputs, y, attributes)
        flat = dataclasses.replace(y, name=f"{y.name}.matrix", shape=matrix)
        self._tensors[flat.name] = flat
        self._append(operator, "fully_connected", inputs, flat, attributes)
        self._nodes.append(Node(f"reshape {y.name}", "reshape", (flat.name,), (y.name,)))
        return "fully_connected"

    def _add(self, operator: FileOperator) -> str:
        a, b, y = self._input(operator), self._input(operator, 1), self._output(operator)
        try:
            fits = np.broadcast_shapes(a.shape, b.shape) == y.shape
        except ValueError:
            fits = False
        _require(operator, fits, f"adds {a.shape} and {b.shape} into {y.shape}")
        _require(operator, a.dtype == b.dtype == y.dtype, f"adds {a.dtype} and {b.dtype} into {y.dtype}")
        scales = [float(_scale(tensor).scale) for tensor in (a, b, y)]
        largest = 2 * max(scales[:2])
        total = largest / ((1 << _ADD_SHIFT) * scales[2])
        if total >= 1:
            raise ModelError(f"{operator.name} has an output scale far below its inputs': quantise the model again")
        factors = np.array([scales[0] / largest, scales[1] / largest, total])
        attributes = {**multipliers(operator.name, factors), **self._clamps(operator, y)}
        return self._append(operator, "add", [a.name, b.name], y, attributes)

    def _pool(self, operator: FileOperator, becomes: str) -> str:
        x, y = self._input(operator), self._output(operator)
        _same_scale(x, y)
        kernel = operator.options["FilterHeight"], operator.options["FilterWidth"]
        geometry = self._geometry(operator, x, y, pooling(operator.name, kernel), x.shape[-1])
        del geometry["dilation"]
        return self._append(operator, becomes, [x.name], y, {"kernel": kernel, **geometry, **self._clamps(operator, y)})

    def _requantise(self, operator: FileOperator, activation: int) -> str:
        x, y = self._input(operator), self._output(operator)
        _require(operator, x.shape == y.shape, f"turns {x.shape} into {y.shape}")
        factor = multiplier(operator.name, float(_scale(x).scale) / float(_scale(y).scale))
        attributes = {"multiplier": np.int32(factor[0]), "shift": np.int32(factor[1])}
        attributes |= activation_range(activation, _scale(y), y.dtype)
        return self._append(operator, "requantise", [x.name], y, attributes)

    def _quantize(self, operator: FileOperator) -> str:
        source = self._operand(operator, 0)
        if source.type != "FLOAT32":
            return self._requantise(operator, 0)
        if source.index not in self._model.inputs:
            raise Unsupported("it quantises float32 that is computed", _QUANTISE)
        if source.index in self._quantised:
            raise Unsupported(f"it quantises the input {source.name!r} a second time", "quantise the input once")
        y = self._output(operator)
        _require(operator, source.shape == y.shape, f"turns {source.shape} into {y.shape}")
        self._quantised[source.index] = operator.outputs[0]
        return "fused"

    def _dequantize(self, operator: FileOperator) -> str:
        target = self._model.tensors[operator.outputs[0]]
        x = self._input(operator)
        if operator.outputs[0] not in self._model.outputs or target.type != "FLOAT32":
            raise Unsupported("what it dequantises stays in the model", _QUANTISE)
        _require(operator, x.shape == target.shape, f"turns {x.shape} into {target.shape}")
        self._dequantised[target.index] = operator.inputs[0]
        return "fused"

    def _softmax(self, operator: FileOperator) -> str:
        x, y = self._input(operator), self._output(operator)
        _require(operator, x.shape == y.shape, f"turns {x.shape} into {y.shape}")
        low = int(np.iinfo(y.dtype).min)
        if float(_scale(y).scale) != 1 / 256 or y.zero_point != low or x.dtype != y.dtype:
            raise Unsupported(f"its output has not the scale 1/256 and the zero point {low}", _QUANTISE)
        beta = operator.options["Beta"]
        if not 0 < beta < np.inf:
            raise ModelError(f"{operator.name} has the factor beta {beta}, not a positive number: {_AGAIN}")
        # Differences with 26 bits of fraction; saturates below what one step of the input can be.
        real = min(float(beta) * float(_scale(x).scale) * (1 << (31 - _SOFTMAX_BITS)), (1 << 31) - 1.0)
        if real < 1:
            raise Unsupported("one step of its input is below 2**-26", "leave the softmax out of the model")
        fraction, shift = np.frexp(real)
        mantissa = int(np.floor(fraction * (1 << 31) + 0.5))
        if mantissa == 1 << 31:
            mantissa, shift = 1 << 30, shift + 1
        return self._append(
            operator, "softmax", [x.name], y, {"multiplier": np.int32(mantissa), "shift": np.int32(shift)}
        )

    # Movements.

    def _reshape(self, operator: FileOperator) -> str:
        x, y = self._input(operator), self._output(operator)
        _require(operator, x.size == y.size, f"turns {x.shape} into {y.shape}")
        _same_scale(x, y)
        return self._append(operator, "reshape", [x.name], y)

    def _pad(self, operator: FileOperator) -> str:
        x, y, pads = self._input(operator), self._output(operator), self._numbers(operator, 1)
        value = y.zero_point
        if operator.op == "PADV2":
            constant = self._input(operator, 2)
            if constant.data is None or constant.size != 1:
                raise Unsupported("its value is computed", "pad with a constant")
            _same_scale(constant, y)
            value = int(constant.data.reshape(()))
        _same_scale(x, y)
        fits = pads.shape == (len(x.shape), 2) and int(pads.min(initial=0)) >= 0 and len(x.shape) == len(y.shape)
        fits = fits and all(a + int(p[0]) + int(p[1]) == b for a, p, b in zip(x.shape, pads, y.shape, strict=True))
        _require(operator, fits, f"pads {x.shape} by {pads.tolist()} into {y.shape}")
        attributes = {"pads": tuple((int(before), int(after)) for before, after in pads), "value": value}
        return self._append(operator, "pad", [x.name], y, attributes)

    def _concat(self, operator: FileOperator) -> str:
        y = self._output(operator)
        parts = [self._input(operator, place) for place in range(len(operator.inputs))]
        if operator.options["FusedActivationFunction"]:
            raise Unsupported("it has an activation function", "put the function in front of it")
        axis = operator.options["Axis"]
        axis += len(y.shape) if axis < 0 else 0
        fits = bool(parts) and 0 <= axis < len(y.shape) and all(len(part.shape) == len(y.shape) for part in parts)
        fits = fits and y.shape[axis] == sum(part.shape[axis] for part in parts)
        fits = fits and all(size == part.shape[i] for part in parts for i, size in enumerate(y.shape) if i != axis)
        _require(operator, fits, f"joins {[part.shape for part in parts]} along axis {axis} into {y.shape}")
        for part in parts:
            _same_scale(part, y)
        return self._append(operator, "concat", [part.name for part in parts], y, {"axis": axis})

    def _mean(self, operator: FileOperator) -> str:
        x, y, listed = self._input(operator), self._output(operator), self._numbers(operator, 1).reshape(-1)
        ndim = len(x.shape)
        _require(operator, all(-ndim <= axis < ndim for axis in listed), f"has the axes {listed.tolist()}")
        axes = tuple(sorted({int(axis) % ndim for axis in listed}))
        kept = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
        _require(operator, tuple(s for s in y.shape if s > 1) == tuple(s for s in kept if s > 1), f"gives {y.shape}")
        factor = multiplier(operator.name, float(_scale(x).scale) / float(_scale(y).scale))
        attributes = {"axes": axes, "multiplier": np.int32(factor[0]), "shift": np.int32(factor[1])}
        return self._append(operator, "mean", [x.name], y, attributes)


def _require(operator: FileOperator, fits: bool, what: str) -> None:
    if not fits:
        raise ModelError(f"{operator.name} {what}, which does not fit together: {_AGAIN}")


def _scale(tensor: Tensor) -> Quantization:
    assert tensor.quantization is not None
    return tensor.quantization


def _same_scale(x: Tensor, y: Tensor) -> None:
    a, b = _scale(x), _scale(y)
    if x.dtype != y.dtype or a.scale != b.scale or a.zero_point != b.zero_point:
        raise Unsupported("its output has another scale than its input", "quantise both with one scale")


def _factors(x: Tensor, weights: Quantization, y: Tensor, outputs: int) -> np.ndarray:
    """``x_scale * w_scale / y_scale`` of every output, in double."""
    products = _scale(x).scale.astype(np.float64) * weights.scale.astype(np.float64)
    return np.broadcast_to(products / _scale(y).scale.astype(np.float64), outputs)
