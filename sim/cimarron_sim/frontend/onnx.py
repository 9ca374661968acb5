"""ONNX files: reading, checking, sorting; `onnx_lowering` lowers the operators."""

import hashlib
from collections.abc import Iterator

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import checker, numpy_helper, shape_inference

from ..graph import Graph, GraphError
from .model import ModelError, require_supported
from .onnx_lowering import SUPPORTED, Lowering
from .onnx_quantised import twin
from .part import Survey

__all__ = ["load", "survey"]

_OPSETS = range(10, 22)
_QUANTISED = ("ConvInteger", "DequantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul")
_DYNAMIC = "export the model with fixed sizes"


def load(data: bytes, path: str) -> Graph:
    """The quantised graph of an ONNX file.

    Parameters
    ----------
    data : bytes
        Content of the file.
    path : str
        What sentences call it.

    Raises
    ------
    ModelError
        If it is not a model that can be imported.
    """
    lowering = _lower(data, path)
    require_supported(lowering.operators, SUPPORTED, path)
    return lowering.graph(hashlib.sha256(data).hexdigest())


def survey(data: bytes, path: str) -> Survey:
    """Every operator of an ONNX file, and the layers that are understood."""
    lowering = _lower(data, path)
    try:
        return Survey(tuple(lowering.operators), lowering.absorbed, lowering.part())
    except GraphError as error:
        raise ModelError(f"{path} contradicts itself ({error}): export it again") from None


def _lower(data: bytes, path: str) -> Lowering:
    try:
        return _lowered(data, path)
    except GraphError as error:
        raise ModelError(f"{path} contradicts itself ({error}): export it again") from None


def _lowered(data: bytes, path: str) -> Lowering:
    model = _parse(data, path)
    constants = {tensor.name: _array(tensor) for tensor in model.graph.initializer}
    (opset,) = (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    lowering = Lowering(model.graph.name or "model", constants, _shapes(model), opset)
    for value in model.graph.input:
        if value.name not in constants:
            lowering.add_input(value.name, _input_shape(value), value.type.tensor_type.elem_type)
    context = _context(model)
    for node in _sorted(model.graph, path):
        plain = twin(node)
        if plain is not node or (node.op_type in SUPPORTED and node.domain in ("", "ai.onnx")):
            _check(plain, context)
        lowering.add(node)
    for value in model.graph.output:
        lowering.add_output(value.name)
    return lowering


def _parse(data: bytes, path: str) -> onnx.ModelProto:
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError):
        model = onnx.ModelProto()
    if not model.ir_version or not model.HasField("graph"):
        raise ModelError(f"{path} is not an ONNX model or is cut short: export it again")
    versions = [opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")]
    if len(versions) != 1 or versions[0] not in _OPSETS:
        raise ModelError(
            f"{path} uses opset {versions[0] if versions else 'none'}, not {_OPSETS[0]} to {_OPSETS[-1]}:"
            " convert it with onnx.version_converter"
        )
    if not model.graph.node:
        raise ModelError(f"{path} has no operators: export it again")
    if not any(node.op_type in _QUANTISED or twin(node) is not node for node in model.graph.node):
        raise ModelError(
            f"{path} is not quantised with QuantizeLinear and DequantizeLinear:"
            " quantise it with onnxruntime.quantization.quantize_static in QDQ format"
        )
    return model


def _context(model: onnx.ModelProto) -> checker.C.CheckerContext:
    context = checker.C.CheckerContext()
    context.ir_version = model.ir_version
    context.opset_imports = {opset.domain: opset.version for opset in model.opset_import}
    return context


def _check(node: onnx.NodeProto, context: checker.C.CheckerContext) -> None:
    """Number of inputs and types of attributes, by ONNX's own rules."""
    try:
        checker.check_node(node, context)
    except (checker.ValidationError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"{node.op_type} {node.name!r} is malformed ({reason}): export the model again") from None


def _array(tensor: onnx.TensorProto) -> np.ndarray:
    """Value of an initialiser; 4-bit integers come as int8."""
    name = tensor.name
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise ModelError(f"initialiser {name!r} lies outside the file: store it inside with onnx.save_model")
    try:
        array = numpy_helper.to_array(tensor)
    except (TypeError, ValueError, KeyError) as error:
        raise ModelError(f"initialiser {name!r} does not fit its shape or type ({error}): export it again") from None
    if array.dtype in (np.int8, np.uint8) and len(tensor.int32_data) == array.size:
        # The format keeps small integers in 32 bits, where they can be out of range.
        wide = np.array(tensor.int32_data, np.int64).reshape(array.shape)
        if not np.array_equal(wide, array):
            raise ModelError(f"initialiser {name!r} holds values out of the range of {array.dtype}: export it again")
    return array


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Shapes that ONNX itself infers, where they are fixed: how to go on behind an unsupported operator."""
    try:
        graph = shape_inference.infer_shapes(model).graph
    except (shape_inference.InferenceError, RuntimeError, ValueError):
        return {}
    shapes = {}
    for value in graph.value_info:
        dimensions = value.type.tensor_type.shape.dim
        sizes = tuple(d.dim_value or (1 if axis == 0 else 0) for axis, d in enumerate(dimensions))
        if all(size > 0 for size in sizes):
            shapes[value.name] = sizes
    return shapes


def _input_shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    if not value.type.tensor_type.HasField("shape"):
        raise ModelError(f"input {value.name!r} has no shape: {_DYNAMIC}")
    sizes = []
    for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
        fixed = dimension.WhichOneof("value") == "dim_value" and dimension.dim_value > 0
        if not fixed and axis > 0:
            raise ModelError(f"input {value.name!r} has no fixed size on axis {axis}: {_DYNAMIC}")
        sizes.append(dimension.dim_value if fixed else 1)
    return tuple(sizes)


def _sorted(graph: onnx.GraphProto, path: str) -> Iterator[onnx.NodeProto]:
    """Nodes in an order in which every input is computed before it is used (Kahn's algorithm)."""
    ready = {"", *(value.name for value in graph.input), *(tensor.name for tensor in graph.initializer)}
    produced: set[str] = set()
    for node in graph.node:
        for name in filter(None, node.output):
            if name in produced or name in ready:
                raise ModelError(f"{path} computes {name!r} twice: export it again")
            produced.add(name)
    for node in graph.node:
        for name in node.input:
            if name not in ready and name not in produced:
                raise ModelError(f"{node.op_type} {node.name!r} uses {name!r}, which does not exist: export it again")
    for value in graph.output:
        if value.name not in (ready | produced) - {""}:
            raise ModelError(f"output {value.name!r} is not computed: export it again")

    waiting = list(graph.node)
    while waiting:
        blocked = []
        for node in waiting:
            if all(name in ready for name in node.input):
                ready.update(node.output)
                yield node
            else:
                blocked.append(node)
        if len(blocked) == len(waiting):
            node = blocked[0]
            raise ModelError(f"{node.op_type} {node.name or node.output[0]!r} depends on itself: break the cycle")
        waiting = blocked
