"""Import of ONNX QDQ models: what is understood, and one clear sentence for everything else."""

import hashlib
from typing import Any

import numpy as np
import oracle
import pytest
from cimarron_sim.frontend import ModelError, load, survey
from cimarron_sim.frontend import onnx as frontend
from cimarron_sim.reference import execute
from onnx import TensorProto, helper, numpy_helper
from qdq_model import QdqModel, layer_model

X = np.zeros((1, 4), np.int8)
IMAGE = np.zeros((1, 5, 4, 4), np.int8)
KERNEL = np.ones((3, 5, 1, 1), np.int8)
W = np.arange(-6, 6, dtype=np.int8).reshape(4, 3)


def _layer(**changes: Any) -> QdqModel:
    values: dict[str, Any] = {
        "op": "Gemm", "x": X, "x_scale": 0.5, "x_zero_point": 1, "w": W, "w_scale": np.array(0.25),
        "bias": np.array([1, 2, 3], np.int32), "y_scale": 1.0, "y_zero_point": -2,
    }  # fmt: skip
    return layer_model(**values | changes)


def _refusal(model: bytes | QdqModel) -> str:
    with pytest.raises(ModelError) as caught:
        frontend.load(model if isinstance(model, bytes) else model.bytes(), "model.onnx")
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def _runs_like_onnx_runtime(made: QdqModel, **inputs: np.ndarray) -> None:
    """Both give the same outputs, in the caller's own layout and types."""
    graph = frontend.load(made.bytes(), "model.onnx")
    names = {graph.port(name).name: name for name in graph.inputs}
    values = execute(graph, {names[key]: graph.encode(names[key], array) for key, array in inputs.items()})
    for name, expected in zip(graph.outputs, oracle.run(made.bytes(), inputs), strict=True):
        answer = graph.decode(name, values[name])
        assert answer.dtype == expected.dtype
        assert np.array_equal(answer, expected)


# What is understood.


def test_layer_becomes_one_node():
    graph = frontend.load(_layer(activation=("Relu",)).bytes(), "model.onnx")
    (node,) = graph.nodes
    assert (node.name, node.op, node.outputs) == ("real", "fully_connected", ("y",))
    x, w, b = (graph.tensors[name] for name in node.inputs)
    assert (x.shape, x.zero_point) == ((1, 4), 1)
    assert w.data is not None
    assert b.data is not None
    assert np.array_equal(w.data, W.T)
    assert b.data.tolist() == [1, 2, 3]
    assert node.attributes["scale"].tolist() == [0.125] * 3
    assert node.attributes["scale"].dtype == np.float32
    assert (node.attributes["clamp_min"], node.attributes["clamp_max"]) == (-2, 127)


def test_convolution_becomes_nhwc():
    w = np.arange(24, dtype=np.int8).reshape(2, 3, 2, 2)
    made = _layer(op="Conv", x=np.zeros((1, 3, 5, 6), np.int8), w=w, bias=None, strides=(2, 1), pads=(0, 1, 2, 3))
    (node,) = (graph := frontend.load(made.bytes(), "model.onnx")).nodes
    assert graph.tensors["x"].shape == (1, 5, 6, 3)
    assert graph.tensors["y"].shape == (1, 3, 9, 2)
    weights = graph.tensors[node.inputs[1]].data
    assert weights is not None
    assert weights[1, 0, 1].tolist() == w[1, :, 0, 1].tolist()
    assert node.attributes["pads"] == (0, 1, 2, 3)
    assert graph.port("x").shape == (1, 3, 5, 6)


def test_scale_per_channel_is_kept_per_channel():
    graph = frontend.load(_layer(w_scale=np.array([0.25, 0.5, 1.0])).bytes(), "model.onnx")
    assert graph.nodes[0].attributes["scale"].tolist() == [0.125, 0.25, 0.5]


@pytest.mark.parametrize("activation", [("Relu",), ("Clip",), ("Relu", "Clip"), ("Clip", "Relu")])
def test_activation_becomes_clamps(activation):
    node = frontend.load(_layer(activation=activation, y_scale=0.1).bytes(), "model.onnx").nodes[0]
    upper = 58 if "Clip" in activation else 127  # 6 / 0.1 - 2
    assert (node.attributes["clamp_min"], node.attributes["clamp_max"]) == (-2, upper)


@pytest.mark.parametrize("opset", range(10, 22))
def test_every_opset_from_10_to_21_is_read(opset):
    made = _layer(w_scale=np.array(0.25))
    assert len(frontend.load(made.bytes(opset), "model.onnx").nodes) == 1


def test_symbolic_batch_is_one():
    made = QdqModel()
    made.inputs.append(helper.make_tensor_value_info("x", TensorProto.INT8, ("batch", 4)))
    x = made.dequantise("x", "x_real", np.float32(1), np.int8(0))
    y = made.node("MatMul", [x, made.weights("w", W, np.float32(1))], "m")
    made.quantise(y, made.output("y", np.int8), np.float32(1), np.int8(0))
    assert frontend.load(made.bytes(), "model.onnx").tensors["y"].shape == (1, 3)


def test_unsorted_operators_are_sorted():
    made = _layer()
    made.nodes.reverse()
    assert frontend.load(made.bytes(), "model.onnx").nodes[0].op == "fully_connected"


def test_unsigned_weights_around_128_are_signed_weights():
    signed = _layer().model()
    unsigned = _layer().model()
    for tensor in unsigned.graph.initializer:
        if tensor.name == "w_int":
            tensor.CopyFrom(numpy_helper.from_array((W.astype(int) + 128).astype(np.uint8), "w_int"))
        elif tensor.name == "w_z":
            tensor.CopyFrom(numpy_helper.from_array(np.array(128, np.uint8), "w_z"))
    graphs = [frontend.load(model.SerializeToString(), "model.onnx") for model in (signed, unsigned)]
    first, second = (graph.tensors["real.weights"].data for graph in graphs)
    assert first is not None
    assert second is not None
    assert np.array_equal(first, second)


def test_four_bit_weights_are_stored_one_per_byte():
    made = _layer(bias=None)
    data = [-8, 7, 3, -1, 0, 5, -4, 2, 1, -6, 6, -7]
    made.constants = [tensor for tensor in made.constants if tensor.name not in ("w_int", "w_z")]
    made.constants += [
        helper.make_tensor("w_int", TensorProto.INT4, (4, 3), data),
        helper.make_tensor("w_z", TensorProto.INT4, (), [0]),
    ]
    tensor = frontend.load(made.bytes(21), "model.onnx").tensors["real.weights"]
    assert (tensor.bits, tensor.dtype) == (4, np.int8)
    assert tensor.data is not None
    assert tensor.data.T.reshape(-1).tolist() == data


def test_model_hash_is_that_of_the_file(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(_layer().bytes())
    assert load(path).model_hash == hashlib.sha256(path.read_bytes()).hexdigest()


def _image_network(between: str, *, floats: bool, nhwc: bool = False) -> QdqModel:
    """Convolution, something that flattens, fully connected; sizes that show every wrong order."""
    rng, made = np.random.default_rng(6), QdqModel()
    shape = (1, 5, 6, 3) if nhwc else (1, 3, 5, 6)
    x = made.input("x", shape, np.float32 if floats else np.uint8)
    if floats:
        x = made.quantise(x, "x_int", np.float32(0.05), np.uint8(100))
    x = made.dequantise(x, "x_real", np.float32(0.05), np.uint8(100))
    if nhwc:
        x = made.node("Transpose", [x], "nchw", perm=(0, 3, 1, 2))
    w = made.weights("w", rng.integers(-60, 60, (4, 3, 3, 3)).astype(np.int8), np.full(4, 0.01, np.float32))
    x = made.node("Conv", [x, w], "conv", strides=(2, 2), pads=(1, 0, 1, 1), kernel_shape=(3, 3))
    x = made.dequantise(made.quantise(x, "c_int", np.float32(0.1), np.uint8(120)), "c", np.float32(0.1), np.uint8(120))
    match between:
        case "Flatten":
            x = made.node("Flatten", [x], "flat")
        case "Reshape":
            x = made.node("Reshape", [x, made.constant("shape", np.array([0, -1], np.int64))], "flat")
        case "Transpose":
            x = made.node("Flatten", [made.node("Transpose", [x], "t", perm=(0, 2, 3, 1))], "flat")
        case "requantised":
            x = made.quantise(made.node("Flatten", [x], "f"), "f_int", np.float32(0.1), np.uint8(120))
            x = made.dequantise(x, "flat", np.float32(0.1), np.uint8(120))
    w = made.weights("v", rng.integers(-60, 60, (36, 5)).astype(np.int8), np.float32(0.02))
    x = made.node("MatMul", [x, w], "m")
    x = made.quantise(x, "y" if not floats else "y_int", np.float32(0.5), np.uint8(128))
    if floats:
        x = made.dequantise(x, "y", np.float32(0.5), np.uint8(128))
    made.output("y", np.float32 if floats else np.uint8)
    return made


@pytest.mark.parametrize("between", ["Flatten", "Reshape", "Transpose", "requantised"])
@pytest.mark.parametrize("floats", [False, True])
@pytest.mark.parametrize("nhwc", [False, True])
def test_layout_survives_the_way_from_convolution_to_fully_connected(between, floats, nhwc):
    made = _image_network(between, floats=floats, nhwc=nhwc)
    rng, shape = np.random.default_rng(7), (1, 5, 6, 3) if nhwc else (1, 3, 5, 6)
    x = rng.normal(0, 3, shape).astype(np.float32) if floats else rng.integers(0, 256, shape).astype(np.uint8)
    _runs_like_onnx_runtime(made, x=x)


def test_nhwc_input_keeps_its_order():
    graph = frontend.load(_image_network("Flatten", floats=True, nhwc=True).bytes(), "model.onnx")
    assert graph.port(graph.inputs[0]).order is None


def test_image_output_returns_in_the_models_layout():
    rng = np.random.default_rng(8)
    x = rng.integers(0, 256, (1, 3, 4, 5)).astype(np.uint8)
    made = _layer(
        op="Conv", x=x, w=rng.integers(-60, 60, (6, 3, 2, 2)).astype(np.int8), bias=None, y_scale=9.0, y_zero_point=100
    )
    _runs_like_onnx_runtime(made, x=x)


def test_flattened_input_can_feed_a_convolution():
    rng, made = np.random.default_rng(9), QdqModel()
    x = made.dequantise(made.input("x", (1, 24), np.uint8), "x_real", np.float32(0.5), np.uint8(9))
    x = made.node("Reshape", [x, made.constant("shape", np.array([1, 2, 3, 4], np.int64))], "image")
    w = made.weights("w", rng.integers(-60, 60, (2, 2, 2, 2)).astype(np.int8), np.float32(0.25))
    x = made.node("Conv", [x, w], "conv")
    made.quantise(x, made.output("y", np.uint8), np.float32(20), np.uint8(128))
    _runs_like_onnx_runtime(made, x=rng.integers(0, 256, (1, 24)).astype(np.uint8))


def test_matmul_keeps_leading_axes():
    rng, made = np.random.default_rng(10), QdqModel()
    x = made.dequantise(made.input("x", (2, 3, 4), np.uint8), "x_real", np.float32(0.5), np.uint8(9))
    x = made.node("MatMul", [x, made.weights("w", W, np.float32(0.25))], "m")
    made.quantise(x, made.output("y", np.uint8), np.float32(3), np.uint8(128))
    _runs_like_onnx_runtime(made, x=rng.integers(0, 256, (2, 3, 4)).astype(np.uint8))


def test_transposed_weights_are_read():
    made = QdqModel()
    x = made.dequantise(made.input("x", (1, 4), np.uint8), "x_real", np.float32(0.5), np.uint8(9))
    w = made.weights("w", np.ascontiguousarray(W.T), np.array([0.25, 0.5, 1], np.float32), axis=0)
    x = made.node("MatMul", [x, made.node("Transpose", [w], "w_t", perm=(1, 0))], "m")
    made.quantise(x, made.output("y", np.uint8), np.float32(3), np.uint8(128))
    graph = frontend.load(made.bytes(), "model.onnx")
    weights = graph.tensors["m.weights"].data
    assert weights is not None
    assert np.array_equal(weights, W.T)
    assert (
        graph.nodes[0].attributes["scale"].tolist()
        == (np.float32(0.5) * np.array([0.25, 0.5, 1], np.float32) / np.float32(3)).tolist()
    )


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("signed", [False, True])
def test_models_of_quantize_static_are_read(tmp_path, per_channel, signed):
    """What sentences recommend: a float model, quantised by ONNX Runtime's own tool."""
    quantization = pytest.importorskip("onnxruntime.quantization")
    rng, made = np.random.default_rng(13), QdqModel()

    def normal(name: str, *shape: int) -> str:
        return made.constant(name, rng.normal(0, 0.3, shape).astype(np.float32))

    x = made.node("Conv", [made.input("x", (1, 2, 6, 6)), normal("w", 5, 2, 3, 3), normal("b", 5)], "conv")
    x = made.node("Flatten", [made.node("Relu", [x], "relu")], "flat")
    x = made.node("Relu", [made.node("Gemm", [x, normal("v", 80, 9), normal("c", 9)], "gemm")], "active")
    made.node("MatMul", [x, normal("u", 9, 4)], made.output("y"))
    images = rng.normal(0, 1, (20, 1, 2, 6, 6)).astype(np.float32)

    class Images(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.rest = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.rest, None)
            return None if image is None else {"x": image}

    (tmp_path / "float.onnx").write_bytes(made.bytes())
    kind = quantization.QuantType.QInt8 if signed else quantization.QuantType.QUInt8
    quantization.quantize_static(
        tmp_path / "float.onnx", tmp_path / "int8.onnx", Images(), quant_format=quantization.QuantFormat.QDQ,
        per_channel=per_channel, activation_type=kind, weight_type=quantization.QuantType.QInt8,
    )  # fmt: skip
    graph, data = load(tmp_path / "int8.onnx"), (tmp_path / "int8.onnx").read_bytes()
    assert [node.op for node in graph.nodes] == ["conv2d", "reshape", "fully_connected", "fully_connected"]
    (source,), (result,) = graph.inputs, graph.outputs
    for image in images:
        values = execute(graph, {source: graph.encode(source, image)})
        integers = not oracle.saturates(np.int8 if signed else np.uint8)
        expected = oracle.run(data, {"x": image}, integers=integers)[0]
        assert np.array_equal(graph.decode(result, values[result]), expected)


# What is refused.


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"absent\.onnx cannot be read \(No such file or directory\): check the path"):
        load(tmp_path / "absent.onnx")


def test_every_truncation_is_refused():
    data = _layer().bytes()
    for size in range(0, len(data), 7):
        assert _refusal(data[:size])


def test_every_flipped_bit_gives_a_graph_or_a_sentence():
    rng, data = np.random.default_rng(12), _image_network("Reshape", floats=True, nhwc=True).bytes()
    refused = 0
    for _ in range(400):
        flipped = bytearray(data)
        flipped[rng.integers(len(data))] ^= 1 << rng.integers(8)
        try:
            frontend.load(bytes(flipped), "model.onnx")
        except ModelError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("data", [b"", b"hello, world", bytes(100), b"\x89PNG\r\n\x1a\n" * 9])
def test_other_files_are_refused(data):
    assert _refusal(data) == "model.onnx is not an ONNX model or is cut short: export it again"


@pytest.mark.parametrize("opset", [9, 22])
def test_other_opsets_are_refused(opset):
    assert f"uses opset {opset}, not 10 to 21" in _refusal(_layer().bytes(opset))


def test_float_model_is_refused():
    made = QdqModel()
    made.node("Relu", [made.input("x", (1, 4))], made.output("y"))
    assert "is not quantised with QuantizeLinear and DequantizeLinear" in _refusal(made)


def test_all_unsupported_operators_are_named():
    made = _layer()
    x = made.dequantise("y", "y_real", np.float32(1), np.int8(-2))
    x = made.node("Gelu", [x], "soft")
    made.node("ArgMax", [x], "best")
    made.outputs = [helper.make_tensor_value_info("best", TensorProto.INT64, None)]
    sentence = _refusal(made)
    assert "Gelu 'soft': no layer does this (compute it outside the model)" in sentence
    assert "ArgMax 'best'" in sentence


def test_a_survey_lists_every_operator_without_raising(tmp_path):
    rng, made = np.random.default_rng(11), QdqModel()
    x = made.dequantise(made.input("x", (1, 4, 6, 6), np.int8), "x_real", np.float32(0.5), np.int8(0))
    grouped = made.weights("g", rng.integers(-9, 9, (4, 2, 3, 3)).astype(np.int8), np.float32(0.5))
    x = made.node("Conv", [x, grouped], "grouped", group=2)
    x = made.dequantise(made.quantise(x, "g_out", np.float32(1), np.int8(0)), "g_real", np.float32(1), np.int8(0))
    depthwise = made.weights("d", rng.integers(-9, 9, (8, 1, 1, 1)).astype(np.int8), np.float32(0.5))
    x = made.node("Relu", [made.node("Conv", [x, depthwise], "depthwise", group=4)], "relu")
    x = made.dequantise(made.quantise(x, "d_out", np.float32(1), np.int8(0)), "d_real", np.float32(1), np.int8(0))
    x = made.node("Flatten", [made.node("LpPool", [x], "pool", kernel_shape=(4, 4))], "flat")
    made.node("Tanh", [x], made.output("y"))
    path = tmp_path / "model.onnx"
    path.write_bytes(made.bytes())
    operators = survey(path).operators
    assert [(o.name, o.op, o.becomes) for o in operators] == [
        ("grouped", "Conv", ""),
        ("depthwise", "Conv", "depthwise_conv2d"),
        ("relu", "Relu", "fused"),
        ("pool", "LpPool", ""),
        ("flat", "Flatten", "view"),
        ("y", "Tanh", ""),
    ]
    assert all(o.supported == (not o.reason) == (not o.remedy) for o in operators)
    assert operators[0].reason == "it has 2 groups"


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan])
@pytest.mark.parametrize("which", ["x_scale", "y_scale"])
def test_impossible_scales_are_refused(scale, which):
    sentence = _refusal(_layer(bias=None, **{which: scale}))
    assert f"has the scale {scale}, not a positive number: quantise the model again" in sentence
    assert ("DequantizeLinear 'x_real'" if which == "x_scale" else "QuantizeLinear 'y'") in sentence


def _with_constant(name: str, value: np.generic | np.ndarray | TensorProto) -> QdqModel:
    made = _layer()
    tensor = value if isinstance(value, TensorProto) else numpy_helper.from_array(np.asarray(value), name)
    made.constants = [tensor if old.name == name else old for old in made.constants]
    return made


def _tensor(name: str, element: int, dims: list[int], values: list[int]) -> TensorProto:
    return TensorProto(name=name, data_type=element, dims=dims, int32_data=values)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (_with_constant("x_real_z", np.int32(0)), "has a zero point of int32 for values of int8"),
        (_with_constant("x_real_z", _tensor("x_real_z", TensorProto.INT8, [], [300])), "out of the range of int8"),
        (_with_constant("w_int", _tensor("w_int", TensorProto.INT8, [4, 3], [1, 2])), "does not fit its shape or type"),
        (_with_constant("w_int", np.full((4, 3), 128, np.int32)), "a zero point of int8 for values of int32"),
        (_with_constant("w_s", np.ones(5, np.float32)), "scales of shape (5,) but zero points of shape ()"),
        (_with_constant("w_s", np.float64(1)), "its scale is float64 (use a float32 scale)"),
        (_with_constant("b_s", np.float32(7)), "layer 'real' has a bias whose scale is not x_scale * w_scale"),
        (_with_constant("b_int", np.zeros(4, np.int32)), "layer 'real' has 3 outputs but a bias of (4,)"),
        (_with_constant("b_z", np.int32(7)), "layer 'real' has a bias that is not int32 with zero point 0"),
        (_layer(bias=np.array([0, np.nan, 0], np.float32)), "layer 'real' has a bias that is not finite in float32"),
        (_layer(x=np.zeros((1, 5), np.int8)), "Gemm 'real' reads (1, 5) with weights for 4 inputs: let them agree"),
        (_layer(alpha=-2.0), "Gemm 'real': its alpha is -2, not positive (fold it into the weights)"),
        (_layer(transA=1), "Gemm 'real': it transposes its input (transpose it before the product)"),
        (_layer(w_scale=np.float32(1e38), x_scale=1e38, bias=None), "scales whose quotient overflows"),
        (_layer(op="Conv", x=IMAGE[:, :2], w=KERNEL), "(1, 2, 4, 4) with weights of (3, 5, 1, 1): let the channels"),
        (_layer(op="Conv", x=IMAGE, w=KERNEL.repeat(7, 2)), "spans [7, 1] pixels of an input of [4, 4]: pad the"),
        (_layer(op="Conv", x=IMAGE[..., 0], w=KERNEL[..., 0]), "it has 1 spatial dimensions"),
        (_layer(op="Conv", x=IMAGE, w=KERNEL, pads=(0, -1, 0, 0)), "the pads [0, -1, 0, 0], not four numbers from 0"),
        (_layer(op="Conv", x=IMAGE, w=KERNEL, strides=(0, 1)), "has the strides [0, 1], not two positive numbers"),
        (_layer(op="Conv", x=IMAGE, w=KERNEL, dilations=(1,)), "has the dilations [1], not two positive numbers"),
        (_layer(op="Conv", x=IMAGE, w=KERNEL, kernel_shape=(3, 3)), "another kernel_shape than its weights, [1, 1]"),
        (_layer(op="Conv", x=IMAGE, w=KERNEL, auto_pad="SAME"), "the auto_pad 'SAME', which ONNX does not know"),
        (_layer(op="Conv", x=IMAGE, w=KERNEL, strides="two"), "Conv '' is malformed"),
    ],
)  # fmt: skip
def test_contradiction_is_refused_in_one_sentence(model, words):
    assert words in _refusal(model)


def _after_dequantise(
    op: str, *, shape: tuple[int, ...] = (1, 2, 4, 4), scale: float = 0.5, **attributes: Any
) -> QdqModel:
    """One operator without weights between integers of scale 0.5 and of `scale`."""
    made = QdqModel()
    x = made.dequantise(made.input("x", shape, np.int8), "x_real", np.float32(0.5), np.int8(3))
    operands = [made.constant("widths", attributes.pop("widths"))] if "widths" in attributes else []
    result = made.node(op, [x, *operands], "r", name="it", **attributes)
    made.quantise(result, made.output("y", np.int8), np.float32(scale), np.int8(3))
    return made


SQUARE: dict[str, Any] = {"kernel_shape": (2, 2)}


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (_after_dequantise("MaxPool", dilations=(2, 1), **SQUARE), "it is dilated"),
        (_after_dequantise("AveragePool", kernel_shape=(2**20, 2)), "the window [1048576, 2], not two sides of 1 to"),
        (_after_dequantise("AveragePool", kernel_shape=(9, 9)), "'it' spans [9, 9] pixels of an input of [4, 4]"),
        (_after_dequantise("AveragePool", pads=(2, 0, 0, 0), **SQUARE), "has windows of nothing but padding"),
        (_after_dequantise("AveragePool", pads=(2**16, 0, 2**16, 0), **SQUARE), "windows of nothing but padding"),
        (_after_dequantise("MaxPool", shape=(1, 2, 4), kernel_shape=(2,)), "it has 1 spatial dimensions"),
        (_after_dequantise("ReduceMean", axes=(1,)), "it is not a mean over the pixels of an image"),
        (_after_dequantise("Softmax", axis=4), "Softmax 'it' goes over axis 4 of (1, 2, 4, 4), which does not exist"),
        (_after_dequantise("Pad", widths=np.array([0, 0, 1, 1, 0, 0])), "Pad 'it' has 6 widths for 4 axes"),
        (_after_dequantise("Pad", widths=np.array([0, 0, -1, 1, 0, 0, 0, 0])), "it does not pad with a constant"),
        (_after_dequantise("Pad", widths=np.full(8, 2**40)), "at most 16777216 values can be handled"),
        (_after_dequantise("Pad", widths=np.zeros(8, np.int64), mode="edge"), "it does not pad with a constant"),
    ],
)  # fmt: skip
def test_operator_without_weights_is_refused_in_one_sentence(made, words):
    assert words in _refusal(made)


@pytest.mark.parametrize("op", ["MaxPool", "Pad", "Concat"])
def test_result_of_another_scale_is_rescaled(op):
    options = {"MaxPool": SQUARE, "Pad": {"widths": np.ones(8, np.int64)}, "Concat": {"axis": 1}}[op]
    (first, second) = (graph := frontend.load(_after_dequantise(op, scale=0.25, **options).bytes(), "test")).nodes
    assert [first.op, second.op] == {
        "MaxPool": ["max_pool", "requantise"],
        "Pad": ["requantise", "pad"],
        "Concat": ["requantise", "concat"],
    }[op]
    scales = [graph.tensors[name].quantization for name in (*first.inputs, *second.outputs)]
    assert [float(scale.scale) for scale in scales if scale is not None] == [0.5, 0.25]


def _on_integers(op: str, operands: list[str], *, domain: str = "", **attributes: Any) -> QdqModel:
    """One operator that reads integers: ``q`` and ``p`` of two scales, ``x`` of none, scale ``s``, zero point ``z``."""
    made = QdqModel()
    made.input("x", (1, 2, 4, 4), np.int8)
    real = made.dequantise(made.input("u", (1, 2, 4, 4), np.int8), "u_real", np.float32(1), np.int8(0))
    for name, scale in (("q", 0.5), ("p", 0.25)):
        made.quantise(real, name, np.float32(scale), np.int8(0))
    for name, value in (("s", np.float32(0.5)), ("z", np.int8(0)), ("f", np.float32(1))):
        made.constant(name, value)
    made.node(op, operands, made.output("y", np.int8), name="it", domain=domain, **attributes)
    return made


MICROSOFT: dict[str, Any] = {"domain": "com.microsoft"}


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (_on_integers("MaxPool", ["x"], **SQUARE), "MaxPool 'it': the scale of its integers is not known (put it betw"),
        (_on_integers("Concat", ["q", "p"], axis=1), "Concat 'it': it joins integers of several scales (join them"),
        (
            _on_integers("QLinearAveragePool", ["q", "s", "z", "s", "z"], channels_last=1, **SQUARE, **MICROSOFT),
            "QLinearAveragePool 'it': its channels are the last axis (quantise the model as it was exported",
        ),
        (
            _on_integers("QLinearAveragePool", ["q", "s", "z", "s", "z"], kernel_shape="two", **MICROSOFT),
            "AveragePool 'it' is malformed",
        ),
        (_on_integers("QLinearAdd", ["q", "s", "z", "f", "s", "z", "s", "z"], **MICROSOFT), "has a zero point of int8"),
        (_on_integers("QLinearAdd", ["q", "s", "z"], **MICROSOFT), "QLinearAdd 'it': it reads other values than"),
        (
            _on_integers("QLinearAdd", ["q", "f", "z", "p", "s", "z", "s", "z"], **MICROSOFT),
            "integers with another sca",
        ),
        (_on_integers("QLinearConcat", ["s", "z"], axis=1, **MICROSOFT), "Concat 'it' is malformed"),
    ],
)
def test_operator_on_integers_is_refused_in_one_sentence(made, words):
    assert words in _refusal(made)


def test_zero_point_that_is_left_out_is_0():
    made = _on_integers("QLinearConcat", ["s", "z", "q", "s", "", "q", "s"], axis=1, **MICROSOFT)
    made.inputs, made.nodes = made.inputs[1:], [node for node in made.nodes if node.output[0] != "p"]
    assert frontend.load(made.bytes(), "test").tensors["y"].shape == (1, 4, 4, 4)


@pytest.mark.parametrize("axes", [[2, 2], [4, 1], [1]])
def test_pad_of_impossible_axes_is_refused(axes):
    made = QdqModel()
    x = made.dequantise(made.input("x", (1, 2, 4, 4), np.int8), "x_real", np.float32(0.5), np.int8(3))
    operands = [x, made.constant("w", np.ones(4, np.int64)), "", made.constant("a", np.array(axes))]
    made.quantise(made.node("Pad", operands, "r", name="it"), made.output("y", np.int8), np.float32(0.5), np.int8(3))
    assert f"Pad 'it' has 4 widths for the axes {axes} of 4: quantise the model again" in _refusal(made.bytes(18))


def test_softmax_over_an_axis_that_lies_scattered_is_refused():
    made = QdqModel()
    x = made.dequantise(made.input("x", (1, 5, 5, 4), np.int8), "x_real", np.float32(1), np.int8(0))
    x = made.node("Relu", [made.node("Conv", [x, made.weights("w", KERNEL, np.float32(1))], "c")], "r")
    x = made.dequantise(made.quantise(x, "q", np.float32(1), np.int8(0)), "d", np.float32(1), np.int8(0))
    made.quantise(made.node("Softmax", [x], "s", axis=3), made.output("y", np.int8), np.float32(1 / 256), np.int8(-128))
    assert "Softmax 's': its input would have to be moved in memory (feed it in the order it is computed)" in _refusal(
        made
    )


def test_input_of_absurd_size_is_refused():
    made = _after_dequantise("Relu", shape=(1, 2**40, 2**40))
    assert "input 'x' has the shape (1, 1099511627776, 1099511627776): at most 16777216 values" in _refusal(made)


def _integer_model(**changes: Any) -> QdqModel:
    made = QdqModel()
    operands = [made.input("x", (1, 4), np.int8), made.constant("w", changes.get("w", W))]
    operands += [made.constant("xz", np.asarray(changes.get("zero_point", 3), np.int8))]
    sums = made.node("MatMulInteger", operands, "sums")
    sums = made.node("Add", [sums, made.constant("b", changes.get("bias", np.zeros(3, np.int32)))], "biased")
    real = made.node("Cast", [sums], "cast", to=TensorProto.FLOAT)
    real = made.node("Mul", [real, made.constant("m", changes.get("scale", np.float32(0.1)))], "scaled")
    made.quantise(real, made.output("y", np.int8), np.float32(1), np.int8(0))
    return made


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (_integer_model(bias=np.zeros(5, np.int32)), "Add 'biased' has 3 outputs but an operand of (5,)"),
        (_integer_model(scale=np.float32(0)), "Mul 'scaled' scales with numbers that are not positive float32"),
        (_integer_model(scale=np.full(3, np.nan, np.float32)), "scales with numbers that are not positive float32"),
        (_integer_model(zero_point=np.zeros(2)), "it has a zero point per row (quantise activations per tensor)"),
        (_integer_model(w=W[:3]), "MatMulInteger 'sums' reads (1, 4) with weights for 3 inputs: let them agree"),
    ],
)
def test_integer_layer_is_refused_in_one_sentence(made, words):
    assert words in _refusal(made)


def test_scale_per_input_is_refused():
    made = QdqModel()
    x = made.dequantise(made.input("x", (1, 4), np.int8), "x_real", np.float32(1), np.int8(0))
    x = made.node("MatMul", [x, made.weights("w", W, np.ones(4, np.float32), axis=0)], "m")
    made.quantise(x, made.output("y", np.int8), np.float32(1), np.int8(0))
    assert "its weights have a scale per input (quantise weights per output channel)" in _refusal(made)


def test_dynamic_size_is_refused():
    made = _layer()
    made.inputs = [helper.make_tensor_value_info("x", TensorProto.INT8, (1, "width"))]
    assert _refusal(made) == "input 'x' has no fixed size on axis 1: export the model with fixed sizes"


def test_float_result_is_refused():
    made = QdqModel()
    x = made.dequantise(made.input("x", (1, 4), np.int8), "x_real", np.float32(1), np.int8(0))
    made.node("MatMul", [x, made.weights("w", W, np.float32(1))], made.output("y"))
    assert "MatMul 'y': its result 'y' leaves the model in float32 (end the model with QuantizeLinear)" in _refusal(
        made
    )


def test_layer_on_floats_is_refused():
    made = QdqModel()
    x = made.node("MatMul", [made.input("x", (1, 4)), made.weights("w", W, np.float32(1))], "m")
    made.quantise(x, made.output("y", np.int8), np.float32(1), np.int8(0))
    assert "MatMul 'm': its input is float32 (quantise it" in _refusal(made)


def test_addition_of_floats_is_refused():
    made = QdqModel()
    made.node("Add", [made.input("x", (1, 4)), "x"], "twice")
    made.quantise("twice", made.output("y", np.int8), np.float32(1), np.int8(0))
    made.dequantise("y", "z", np.float32(1), np.int8(0))
    assert "Add 'twice': it adds values that nothing quantised" in _refusal(made)


def _plus(constant: np.ndarray, channels: int = 0, *, is_real: bool = False) -> QdqModel:
    """An image plus a constant, quantised with one scale, or several, unless it is real."""
    made = QdqModel()
    x = made.dequantise(made.input("x", (1, 3, 5, 4), np.int8), "x_real", np.float32(1), np.int8(0))
    c = made.constant("c", constant)
    if not is_real:
        shape = channels or ()
        c = made.dequantise(c, "c_real", np.ones(shape, np.float32), np.zeros(shape, constant.dtype))
    made.quantise(made.node("Add", [c, x], "sum"), made.output("y", np.int8), np.float32(1), np.int8(0))
    return made


def test_constants_are_added_in_the_order_of_the_device():
    constant = np.arange(60, dtype=np.int8).reshape(3, 5, 4)
    graph = frontend.load(_plus(constant).bytes(), "test")
    (node,) = graph.nodes
    tensor = graph.tensors[node.inputs[0]]
    assert node.op == "add"
    assert tensor.shape == (1, 5, 4, 3)
    assert tensor.data is not None
    assert tensor.data is not None
    np.testing.assert_array_equal(tensor.data[0], constant.transpose(1, 2, 0))


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (
            _plus(np.ones((3, 1, 1), np.float32), is_real=True),
            "Add 'sum': it adds a constant of float32 (quantise it with",
        ),
        (
            _plus(np.ones(4, np.int8), 4),
            "Add 'sum': it adds a constant that has not 8 bits and one scale (quantise it with",
        ),
        (
            _plus(np.ones(4, np.int32)),
            "Add 'sum': it adds a constant that has not 8 bits and one scale (quantise it with",
        ),
        (
            _plus(np.ones((3, 1), np.int8)),
            "Add 'sum' adds the shapes [(3, 1), (1, 3, 5, 4)], which do not broadcast: quantise the model again",
        ),
    ],
)
def test_constants_that_cannot_be_added_are_refused(model, sentence):
    assert sentence in _refusal(model)


def test_scales_chosen_at_run_time_are_refused():
    made = QdqModel()
    made.nodes.append(helper.make_node("DynamicQuantizeLinear", [made.input("x", (1, 4))], ["q", "s", "z"]))
    made.node("MatMulInteger", ["q", made.constant("w", W), "z"], "sums")
    made.outputs = [helper.make_tensor_value_info("sums", TensorProto.INT32, None)]
    assert "DynamicQuantizeLinear 'q': it chooses scales while the model runs (quantise with fixed ones" in _refusal(
        made
    )


def test_movement_of_data_is_refused():
    made = QdqModel()
    x = made.dequantise(made.input("x", (2, 4), np.int8), "x_real", np.float32(1), np.int8(0))
    y = made.node("MatMul", [x, made.weights("w", W, np.float32(1))], "m")
    made.quantise(y, made.output("y", np.int8), np.float32(1), np.int8(0))
    z = made.node("MatMul", [made.node("Transpose", [x], "t"), made.weights("v", W[:2], np.float32(1))], "n")
    made.quantise(z, made.output("z", np.int8), np.float32(1), np.int8(0))
    assert "MatMul 'n': its input would have to be moved in memory" in _refusal(made)


def test_cycle_is_refused():
    made = _layer()
    made.nodes[0].input[0] = "y"
    assert "depends on itself: break the cycle" in _refusal(made)


def test_missing_operand_is_refused():
    made = _layer()
    made.nodes[0].input.pop()
    made.nodes[0].input.pop()
    assert "DequantizeLinear '' is malformed" in _refusal(made)


def test_sentence_stays_on_one_line_whatever_the_names():
    made = _layer()
    made.nodes[0].op_type = "De\nquantizeLinear"
    assert "De quantizeLinear 'x_real'" in _refusal(made)


def test_undefined_value_is_refused():
    made = _layer()
    made.nodes[0].input[0] = "nowhere"
    assert "uses 'nowhere', which does not exist" in _refusal(made)


def test_value_defined_twice_is_refused():
    made = _layer()
    made.nodes.append(made.nodes[-1])
    assert "model.onnx computes 'y' twice" in _refusal(made)


def test_external_data_is_refused():
    model = _layer().model()
    tensor = next(t for t in model.graph.initializer if t.name == "w_int")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    words = "initialiser 'w_int' lies outside the file: store it inside with onnx.save_model"
    assert _refusal(model.SerializeToString()) == words


def test_by_product_is_refused_as_an_output():
    made = _layer()
    made.nodes.append(helper.make_node("Dropout", ["x_real"], ["kept", "mask"]))
    made.outputs = [helper.make_tensor_value_info("mask", TensorProto.BOOL, None)]
    assert "output 'mask' is not computed by a quantised layer" in _refusal(made)


def test_one_tensor_under_two_names_is_refused():
    made = _layer()
    made.dequantise("y", made.output("real_y"), np.float32(1), np.int8(-2))
    assert "output 'real_y' and 'y' are one tensor: keep one" in _refusal(made)
