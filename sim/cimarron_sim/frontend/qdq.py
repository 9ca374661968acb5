"""Lowers quantised ONNX operators to integer layers: between DequantizeLinear and QuantizeLinear, QLinear, Integer.

Walks the operators once, keeping what is known about every value. A layer waits until the QuantizeLinear behind it,
past its activation function, says in which integers its result is wanted.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

from ..graph import MAX_VALUES, Graph, Port, Quantization
from .draft import Draft
from .layer import convolution, pooling, symmetric_weights, transposed
from .model import ModelError, Operator, Unsupported
from .values import (
    Constant,
    Elementwise,
    Floats,
    Integers,
    Layer,
    QuantizedConstant,
    Reals,
    Sums,
    Unknown,
    Value,
)  # fmt: skip
from .views import VIEWS, attributes, view

__all__ = ["Lowering", "SUPPORTED"]

_QUANTISE = "quantise it with onnxruntime.quantization.quantize_static"
_AGAIN = "quantise the model again"
_DTYPES = {int(onnx.TensorProto.INT8): np.dtype(np.int8), int(onnx.TensorProto.UINT8): np.dtype(np.uint8)}
_NARROW = ("int4", "uint4")

#: ONNX operators that can be lowered.
SUPPORTED = frozenset(
    {
        "Add", "AveragePool", "Cast", "Clip", "Concat", "Constant", "Conv", "ConvInteger", "DequantizeLinear", "Gemm",
        "GlobalAveragePool", "GlobalMaxPool", "MatMul", "MatMulInteger", "MaxPool", "Mul", "Pad", "QLinearConv",
        "QLinearMatMul", "QuantizeLinear", "ReduceMean", "Relu", "Softmax",
    } | VIEWS
)  # fmt: skip


class Lowering:
    """What is known about one ONNX model so far.

    Parameters
    ----------
    name : str
        Of the graph.
    constants : dict of str to array
        Initialisers.
    shapes : dict of str to tuple of int
        What ONNX infers about values; only needed behind operators that are not supported.
    """

    def __init__(self, name: str, constants: dict[str, np.ndarray], shapes: dict[str, tuple[int, ...]]) -> None:
        #: Verdicts on all operators, except constants, QuantizeLinear and DequantizeLinear that are fine.
        self.operators: list[Operator] = []
        self._draft = Draft(name)
        self._shapes = shapes
        self._values: dict[str, Value] = {key: Constant(array) for key, array in constants.items()}
        self._handlers: dict[str, Callable[[onnx.NodeProto, list[Value | None]], Value]] = {
            "Add": self._add,
            "AveragePool": self._pool,
            "Cast": self._cast,
            "Clip": self._clip,
            "Concat": self._concat,
            "Constant": self._constant,
            "Conv": self._conv,
            "ConvInteger": self._conv_integer,
            "DequantizeLinear": self._dequantize,
            "DynamicQuantizeLinear": self._dynamic,
            "Gemm": self._gemm,
            "GlobalAveragePool": self._pool,
            "GlobalMaxPool": self._pool,
            "MatMul": self._matmul,
            "MatMulInteger": self._matmul_integer,
            "MaxPool": self._pool,
            "Mul": self._mul,
            "Pad": self._pad,
            "QLinearConv": self._qlinear_conv,
            "QLinearMatMul": self._qlinear_matmul,
            "QuantizeLinear": self._quantize,
            "ReduceMean": self._mean,
            "Relu": self._clip,
            "Softmax": self._softmax,
            **dict.fromkeys(VIEWS, self._view),
        }

    def add_input(self, name: str, shape: tuple[int, ...], element_type: int) -> None:
        """Declare an input of the model.

        Raises
        ------
        ModelError
            If it is neither float32 nor an 8-bit integer.
        """
        if int(np.prod(shape, dtype=object)) > MAX_VALUES:
            raise ModelError(f"input {name!r} has the shape {shape}: at most {MAX_VALUES} values can be handled")
        positions = np.arange(int(np.prod(shape))).reshape(shape)
        if element_type == onnx.TensorProto.FLOAT:
            self._values[name] = Floats(name, shape, positions)
        elif element_type in _DTYPES:
            dtype = _DTYPES[element_type]
            self._draft.add_input(name, Port(name, shape, dtype), dtype, None)
            self._values[name] = Integers(name, positions)
        else:
            raise ModelError(f"input {name!r} is neither float32 nor int8 nor uint8: quantise the model to 8 bits")

    def add_output(self, name: str) -> None:
        """Declare an output of the model.

        Raises
        ------
        ModelError
            If it is not computed by a layer, or another output is the same tensor.
        """
        value = self._values[name]
        if isinstance(value, Integers | Reals):
            self._draft.add_output(name, value)
        elif isinstance(value, Layer | Elementwise):
            self.operators[value.operator] = dataclasses.replace(
                self.operators[value.operator],
                becomes="",
                reason=f"its result {name!r} leaves the model in float32",
                remedy="end the model with QuantizeLinear",
            )
        elif not isinstance(value, Unknown) or all(operator.supported for operator in self.operators):
            raise ModelError(f"output {name!r} is not computed by a quantised layer: {_QUANTISE}")

    def graph(self, model_hash: str) -> Graph:
        """The graph of a model whose every operator is supported."""
        return self._draft.graph(model_hash)

    def add(self, node: onnx.NodeProto) -> None:
        """Lower one operator, all of whose inputs are known.

        Raises
        ------
        ModelError
            If it contradicts its inputs. That it is not supported goes to `operators` instead.
        """
        self.operators.append(Operator(_name(node), node.op_type, "fused"))
        self._values.update({name: Unknown(self._shapes.get(name)) for name in node.output})
        handler = self._handlers.get(node.op_type)
        try:
            if handler is None or node.domain not in ("", "ai.onnx", "com.microsoft"):
                raise Unsupported("no layer does this", "compute it outside the model")
            value = handler(node, [self._values[name] if name else None for name in node.input])
        except Unsupported as refusal:
            self.operators[-1] = Operator(_name(node), node.op_type, "", refusal.reason, refusal.remedy)
            return
        self._values[node.output[0]] = value
        if node.op_type in ("Constant", "DequantizeLinear", "QuantizeLinear"):
            self.operators.pop()

    def _verdict(self, becomes: str) -> None:
        self.operators[-1] = dataclasses.replace(self.operators[-1], becomes=becomes)

    def _unknown(self, node: onnx.NodeProto) -> Unknown:
        return Unknown(self._shapes.get(node.output[0]))

    # Quantisation.

    def _constant(self, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
        values = attributes(node)
        if "value" in values:
            return Constant(onnx.numpy_helper.to_array(values["value"]))
        for kind, dtype in (("float", np.float32), ("int", np.int64)):
            for key in (f"value_{kind}", f"value_{kind}s"):
                if key in values:
                    return Constant(np.array(values[key], dtype))
        raise Unsupported("it holds neither a tensor nor numbers", "store it as an initialiser")

    def _quantization(
        self, node: onnx.NodeProto, inputs: list[Value | None], ndim: int
    ) -> tuple[Quantization, np.dtype | None]:
        """Scale and zero point of a QuantizeLinear or DequantizeLinear; the zero point's dtype, if there is one."""
        label, values = _label(node), attributes(node)
        scale, zero_point = inputs[1], inputs[2] if len(inputs) > 2 else None
        if not isinstance(scale, Constant) or not isinstance(zero_point, Constant | None):
            raise Unsupported("its scale or zero point is computed", "store both as initialisers")
        if values.get("block_size", 0):
            raise Unsupported("it has a scale per block", "quantise per tensor or per channel")
        if scale.data.dtype != np.float32:
            raise Unsupported(f"its scale is {scale.data.dtype}", "use a float32 scale")
        if (wrong := scale.data[~(np.isfinite(scale.data) & (scale.data > 0))]).size:
            raise ModelError(f"{label} has the scale {wrong.reshape(-1)[0]}, not a positive number: {_AGAIN}")
        points = np.zeros(scale.data.shape, np.int32) if zero_point is None else zero_point.data
        if points.size != scale.data.size or scale.data.ndim > 1:
            raise ModelError(
                f"{label} has scales of shape {scale.data.shape} but zero points of shape {points.shape}: {_AGAIN}"
            )
        axis = None if scale.data.size == 1 else values.get("axis", 1)
        if axis is not None and axis < 0:
            axis += ndim
        shape = () if axis is None else scale.data.shape
        quantization = Quantization(scale.data.reshape(shape), points.astype(np.int32).reshape(shape), axis)
        return quantization, None if zero_point is None else points.dtype

    def _dequantize(self, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
        source = inputs[0]
        if isinstance(source, Unknown):
            return source
        if isinstance(source, Constant):
            quantization, points = self._quantization(node, inputs, source.data.ndim)
        elif isinstance(source, Integers):
            quantization, points = self._quantization(node, inputs, source.positions.ndim)
        else:
            raise ModelError(f"{_label(node)} reads float32: {_AGAIN}")
        return self._read(node, source, quantization, points)

    def _read(
        self, node: onnx.NodeProto, source: Constant | Integers, quantization: Quantization, points: np.dtype | None
    ) -> QuantizedConstant | Reals:
        """The real numbers that integers stand for; `points` is the dtype of their zero point."""
        if isinstance(source, Constant):
            axis, count, dtype = quantization.axis, quantization.scale.size, source.data.dtype
            if axis is not None and source.data.shape[axis : axis + 1] != (count,):
                raise ModelError(
                    f"{_label(node)} has {count} scales for axis {axis} of shape {source.data.shape}: {_AGAIN}"
                )
            value = QuantizedConstant(source.data, quantization, 4 if dtype.name in _NARROW else 8)
        else:
            tensor = self._draft.tensors[source.tensor]
            dtype = tensor.dtype
            if quantization.axis is not None:
                raise Unsupported("it has a scale per channel of an activation", "quantise activations per tensor")
            if tensor.quantization is None:
                self._draft.tensors[source.tensor] = dataclasses.replace(tensor, quantization=quantization)
            elif not _same(tensor.quantization, quantization):
                raise Unsupported("it reads integers with another scale than they were written with", "use one scale")
            value = Reals(source.tensor, source.positions, quantization)
        if points not in (None, dtype):
            raise ModelError(f"{_label(node)} has a zero point of {points} for values of {dtype}: {_AGAIN}")
        return value

    def _quantize(self, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
        source, name = inputs[0], node.output[0]
        quantization, points = self._quantization(node, inputs, 0)
        if quantization.axis is not None:
            raise Unsupported("it has a scale per channel of an activation", "quantise activations per tensor")
        dtype = points or _DTYPES.get(attributes(node).get("output_dtype", onnx.TensorProto.UINT8))
        if dtype is None or dtype not in _DTYPES.values():
            raise Unsupported("it quantises to another type than int8 or uint8", "quantise activations to 8 bits")
        match source:
            case Layer():
                return self._draft.add_layer(source, name, dtype, quantization)
            case Elementwise():
                if not all(_same(scale, quantization) for scale in source.same):
                    reason, remedy = "its result has another scale than its input", "quantise both with one scale"
                    self.operators[source.operator] = dataclasses.replace(
                        self.operators[source.operator], becomes="", reason=reason, remedy=remedy
                    )
                return self._draft.add_elementwise(source, name, dtype, quantization)
            case Reals(tensor, positions):
                written = self._draft.tensors[tensor]
                if written.dtype == dtype and _same(written.quantization, quantization):
                    return Integers(tensor, positions)
                return self._draft.add_elementwise(
                    self._elementwise(node, "requantise", source), name, dtype, quantization
                )
            case Floats(caller, shape, positions):
                if any(port.name == caller for port in self._draft.ports.values()):
                    raise Unsupported(f"it quantises the input {caller!r} a second time", "quantise the input once")
                self._draft.add_input(name, Port(caller, shape, np.dtype(np.float32)), dtype, quantization)
                return Integers(name, positions)
            case Unknown(shape) if shape is not None:
                self._draft.add_loose(name, shape, dtype, quantization)
                return Integers(name, np.arange(int(np.prod(shape))).reshape(shape))
            case Unknown():
                return source
        raise Unsupported("it quantises a constant or integers", "store constants as integers")

    def _view(self, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
        source, operand = inputs[0], inputs[1] if len(inputs) > 1 and node.op_type != "Dropout" else None
        if not isinstance(operand, Constant | None):
            raise Unsupported("its shape or axes are computed", "export the model with fixed sizes")
        numbers = None if operand is None else operand.data
        self._verdict("view")
        match source:
            case Integers() | Reals() | Floats():
                return dataclasses.replace(source, positions=view(node, source.positions, numbers))
            case Constant(data):
                return Constant(view(node, data, numbers))
            case QuantizedConstant(data, quantization):
                if quantization.axis is not None:
                    if node.op_type != "Transpose":
                        raise Unsupported("it reshapes weights with a scale per channel", "store them reshaped")
                    order = list(attributes(node).get("perm", range(data.ndim)[::-1]))
                    quantization = dataclasses.replace(quantization, axis=order.index(quantization.axis))
                return dataclasses.replace(source, data=view(node, data, numbers), quantization=quantization)
            case Layer() | Sums() | Elementwise():
                raise Unsupported("it reads float32 that nothing quantised", "put a QuantizeLinear before it")
        return self._unknown(node)

    # Layers.

    def _conv(self, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
        self._verdict("conv2d")
        w, x = symmetric_weights(inputs[1], 0), inputs[0]
        if w.data.ndim != 4:
            raise Unsupported(f"it has {w.data.ndim - 2} spatial dimensions", "use a two-dimensional convolution")
        x = _activation(x)
        if x is None:
            return self._unknown(node)
        return self._convolution(node, x, w, _bias(inputs[2:]))

    def _convolution(
        self, node: onnx.NodeProto, x: Reals, w: QuantizedConstant, bias: QuantizedConstant | Constant | None
    ) -> Layer:
        """A convolution of one group, or of a group per channel."""
        values = attributes(node)
        groups, kernel = values.get("group", 1), (w.data.shape[2], w.data.shape[3])
        if x.positions.ndim != 4 or x.positions.shape[1] != groups * w.data.shape[1]:
            raise ModelError(
                f"{_label(node)} reads {x.positions.shape} with weights of {w.data.shape}: let the channels agree"
            )
        batch, channels, height, width = x.positions.shape
        data = np.ascontiguousarray(w.data.transpose(0, 2, 3, 1))
        op = "conv2d"
        if groups != 1:
            if groups != channels:
                raise Unsupported(f"it has {groups} groups", "use a convolution of one group, or of one per channel")
            if w.data.shape[0] % groups:
                raise ModelError(f"{_label(node)} has {w.data.shape[0]} outputs in {groups} groups: export it again")
            op, data = "depthwise_conv2d", np.ascontiguousarray(data[..., 0])
        self._verdict(op)
        geometry, size = convolution(_label(node), values, (height, width), kernel, batch * channels)
        return Layer(
            name=_name(node),
            operator=len(self.operators) - 1,
            op=op,
            input=self._draft.ordered(x),
            input_quantization=x.quantization,
            weights=dataclasses.replace(w, data=data),
            bias=bias,
            attributes=geometry,
            shape=(batch, w.data.shape[0], *size),
        )

    def _parameters(
        self, node: onnx.NodeProto, inputs: list[Value | None], place: int, axis: int | None = None
    ) -> tuple[Quantization, np.dtype | None]:
        """Scale and zero point of a QLinear operator's operand, from the inputs `place` and the one behind."""
        quantization, points = self._quantization(node, [None, *inputs[place : place + 2]], 0)
        if quantization.axis is not None:
            quantization = dataclasses.replace(quantization, axis=axis)
        return quantization, points

    def _qlinear(
        self, node: onnx.NodeProto, inputs: list[Value | None], axis: int
    ) -> tuple[Reals, QuantizedConstant, Quantization, np.dtype] | None:
        """Operands of a QLinear operator and what its result is wanted in; None behind one that is not supported."""
        source, weights = inputs[0], inputs[3]
        if isinstance(source, Unknown) or isinstance(weights, Unknown):
            return None
        if not isinstance(source, Integers) or not isinstance(weights, Constant):
            raise Unsupported("it multiplies other values than an activation and constants", _QUANTISE)
        x = self._read(node, source, *self._parameters(node, inputs, 1))
        w = self._read(node, weights, *self._parameters(node, inputs, 4, axis))
        wanted, dtype = self._parameters(node, inputs, 6)
        if wanted.axis is not None or dtype not in _DTYPES.values():
            raise Unsupported("its result is not quantised to 8 bits with one scale", _QUANTISE)
        assert isinstance(x, Reals)
        assert isinstance(w, QuantizedConstant)
        return x, symmetric_weights(w, axis), wanted, np.dtype(dtype)

    def _qlinear_conv(self, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
        self._verdict("conv2d")
        operands = self._qlinear(node, inputs, 0)
        if operands is None:
            return self._unknown(node)
        x, w, wanted, dtype = operands
        if w.data.ndim != 4:
            raise Unsupported(f"it has {w.data.ndim - 2} spatial dimensions", "use a two-dimensional convolution")
        bias = inputs[8] if len(inputs) > 8 else None
        if not isinstance(bias, Constant | None) or (bias is not None and bias.data.dtype != np.int32):
            raise Unsupported("its bias is computed or not int32", "store the bias as an initialiser of int32")
        layer = self._convolution(node, x, w, None)
        if bias is not None:
            products = x.quantization.scale * w.quantization.scale
            scale = Quantization(products, np.zeros(products.shape, np.int32), 0 if products.ndim else None)
            layer = dataclasses.replace(layer, bias=QuantizedConstant(bias.data, scale))
        return self._draft.add_layer(layer, node.output[0], dtype, wanted)

    def _qlinear_matmul(self, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
        self._verdict("fully_connected")
        operands = self._qlinear(node, inputs, 1)
        if operands is None:
            return self._unknown(node)
        x, w, wanted, dtype = operands
        layer = self._fully_connected(node, x, transposed(_matrix(w)), None)
        assert isinstance(layer, Layer)
        return self._draft.add_layer(layer, node.output[0], dtype, wanted)

    # Integers whose scale comes behind them.

    def _integer(
        self, node: onnx.NodeProto, inputs: list[Value | None], axis: int
    ) -> tuple[Reals, QuantizedConstant] | None:
        """Operands of an Integer operator as if their scale were 1; None behind one that is not supported."""
        source, weights = inputs[:2]
        points = [inputs[place] if len(inputs) > place else None for place in (2, 3)]
        if isinstance(source, Unknown) or isinstance(weights, Unknown):
            return None
        if not isinstance(source, Integers) or not isinstance(weights, Constant):
            raise Unsupported("it multiplies other values than an activation and constants", _QUANTISE)
        zeros = []
        for point in points:
            if not isinstance(point, Constant | None):
                raise Unsupported("its zero point is computed", "store zero points as initialisers")
            zeros.append(np.zeros((), np.int32) if point is None else point.data.astype(np.int32))
        if zeros[0].size != 1 or zeros[1].size not in (1, weights.data.shape[axis]):
            raise Unsupported("it has a zero point per row", "quantise activations per tensor")
        tensor = self._draft.tensors[source.tensor]
        if tensor.quantization is None:
            quantization = Quantization.per_tensor(1.0, int(zeros[0].reshape(())))
            self._draft.tensors[source.tensor] = tensor = dataclasses.replace(tensor, quantization=quantization)
        assert tensor.quantization is not None
        if tensor.quantization.axis is not None or tensor.zero_point != int(zeros[0].reshape(())):
            raise Unsupported("it reads integers with another zero point than they were written with", "use one")
        zero = zeros[1].reshape(-1) if zeros[1].size > 1 else zeros[1].reshape(())
        scale = Quantization(np.ones(zero.shape, np.float32), zero, axis if zero.ndim else None)
        bits = 4 if weights.data.dtype.name in _NARROW else 8
        w = symmetric_weights(QuantizedConstant(weights.data, scale, bits), axis)
        return Reals(source.tensor, source.positions, tensor.quantization), w

    def _conv_integer(self, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
        self._verdict("conv2d")
        operands = self._integer(node, inputs, 0)
        if operands is None:
            return self._unknown(node)
        if operands[1].data.ndim != 4:
            raise Unsupported("it has not two spatial dimensions", "use a two-dimensional convolution")
        return Sums(self._convolution(node, *operands, None))

    def _matmul_integer(self, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
        self._verdict("fully_connected")
        operands = self._integer(node, inputs, 1)
        if operands is None:
            return self._unknown(node)
        layer = self._fully_connected(node, operands[0], transposed(_matrix(operands[1])), None)
        assert isinstance(layer, Layer)
        return Sums(layer)

    def _cast(self, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
        source = inputs[0]
        if isinstance(source, Unknown):
            return self._unknown(node)
        if not isinstance(source, Sums) or attributes(node).get("to") != onnx.TensorProto.FLOAT:
            raise Unsupported("it casts other values than 32-bit sums to float32", _QUANTISE)
        return dataclasses.replace(source, real=True)

    def _mul(self, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
        if any(isinstance(value, Unknown) for value in inputs):
            return self._unknown(node)
        match inputs:
            case [Sums(layer, True), Constant(factor)] | [Constant(factor), Sums(layer, True)]:
                pass
            case _:
                raise Unsupported("it multiplies other values than 32-bit sums with their scale", _QUANTISE)
        scale = _per_output(node, layer, factor)
        if factor.dtype != np.float32 or not np.all(np.isfinite(scale) & (scale > 0)):
            raise ModelError(f"{_label(node)} scales with numbers that are not positive float32: {_AGAIN}")
        return self._draft.add_sums(layer, node.output[0], scale)

    def _dynamic(self, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
        raise Unsupported(
            "it chooses scales while the model runs",
            "quantise with fixed ones: onnxruntime.quantization.quantize_static",
        )

    # Operators without weights.

    def _elementwise(
        self, node: onnx.NodeProto, op: str, *sources: Reals, same: bool = False, **attributes: Any
    ) -> Elementwise:
        """An operator whose result has the shape and order of its inputs."""
        inputs = tuple(self._draft.ordered(source) for source in sources)
        shape = self._draft.tensors[inputs[0]].shape
        return Elementwise(
            name=_name(node),
            operator=len(self.operators) - 1,
            op=op,
            inputs=inputs,
            shape=shape,
            positions=_in_model_order(shape),
            attributes=attributes,
            same=tuple(source.quantization for source in sources) if same else (),
        )

    def _pool(self, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
        op = "max_pool" if node.op_type.endswith("MaxPool") else "average_pool"
        self._verdict(op)
        x, values = _activation(inputs[0]), attributes(node)
        if x is None:
            return self._unknown(node)
        if x.positions.ndim != 4:
            raise Unsupported(f"it has {x.positions.ndim - 2} spatial dimensions", "use a two-dimensional pool")
        batch, channels, *size = x.positions.shape
        if node.op_type.startswith("Global"):
            values = {"kernel_shape": size}
        kernel = pooling(_label(node), tuple(values.get("kernel_shape", ())))
        geometry, out = convolution(_label(node), values, (size[0], size[1]), kernel, batch * channels)
        if geometry.pop("dilation") != (1, 1) or values.get("ceil_mode", 0):
            raise Unsupported("it is dilated or rounds its size up", "use a plain pool")
        if any(geometry["pads"]) and values.get("count_include_pad", 0):
            raise Unsupported("it counts padding", "leave count_include_pad out")
        if any(pad >= kernel[i % 2] for i, pad in enumerate(geometry["pads"])):
            raise ModelError(f"{_label(node)} has windows of nothing but padding: {_AGAIN}")
        value = self._elementwise(node, op, x, same=op == "max_pool", kernel=kernel, **geometry)
        shape = (batch, *out, channels)
        return dataclasses.replace(value, shape=shape, positions=_in_model_order(shape))

    def _mean(self, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
        """A mean over the pixels is a pool over all of them."""
        self._verdict("average_pool")
        x, values = _activation(inputs[0]), attributes(node)
        if x is None:
            return self._unknown(node)
        operand = inputs[1] if len(inputs) > 1 else None
        axes = operand.data.reshape(-1).tolist() if isinstance(operand, Constant) else values.get("axes", ())
        if x.positions.ndim != 4 or sorted(axis % 4 for axis in axes) != [2, 3]:
            raise Unsupported("it is not a mean over the pixels of an image", "use a global average pool")
        _, height, width, _ = self._draft.tensors[self._draft.ordered(x)].shape
        window = {"kernel": (height, width), "stride": (1, 1), "pads": (0, 0, 0, 0)}
        value = self._elementwise(node, "average_pool", x, **window)
        shape = (value.shape[0], 1, 1, value.shape[3])
        positions = _in_model_order(shape)
        if not values.get("keepdims", 1):
            positions = positions.reshape(shape[0], shape[3])
        return dataclasses.replace(value, shape=shape, positions=positions)

    def _softmax(self, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
        self._verdict("softmax")
        x = _activation(inputs[0])
        if x is None:
            return self._unknown(node)
        ndim = x.positions.ndim
        axis = attributes(node).get("axis", 1 if ndim == 2 else 0)
        if ndim == 4 or axis not in (-1, ndim - 1):
            raise Unsupported("it does not go over the last axis of a matrix", "transpose its input")
        return self._elementwise(node, "softmax", x)

    def _concat(self, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
        self._verdict("concat")
        parts = [_activation(value) for value in inputs]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return self._unknown(node)
        shapes = [part.positions.shape for part in known]
        axis, ndim = attributes(node)["axis"], len(shapes[0])
        axis += ndim if axis < 0 else 0
        rest = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
        if not 0 <= axis < ndim or len(rest) != 1 or len({len(shape) for shape in shapes}) != 1:
            raise ModelError(f"{_label(node)} joins {shapes} along axis {axis}, which does not fit: {_AGAIN}")
        order = (0, 2, 3, 1) if ndim == 4 else tuple(range(ndim))
        value = self._elementwise(node, "concat", *known, same=True, axis=order.index(axis))
        shape = list(value.shape)
        shape[order.index(axis)] = sum(shape_[axis] for shape_ in shapes)
        return dataclasses.replace(value, shape=tuple(shape), positions=_in_model_order(tuple(shape)))

    def _pad(self, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
        self._verdict("pad")
        x, values = _activation(inputs[0]), attributes(node)
        if x is None:
            return self._unknown(node)
        pads, constant = (inputs[place] if len(inputs) > place else None for place in (1, 2))
        if not isinstance(pads, Constant | None) or len(inputs) > 3:
            raise Unsupported("its widths are computed or for chosen axes", "export the model with fixed sizes")
        widths = list(values.get("pads", ())) if pads is None else pads.data.reshape(-1).tolist()
        real = values.get("value", 0.0)
        if isinstance(constant, Constant | QuantizedConstant) and constant.data.size == 1:
            real = float(_real(constant).reshape(()))
        elif constant is not None:
            raise Unsupported("its value is not a constant number", "store the value as an initialiser")
        ndim = x.positions.ndim
        if values.get("mode", b"constant") != b"constant" or min(widths, default=0) < 0:
            raise Unsupported("it does not pad with a constant", "pad with zeros")
        if len(widths) != 2 * ndim:
            raise ModelError(f"{_label(node)} has {len(widths)} widths for {ndim} axes: {_AGAIN}")
        order = (0, 2, 3, 1) if ndim == 4 else tuple(range(ndim))
        pairs = tuple((int(widths[axis]), int(widths[axis + ndim])) for axis in order)
        tensor = self._draft.tensors[self._draft.ordered(x)]
        shape = tuple(size + sum(pair) for size, pair in zip(tensor.shape, pairs, strict=True))
        if int(np.prod(shape, dtype=object)) > MAX_VALUES:
            raise ModelError(f"{_label(node)} gives the shape {shape}: at most {MAX_VALUES} values can be handled")
        number = int(x.quantization.quantize(np.array(real), tensor.dtype))
        value = self._elementwise(node, "pad", x, same=True, pads=pairs, value=number)
        return dataclasses.replace(value, shape=shape, positions=_in_model_order(shape))

    def _gemm(self, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
        self._verdict("fully_connected")
        values = attributes(node)
        if values.get("transA", 0) or values.get("alpha", 1.0) != 1 or values.get("beta", 1.0) != 1:
            raise Unsupported("it transposes its input or scales with alpha or beta", "fold these into the weights")
        if values.get("transB", 0):
            return self._fully_connected(node, inputs[0], _matrix(inputs[1], 0), _bias(inputs[2:]))
        return self._fully_connected(node, inputs[0], transposed(_matrix(inputs[1])), _bias(inputs[2:]))

    def _matmul(self, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
        self._verdict("fully_connected")
        return self._fully_connected(node, inputs[0], transposed(_matrix(inputs[1])), None)

    def _fully_connected(
        self,
        node: onnx.NodeProto,
        source: Value | None,
        w: QuantizedConstant,
        bias: QuantizedConstant | Constant | None,
    ) -> Value:
        x = _activation(source)
        if x is None:
            return self._unknown(node)
        shape = x.positions.shape
        if len(shape) < 2 or shape[-1] != w.data.shape[1] or (node.op_type == "Gemm" and len(shape) != 2):
            raise ModelError(f"{_label(node)} reads {shape} with weights for {w.data.shape[1]} inputs: let them agree")
        tensor, columns = self._draft.matrix(x)
        return Layer(
            name=_name(node),
            operator=len(self.operators) - 1,
            op="fully_connected",
            input=tensor,
            input_quantization=x.quantization,
            weights=dataclasses.replace(w, data=np.ascontiguousarray(w.data[:, columns])),
            bias=bias,
            attributes={},
            shape=(*shape[:-1], w.data.shape[0]),
        )

    def _add(self, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
        if any(isinstance(value, Unknown) for value in inputs):
            return self._unknown(node)
        match inputs:
            case [Layer() as layer, Constant() | QuantizedConstant() as bias]:
                pass
            case [Constant() | QuantizedConstant() as bias, Layer() as layer]:
                pass
            case [Sums(layer, False), Constant() as bias] | [Constant() as bias, Sums(layer, False)]:
                if layer.bias is not None:
                    raise Unsupported("it adds to a layer that has a bias", "give the layer one bias")
                return Sums(dataclasses.replace(layer, bias=Constant(_per_output(node, layer, bias.data))))
            case [Reals() as a, Reals() as b]:
                self._verdict("add")
                if a.positions.shape != b.positions.shape:
                    raise Unsupported("it adds tensors of different shapes", "let the shapes agree")
                return self._elementwise(node, "add", a, b)
            case _:
                raise Unsupported("it adds values that nothing quantised", "put a QuantizeLinear before it")
        if layer.op != "fully_connected" or layer.bias is not None or np.isfinite(layer.bounds).any():
            raise Unsupported("it adds to a layer that cannot take a bias any more", "give the layer the bias")
        return dataclasses.replace(layer, bias=bias)

    def _clip(self, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
        source, values = inputs[0], attributes(node)
        if isinstance(source, Unknown):
            return self._unknown(node)
        if isinstance(source, Reals):
            self._verdict("requantise")
            source = self._elementwise(node, "requantise", source)
        if not isinstance(source, Layer | Elementwise):
            raise Unsupported("it does not follow a layer", "put it between a layer and its QuantizeLinear")
        low = 0.0 if node.op_type == "Relu" else values.get("min", -np.inf)
        bounds = [low, values.get("max", np.inf)]
        for i, bound in enumerate(inputs[1:3]):
            if isinstance(bound, Constant | QuantizedConstant) and bound.data.size == 1:
                bounds[i] = float(_real(bound).reshape(()))
            elif bound is not None:
                raise Unsupported("its bounds are not constant numbers", "store the bounds as initialisers")
        if not bounds[0] <= bounds[1]:
            raise ModelError(f"{_label(node)} has the bounds {bounds[0]} and {bounds[1]}: exchange them")
        low, high = (min(max(bound, bounds[0]), bounds[1]) for bound in source.bounds)
        return dataclasses.replace(source, low=low, high=high)


def _name(node: onnx.NodeProto) -> str:
    return node.name or node.output[0]


def _label(node: onnx.NodeProto) -> str:
    return f"{node.op_type} {_name(node)!r}"


def _same(written: Quantization | None, read: Quantization) -> bool:
    return written is not None and bool(written.scale == read.scale and written.zero_point == read.zero_point)


def _real(value: Constant | QuantizedConstant) -> np.ndarray:
    return value.data if isinstance(value, Constant) else value.quantization.dequantize(value.data)


def _activation(value: Value | None) -> Reals | None:
    """A layer's input; None behind an operator that is not supported."""
    if isinstance(value, Unknown):
        return None
    if not isinstance(value, Reals):
        raise Unsupported("its input is float32", _QUANTISE)
    return value


def _matrix(value: Value | None, axis: int = 1) -> QuantizedConstant:
    """Weights of a fully connected layer, whose outputs lie along `axis`."""
    weights = symmetric_weights(value, axis)
    if weights.data.ndim != 2:
        raise Unsupported(f"its weights have {weights.data.ndim} dimensions", "use a matrix")
    return weights


def _in_model_order(shape: tuple[int, ...]) -> np.ndarray:
    """Positions of a tensor's elements, NCHW for the NHWC of four dimensions."""
    positions = np.arange(int(np.prod(shape))).reshape(shape)
    return positions.transpose(0, 3, 1, 2) if len(shape) == 4 else positions


def _per_output(node: onnx.NodeProto, layer: Layer, values: np.ndarray) -> np.ndarray:
    """`values` that broadcast with a layer's result: one, or one per output."""
    outputs = layer.weights.data.shape[0]
    shape = (outputs,) if layer.op == "fully_connected" else (outputs, 1, 1)
    # More axes of size 1 in front change nothing.
    trimmed = values.reshape(values.shape[values.ndim - len(shape) :]) if values.size == outputs > 1 else values
    if values.size == 1:
        return values.reshape(())
    if trimmed.shape != shape:
        raise ModelError(f"{_label(node)} has {outputs} outputs but an operand of {values.shape}: let them agree")
    return values.reshape(-1)


def _bias(rest: list[Value | None]) -> QuantizedConstant | Constant | None:
    """A layer's third input, which may be absent."""
    value = rest[0] if rest else None
    if not isinstance(value, QuantizedConstant | Constant | None):
        raise Unsupported("its bias is computed", "store the bias as an initialiser")
    return value
