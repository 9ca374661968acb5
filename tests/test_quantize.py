"""From a float model to an int8 one by the command line, and on to the chip."""

import sys
from pathlib import Path

import numpy as np
import onnx
import oracle
import pytest
from cimarron.config import PRESETS
from cimarron_sim.cli import main
from cimarron_sim.float_model import rewrite
from cimarron_sim.frontend import load
from cimarron_sim.graph import Graph
from cimarron_sim.reference import execute
from cimarron_sim.runner.session import run_model
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(11)
IMAGES = RNG.normal(0, 1, (24, 3, 12, 10)).astype(np.float32)


def float_model(opset: int = 17, batch: int | str = "batch", **changes: object) -> onnx.ModelProto:
    """Convolutions with batch normalisation and a shortcut, pools, a dense layer: what a training framework exports."""
    rng = np.random.default_rng(12)
    shapes = {"w1": (8, 3, 3, 3), "w2": (8, 1, 3, 3), "w3": (8, 8, 1, 1), "v": (8, 5), "b": (5,)}
    constants = {name: rng.normal(0, 0.4, shape).astype(np.float32) for name, shape in shapes.items()}
    constants |= {"mean": rng.normal(0, 1, 8).astype(np.float32), "shift": rng.normal(0, 0.3, 8).astype(np.float32)}
    constants |= {name: rng.uniform(0.5, 2, 8).astype(np.float32) for name in ("gain", "variance")}
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("BatchNormalization", ["c1", "gain", "shift", "mean", "variance"], ["n1"]),
        helper.make_node("Relu", ["n1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], pads=[1, 1, 1, 1], group=8),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("Conv", ["r2", "w3"], ["c3"]),
        helper.make_node("Add", ["c3", "r1"], ["total"]),
        helper.make_node("Relu", ["total"], ["r3"]),
        helper.make_node("MaxPool", ["r3"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["pooled"], ["mean_of_all"]),
        helper.make_node("Flatten", ["mean_of_all"], ["flat"]),
        helper.make_node("Gemm", ["flat", "v", "b"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("image", TensorProto.FLOAT, (batch, 3, 12, 10))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (batch, 5))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def invoke(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A float model, inputs, and where the int8 model goes."""
    onnx.save(float_model(), tmp_path / "float.onnx")
    np.save(tmp_path / "images.npy", IMAGES)
    return tmp_path / "float.onnx", tmp_path / "images.npy", tmp_path / "int8.onnx"


def quantized(files: tuple[Path, Path, Path], *options: str) -> Graph:
    model, images, output = files
    code, text, errors = invoke("quantize", model, "--calibration", images, "-o", output, *options)
    assert (code, errors) == (0, "")
    assert "calibrated with 24 inputs" in text
    return load(output)


@pytest.mark.parametrize(("option", "scales"), [("--per-channel", (8,)), ("--per-tensor", ())])
def test_quantized_model_is_close_to_the_float_model_and_exact_against_onnx_runtime(files, option, scales):
    graph = quantized(files, option)
    first = graph.nodes[0]
    weights = graph.tensors[first.inputs[1]]
    assert first.op == "conv2d"
    assert weights.quantization is not None
    assert weights.quantization.scale.shape == scales
    assert not weights.quantization.zero_point.any()
    assert all(tensor.dtype == np.int8 for tensor in graph.tensors.values() if tensor.data is None)
    assert invoke("check", files[2])[0] == 0

    session = oracle.onnxruntime.InferenceSession(files[0].read_bytes(), providers=["CPUExecutionProvider"])
    (source,), (target,) = graph.inputs, graph.outputs
    signal, noise = 0.0, 0.0
    for image in IMAGES:
        answer = graph.decode(target, execute(graph, {source: graph.encode(source, image[None])})[target])
        (integers,) = oracle.run(files[2].read_bytes(), {"image": image[None]})
        np.testing.assert_array_equal(answer, integers)
        (real,) = session.run(None, {"image": image[None]})
        signal, noise = signal + float(np.sum(real**2)), noise + float(np.sum((answer - real) ** 2))
    # 20 dB; rounding of 8 bits in seven layers leaves about 30.
    assert signal > 100 * noise


def branching_model(
    nodes: list[onnx.NodeProto], opset: int = 17, **constants: np.ndarray | np.floating
) -> onnx.ModelProto:
    """`nodes` from ``r``, a convolution with ReLU of the image, of 8 channels and the image's size, to ``y``."""
    rng = np.random.default_rng(13)
    shapes = {"w": (8, 3, 3, 3), "w1": (4, 8, 1, 1), "w3": (6, 8, 3, 3), "b": (8,), "v": (8, 5), "c": (5,)}
    weights = {name: rng.normal(0, 0.4, shape).astype(np.float32) for name, shape in shapes.items()}
    first = [
        helper.make_node("Conv", ["image", "w", "b"], ["conv"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["r"]),
    ]
    graph = helper.make_graph(
        first + nodes, "net", [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 12, 10))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights | constants).items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def decibels(files: tuple[Path, Path, Path], graph: Graph) -> float:
    """Signal to noise of the reference against the float model; the reference equals ONNX Runtime on the int8 model."""
    session = oracle.onnxruntime.InferenceSession(files[0].read_bytes(), providers=["CPUExecutionProvider"])
    (source,), (target,) = graph.inputs, graph.outputs
    signal, noise = 0.0, 0.0
    for image in IMAGES[:4]:
        answer = graph.decode(target, execute(graph, {source: graph.encode(source, image[None])})[target])
        (integers,) = oracle.run(files[2].read_bytes(), {"image": image[None]})
        np.testing.assert_array_equal(answer, integers)
        (real,) = session.run(None, {"image": image[None]})
        signal, noise = signal + float(np.sum(real**2)), noise + float(np.sum((answer - real) ** 2))
    return float(10 * np.log10(signal / noise))


node = helper.make_node
POOLED = node("GlobalAveragePool", ["r"], ["g"])
DENSE = node("Gemm", ["h", "v", "c"], ["y"])


@pytest.mark.parametrize(
    ("ops", "model"),
    [
        (["mean", "fully_connected"], branching_model(
            [POOLED, node("Reshape", ["g", "k"], ["h"]), DENSE], k=np.array([1, -1])
        )),
        (["mean", "fully_connected"], branching_model(
            [POOLED, node("Squeeze", ["g", "k"], ["h"]), DENSE], k=np.array([2, 3])
        )),
        (["real_mean", "fully_connected"], branching_model(
            [node("ReduceMean", ["r", "k"], ["h"], keepdims=0), DENSE], 18, k=np.array([2, 3])
        )),
        (["conv2d"], branching_model(  # ONNX Runtime moves zeros into the convolution.
            [node("Pad", ["r", "k"], ["p"]), node("Conv", ["p", "w3"], ["y"])], k=np.array([0, 0, 1, 2, 0, 0, 1, 0])
        )),
        (["pad", "conv2d"], branching_model(
            [node("Pad", ["r", "k", "n"], ["p"]), node("Conv", ["p", "w3"], ["y"])],
            k=np.array([0, 0, 1, 2, 0, 0, 1, 0]), n=np.float32(0.75),
        )),
        (["conv2d", "requantise", "concat", "mean", "softmax"], branching_model(
            [node("Conv", ["r", "w1"], ["d"]), node("Concat", ["r", "d"], ["k"], axis=1),
             node("GlobalAveragePool", ["k"], ["g"]), node("Softmax", ["g"], ["y"], axis=1)]
        )),
    ],
    ids=["reshape", "squeeze", "mean", "zeros", "pad", "branches"],
)  # fmt: skip
def test_operators_with_integers_in_the_file_and_branches_are_quantised(files, ops, model):
    onnx.save(model, files[0])
    graph = quantized(files)
    assert [node.op for node in graph.nodes if node.op != "reshape"] == ["conv2d", *ops]
    assert invoke("check", files[2])[0] == 0
    assert decibels(files, graph) > 20


def normalised(shift: float, **options: object) -> onnx.ModelProto:
    """A normalisation of the model's input, which only a convolution behind it can take."""
    model = branching_model([node("Conv", ["r", "w3"], ["y"])], 17, **normalisation(shift))
    first = model.graph.node[0]
    first.input[0] = "n"
    del first.attribute[:]
    first.attribute.extend(helper.make_attribute(name, value) for name, value in options.items())
    model.graph.node.insert(0, node("BatchNormalization", ["image", "gain", "shift", "mean", "variance"], ["n"]))
    return model


def normalisation(shift: float) -> dict[str, np.ndarray]:
    values = {"gain": (2, 0.5, 1), "shift": (shift, -shift, 0), "mean": (shift, 0, shift), "variance": (1, 0.25, 2)}
    return {name: np.array(value, np.float32) for name, value in values.items()}


@pytest.mark.parametrize(
    ("ops", "model"),
    [
        (["conv2d", "max_pool", "fully_connected"], branching_model(
            [node("GlobalMaxPool", ["r"], ["g"]), node("Flatten", ["g"], ["h"]), DENSE]
        )),
        (["conv2d", "mean", "fully_connected"], branching_model(
            [POOLED, node("Flatten", ["g"], ["h"]), node("Gemm", ["h", "v", "c"], ["y"], alpha=0.3, beta=-1.5)]
        )),
        (["conv2d", "conv2d", "requantise", "requantise", "concat"], branching_model(
            [node("Conv", ["r", "w8", "b"], ["d"]), node("Concat", ["r", "d"], ["y"], axis=1)],
            w8=RNG.normal(0, 0.4, (8, 8, 1, 1)).astype(np.float32),
        )),
        (["conv2d", "conv2d"], normalised(0.4)),
        (["conv2d", "conv2d"], normalised(0.0, pads=[1, 1, 1, 1])),
    ],
    ids=["maximum", "factors", "bias", "normalisation", "padded"],
)  # fmt: skip
def test_operators_that_the_quantiser_leaves_are_rewritten(files, ops, model):
    onnx.save(model, files[0])
    graph = quantized(files)
    assert [node.op for node in graph.nodes if node.op != "reshape"] == ops
    assert invoke("check", files[2])[0] == 0
    assert decibels(files, graph) > 20


def test_rewritten_model_computes_the_same_in_groups():
    model = normalised(0.4, group=3)
    weights = np.random.default_rng(14).normal(0, 1, (6, 1, 3, 3)).astype(np.float32)
    for tensor in model.graph.initializer:
        if tensor.name in ("w", "b", "w3"):
            value = {"w": weights, "b": weights[:, 0, 0, 0], "w3": weights[:, 0, 0, :1, None, None].repeat(6, 1)}
            tensor.CopyFrom(numpy_helper.from_array(value[tensor.name], tensor.name))
    del model.graph.value_info[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    made = rewrite(model)
    assert [operator.op_type for operator in made.graph.node] == ["Conv", "Relu", "Conv"]
    before, after = (
        oracle.run(each.SerializeToString(), {"image": IMAGES[:1]}, fused=False)[0] for each in (model, made)
    )
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)


def test_normalisation_that_padding_would_show_is_refused(files):
    onnx.save(normalised(0.4, pads=[1, 1, 1, 1]), files[0])
    sentence = refusal(files[0], "--calibration", files[1], "-o", files[2])
    assert "BatchNormalization 'n': no convolution beside it takes it in (fold it into the layer before it" in sentence


@pytest.mark.parametrize("per_channel", [False, True])
def test_networks_of_qlinear_operators_equal_onnx_runtime(files, per_channel):
    """What ONNX Runtime's quantiser writes with QuantFormat.QOperator, from first to last operator."""
    from onnxruntime import quantization

    tail = [
        node("Conv", ["r", "w1"], ["d"]), node("MaxPool", ["r"], ["m"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Add", ["r", "m"], ["a"]), node("Concat", ["a", "d", "m"], ["k"], axis=1),
        node("AveragePool", ["k"], ["l"], kernel_shape=[2, 2], strides=[2, 2]), node("Conv", ["l", "w20"], ["e"]),
        node("Relu", ["e"], ["f"]), node("GlobalAveragePool", ["f"], ["g"]), node("Flatten", ["g"], ["h"]),
        node("Gemm", ["h", "v", "c"], ["o"]), node("Softmax", ["o"], ["y"], axis=-1),
    ]  # fmt: skip
    onnx.save(branching_model(tail, w20=np.random.default_rng(3).normal(0, 0.3, (8, 20, 3, 3)).astype("f4")), files[0])

    class Reader(quantization.CalibrationDataReader):
        rest = iter([{"image": image[None]} for image in IMAGES])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.rest, None)

    quantization.quantize_static(
        files[0], files[2], Reader(), quant_format=quantization.QuantFormat.QOperator, per_channel=per_channel,
        reduce_range=oracle.weight_limit() < 127,
        activation_type=quantization.QuantType.QInt8, weight_type=quantization.QuantType.QInt8,
    )  # fmt: skip
    written = {operator.op_type for operator in onnx.load(files[2]).graph.node}
    assert written >= {"QLinearAdd", "QLinearConcat", "QLinearAveragePool", "QLinearGlobalAveragePool", "QGemm"}
    assert written >= {"QLinearConv", "QLinearSoftmax", "MaxPool", "Flatten"}
    assert invoke("check", files[2])[0] == 0
    assert decibels(files, load(files[2])) > 10


def test_older_models_are_converted(files):
    onnx.save(float_model(opset=11, batch=1), files[0])
    assert [node.op for node in quantized(files).nodes][:2] == ["conv2d", "depthwise_conv2d"]


@pytest.mark.cosim
@pytest.mark.slow
def test_quantized_model_runs_on_the_system(files):
    graph = quantized(files)
    session = run_model(graph, PRESETS["tiny"], [IMAGES[:1]], processes=1)
    assert not session.mismatches
    (expected,) = oracle.run(files[2].read_bytes(), {"image": IMAGES[:1]})
    np.testing.assert_array_equal(session.outputs[0], expected)


def refusal(*arguments: object) -> str:
    code, text, errors = invoke("quantize", *arguments)
    assert code == 2
    assert not text
    assert errors.count("\n") == 1
    return errors


def test_mistakes_end_in_a_sentence(files, tmp_path):
    model, images, output = files
    quantized(files)
    again = tmp_path / "again.onnx"
    assert "is quantised already (it has DequantizeLinear" in refusal(output, "--calibration", images, "-o", again)
    np.save(tmp_path / "square.npy", np.zeros((4, 3, 12, 12), np.float32))
    assert "takes (1, 3, 12, 10): reshape the array" in refusal(
        model, "--calibration", tmp_path / "square.npy", "-o", again
    )
    np.save(tmp_path / "bytes.npy", np.zeros((1, 3, 12, 10), np.int8))
    assert "holds int8; input 'image' takes float32" in refusal(
        model, "--calibration", tmp_path / "bytes.npy", "-o", again
    )
    np.save(tmp_path / "nan.npy", np.full((1, 3, 12, 10), np.nan, np.float32))
    assert "not finite: clean the arrays" in refusal(model, "--calibration", tmp_path / "nan.npy", "-o", again)
    assert "does not exist" in refusal(model, "--calibration", tmp_path / "none.npy", "-o", again)
    (tmp_path / "cut.onnx").write_bytes(model.read_bytes()[:300])
    assert "is not an ONNX model or is cut short" in refusal(
        tmp_path / "cut.onnx", "--calibration", images, "-o", again
    )
    wide = float_model()
    wide.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    onnx.save(wide, tmp_path / "wide.onnx")
    assert "wide.onnx" in refusal(tmp_path / "wide.onnx", "--calibration", images, "-o", again)
    loose = float_model()
    loose.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    onnx.save(loose, tmp_path / "loose.onnx")
    assert "export it with fixed sizes" in refusal(tmp_path / "loose.onnx", "--calibration", images, "-o", again)
    sine = float_model()
    sine.graph.node.append(helper.make_node("Sin", ["scores"], ["waves"]))
    sine.graph.output[0].name = "waves"
    onnx.save(sine, tmp_path / "sine.onnx")
    assert "Sin 'waves': no layer does this" in refusal(tmp_path / "sine.onnx", "--calibration", images, "-o", again)
    assert not again.exists()


def test_missing_quantiser_is_named(files, monkeypatch):
    model, images, output = files
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "pip install 'cimarron[quantize]'" in refusal(model, "--calibration", images, "-o", output)
