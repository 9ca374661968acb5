"""Operators without weights on integers: QLinear ones, with scales among their inputs, and ONNX's own.

Each is lowered as what it stands for: DequantizeLinear, the operator on real numbers, QuantizeLinear.
"""

import numpy as np
import onnx

from ..graph import Quantization
from . import onnx_elementwise
from .model import Unsupported
from .onnx_context import DTYPES, QUANTISE, Context, Handler, attributes
from .onnx_qlinear import parameters
from .onnx_rescale import add_elementwise, is_same
from .onnx_scales import read_integers
from .values import Constant, Elementwise, Integers, QuantizedConstant, Reals, Unknown, Value

__all__ = ["HANDLERS", "twin"]

_PLAIN = onnx_elementwise.HANDLERS
_TWINS = {
    "QGemm": "Gemm",
    "QLinearAdd": "Add",
    "QLinearAveragePool": "AveragePool",
    "QLinearConcat": "Concat",
    "QLinearGlobalAveragePool": "GlobalAveragePool",
    "QLinearSoftmax": "Softmax",
}
#: Attributes that only ONNX Runtime's operators have.
_OWN = ("channels_last", "opset")


def twin(node: onnx.NodeProto) -> onnx.NodeProto:
    """ONNX's operator on real numbers that one of ONNX Runtime's computes on integers; other nodes as they are."""
    if node.op_type not in _TWINS:
        return node
    count = {"QLinearAdd": 2, "QGemm": 2, "QLinearConcat": max(0, len(node.input)) // 3}.get(node.op_type, 1)
    names = [f"x{index}" for index in range(count)]
    plain = onnx.helper.make_node(_TWINS[node.op_type], names, [node.output[0]], name=node.name)
    plain.attribute.extend(attribute for attribute in node.attribute if attribute.name not in _OWN)
    return plain


def _real(context: Context, node: onnx.NodeProto, inputs: list[Value | None], place: int) -> Value:
    source = inputs[place]
    if isinstance(source, Unknown):
        return source
    if not isinstance(source, Constant | Integers):
        raise Unsupported("it reads other values than integers", QUANTISE)
    return read_integers(context, node, source, *parameters(node, inputs, place + 1))


def _qlinear(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    values, plain = attributes(node), twin(node)
    if values.get("channels_last", 0):
        raise Unsupported("its channels are the last axis", "quantise the model as it was exported, with NCHW images")
    inputs = [*inputs, *[None] * 8]
    match node.op_type:
        case "QLinearAdd":
            operands, wanted = (0, 3), 6
        case "QLinearConcat":
            operands, wanted = tuple(range(2, 2 + 3 * len(plain.input), 3)), 0
        case _:
            operands, wanted = (0,), 3
    reals = [_real(context, node, inputs, place) for place in operands]
    if node.op_type == "QLinearSoftmax" and isinstance(opset := values.get("opset"), int):
        value = onnx_elementwise.softmax(context, plain, list(reals), opset)
    else:
        value = _PLAIN[plain.op_type](context, plain, list(reals))
    if not isinstance(value, Elementwise):
        return context.unknown(node)
    quantization, dtype = parameters(node, inputs, wanted)
    dtype = dtype or context.draft.tensors[value.inputs[0]].dtype
    if quantization.axis is not None or dtype not in DTYPES.values():
        raise Unsupported("its result is not quantised to 8 bits with one scale", QUANTISE)
    return add_elementwise(context.draft, value, node.output[0], np.dtype(dtype), quantization)


def _on_integers(context: Context, node: onnx.NodeProto, inputs: list[Value | None]) -> Value:
    """ONNX's operator, which moves or compares integers whatever they mean."""
    plain = _PLAIN[node.op_type]
    tensors = [context.draft.tensors[value.tensor] for value in inputs if isinstance(value, Integers)]
    if not tensors:
        return plain(context, node, inputs)
    first, scale = tensors[0], tensors[0].quantization
    if scale is None:
        raise Unsupported(
            "the scale of its integers is not known", "put it between DequantizeLinear and QuantizeLinear"
        )
    if not all(is_same(tensor, first.dtype, scale) for tensor in tensors):
        raise Unsupported(
            "it joins integers of several scales", "join them between DequantizeLinear and QuantizeLinear"
        )
    operands: list[Value | None] = [
        Reals(value.tensor, value.positions, scale) if isinstance(value, Integers) else value for value in inputs
    ]
    # Numbers beside them are integers, too; the least of a Relu and the value of a Pad are 0 where they are left out.
    bounded = {"Relu": "Clip"}.get(node.op_type, node.op_type)
    if bounded in ("Clip", "Pad"):
        operands += [None] * (3 - len(operands))
        for place in (1, 2) if bounded == "Clip" else (2,):
            operands[place] = _meaning(operands[place], scale, first.dtype)
        missing = {"Relu": 1, "Pad": 2}.get(node.op_type)
        if missing is not None and operands[missing] is None:
            operands[missing] = QuantizedConstant(np.zeros((), first.dtype), scale)
    value = _PLAIN[bounded](context, node if bounded == node.op_type else _clip_of(node), operands)
    if not isinstance(value, Elementwise):
        return context.unknown(node)
    return add_elementwise(context.draft, value, node.output[0], first.dtype, scale)


def _meaning(value: Value | None, scale: Quantization, dtype: np.dtype) -> Value | None:
    if isinstance(value, Constant) and value.data.dtype == dtype:
        return QuantizedConstant(value.data, scale)
    return value


def _clip_of(node: onnx.NodeProto) -> onnx.NodeProto:
    return onnx.helper.make_node("Clip", list(node.input), list(node.output), name=node.name)


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys((name for name in _TWINS if name != "QGemm"), _qlinear),
    **dict.fromkeys(("Clip", "Concat", "MaxPool", "Pad", "Relu"), _on_integers),
}
