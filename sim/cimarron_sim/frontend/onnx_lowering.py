"""Lowers quantised ONNX operators to integer layers: between DequantizeLinear and QuantizeLinear, QLinear, Integer.

Walks the operators once, keeping what is known about every value. A layer waits until the QuantizeLinear behind it,
past its activation function, says in which integers its result is wanted.
"""

import dataclasses
from collections import Counter

import numpy as np
import onnx

from ..graph import MAX_VALUES, Graph, Port
from . import (
    onnx_elementwise,
    onnx_integer,
    onnx_layers,
    onnx_qlinear,
    onnx_quantised,
    onnx_scales,
    onnx_views,
)  # fmt: skip
from .model import ModelError, Operator, Unsupported
from .onnx_context import DTYPES, QUANTISE, Context, Handler, name_of
from .values import Constant, Elementwise, Floats, Integers, Layer, Reals, Sums, Unknown, Value

__all__ = ["SUPPORTED", "Lowering"]

_HANDLERS: dict[str, Handler] = {
    **onnx_elementwise.HANDLERS,
    **onnx_integer.HANDLERS,
    **onnx_layers.HANDLERS,
    **onnx_qlinear.HANDLERS,
    **onnx_quantised.HANDLERS,
    **onnx_scales.HANDLERS,
    **onnx_views.HANDLERS,
}

#: ONNX operators that can be lowered; those that are left out have only a better reason for their refusal.
SUPPORTED = frozenset(_HANDLERS) - {"BatchNormalization", "DynamicQuantizeLinear"}


class Lowering:
    """One ONNX model on its way to a graph.

    Parameters
    ----------
    name : str
        Of the graph.
    constants : dict of str to array
        Initialisers.
    shapes : dict of str to tuple of int
        What ONNX infers about values; only needed behind operators that are not supported.
    opset : int
        The version of the operators.
    """

    def __init__(
        self, name: str, constants: dict[str, np.ndarray], shapes: dict[str, tuple[int, ...]], opset: int
    ) -> None:
        self._context = Context(name, shapes, opset)
        #: How many operators of each type hold only constants or scales, and have no verdict.
        self.absorbed: Counter[str] = Counter()
        self._values: dict[str, Value] = {key: Constant(array) for key, array in constants.items()}

    @property
    def operators(self) -> list[Operator]:
        """Verdicts on all operators, except constants, QuantizeLinear and DequantizeLinear that are fine."""
        return self._context.operators

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
        elif element_type in DTYPES:
            dtype = DTYPES[element_type]
            self._context.draft.add_input(name, Port(name, shape, dtype), dtype, None)
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
        value, operators = self._values[name], self.operators
        if isinstance(value, Integers | Reals):
            self._context.draft.add_output(name, value)
        elif isinstance(value, Sums):
            sums = self._context.draft.add_sums(value.layer, name, np.ones((), np.float32))
            self._context.draft.add_output(name, sums if value.real else Integers(sums.tensor, sums.positions))
        elif isinstance(value, Layer | Elementwise):
            operators[value.operator] = dataclasses.replace(
                operators[value.operator],
                becomes="",
                reason=f"its result {name!r} leaves the model in float32",
                remedy="end the model with QuantizeLinear",
            )
        elif not isinstance(value, Unknown) or all(operator.supported for operator in operators):
            raise ModelError(f"output {name!r} is not computed by a quantised layer: {QUANTISE}")

    def graph(self, model_hash: str) -> Graph:
        """The graph of a model whose every operator is supported."""
        return self._context.draft.graph(model_hash)

    def part(self) -> Graph:
        """The layers that are understood, of any model."""
        return self._context.draft.part()

    def add(self, node: onnx.NodeProto) -> None:
        """Lower one operator, all of whose inputs are known.

        Raises
        ------
        ModelError
            If it contradicts its inputs. That it is not supported goes to `operators` instead.
        """
        context = self._context
        context.operators.append(Operator(name_of(node), node.op_type, "fused"))
        self._values.update({name: Unknown(context.shapes.get(name)) for name in node.output})
        handler = _HANDLERS.get(node.op_type)
        try:
            if handler is None or node.domain not in ("", "ai.onnx", "com.microsoft"):
                raise Unsupported("no layer does this", "compute it outside the model")
            inputs = [self._values[name] if name else None for name in node.input]
            value = handler(context, node, inputs)
        except Unsupported as refusal:
            context.operators[-1] = Operator(name_of(node), node.op_type, "", refusal.reason, refusal.remedy)
            return
        self._values[node.output[0]] = value
        self._say_which_layer(inputs)
        if node.op_type in ("Constant", "DequantizeLinear", "QuantizeLinear"):
            context.operators.pop()
            self.absorbed[node.op_type] += 1

    def _say_which_layer(self, inputs: list[Value | None]) -> None:
        """Name the layer that an operator became a part of."""
        operators = self._context.operators
        sources = [value.layer if isinstance(value, Sums) else value for value in inputs]
        layers = [source.operator for source in sources if isinstance(source, Layer | Elementwise)]
        if operators[-1].becomes == "fused" and layers:
            operators[-1] = dataclasses.replace(operators[-1], into=operators[layers[0]].name)
