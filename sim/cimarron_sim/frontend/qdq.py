"""Lowers ONNX operators between DequantizeLinear and QuantizeLinear to integer layers.

Walks the operators once, keeping what is known about every value. A layer waits until the QuantizeLinear behind it,
past its activation function, says in which integers its result is wanted.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import onnx

from ..graph import Graph, Port, Quantization
from .draft import Draft
from .layer import convolution, symmetric_weights, transposed
from .model import ModelError, Operator, Unsupported
from .values import Constant, Floats, Integers, Layer, QuantizedConstant, Reals, Unknown, Value
from .views import VIEWS, attributes, view

__all__ = ["Lowering", "SUPPORTED"]

_QUANTISE = "quantise it with onnxruntime.quantization.quantize_static"
_AGAIN = "quantise the model again"
_DTYPES = {int(onnx.TensorProto.INT8): np.dtype(np.int8), int(onnx.TensorProto.UINT8): np.dtype(np.uint8)}
_NARROW = ("int4", "uint4")

#: ONNX operators that can be lowered.
SUPPORTED = frozenset(
    {"Add", "Clip", "Constant", "Conv", "DequantizeLinear", "Gemm", "MatMul", "QuantizeLinear", "Relu"} | VIEWS
)


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
            "Clip": self._clip,
            "Constant": self._constant,
            "Conv": self._conv,
            "DequantizeLinear": self._dequantize,
            "Gemm": self._gemm,
            "MatMul": self._matmul,
            "QuantizeLinear": self._quantize,
            "Relu": self._clip,
            **dict.fromkeys(VIEWS, self._view),
        }

    def add_input(self, name: str, shape: tuple[int, ...], element_type: int) -> None:
        """Declare an input of the model.

        Raises
        ------
        ModelError
            If it is neither float32 nor an 8-bit integer.
        """
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
        elif isinstance(value, Layer):
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
            axis, count, dtype = quantization.axis, quantization.scale.size, source.data.dtype
            if axis is not None and source.data.shape[axis : axis + 1] != (count,):
                raise ModelError(
                    f"{_label(node)} has {count} scales for axis {axis} of shape {source.data.shape}: {_AGAIN}"
                )
            value = QuantizedConstant(source.data, quantization, 4 if dtype.name in _NARROW else 8)
        elif isinstance(source, Integers):
            quantization, points = self._quantization(node, inputs, source.positions.ndim)
            tensor = self._draft.tensors[source.tensor]
            dtype = tensor.dtype
            if quantization.axis is not None:
                raise Unsupported("it has a scale per channel of an activation", "quantise activations per tensor")
            if tensor.quantization is None:
                self._draft.tensors[source.tensor] = dataclasses.replace(tensor, quantization=quantization)
            elif not _same(tensor.quantization, quantization):
                raise Unsupported("it reads integers with another scale than they were written with", "use one scale")
            value = Reals(source.tensor, source.positions, quantization)
        else:
            raise ModelError(f"{_label(node)} reads float32: {_AGAIN}")
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
            case Reals(tensor, positions):
                written = self._draft.tensors[tensor]
                if written.dtype != dtype or not _same(written.quantization, quantization):
                    raise Unsupported("it changes the scale of values that no layer computes", "use one scale")
                return Integers(tensor, positions)
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
            case Layer():
                raise Unsupported("it reads float32 that nothing quantised", "put a QuantizeLinear before it")
        return self._unknown(node)

    # Layers.

    def _conv(self, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
        self._verdict("conv2d")
        values = attributes(node)
        w = symmetric_weights(inputs[1], 0)
        if w.data.ndim != 4:
            raise Unsupported(f"it has {w.data.ndim - 2} spatial dimensions", "use a two-dimensional convolution")
        if values.get("group", 1) != 1:
            raise Unsupported(f"it has {values['group']} groups", "use a convolution of one group")
        x = _activation(inputs[0])
        if x is None:
            return self._unknown(node)
        if x.positions.ndim != 4 or x.positions.shape[1] != w.data.shape[1]:
            raise ModelError(
                f"{_label(node)} reads {x.positions.shape} with weights of {w.data.shape}: let the channels agree"
            )
        batch, _, height, width = x.positions.shape
        channels, _, kernel_h, kernel_w = w.data.shape
        geometry, size = convolution(_label(node), values, (height, width), (kernel_h, kernel_w))
        return Layer(
            name=_name(node),
            operator=len(self.operators) - 1,
            op="conv2d",
            input=self._draft.image(x),
            input_quantization=x.quantization,
            weights=dataclasses.replace(w, data=np.ascontiguousarray(w.data.transpose(0, 2, 3, 1))),
            bias=_bias(inputs[2:]),
            attributes=geometry,
            shape=(batch, channels, *size),
        )

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
            case _:
                raise Unsupported("it adds two activations", "leave the addition out of the model")
        if layer.op != "fully_connected" or layer.bias is not None or np.isfinite(layer.bounds).any():
            raise Unsupported("it adds to a layer that cannot take a bias any more", "give the layer the bias")
        return dataclasses.replace(layer, bias=bias)

    def _clip(self, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
        source, values = inputs[0], attributes(node)
        if isinstance(source, Unknown):
            return self._unknown(node)
        if not isinstance(source, Layer):
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


def _bias(rest: list[Value | None]) -> QuantizedConstant | Constant | None:
    """A layer's third input, which may be absent."""
    value = rest[0] if rest else None
    if not isinstance(value, QuantizedConstant | Constant | None):
        raise Unsupported("its bias is computed", "store the bias as an initialiser")
    return value
