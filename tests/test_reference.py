"""The numpy truth, against plain Python integers and against ONNX Runtime."""

import dataclasses
import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from cimarron.isa import Profile
from cimarron_sim.frontend import load, onnx
from cimarron_sim.graph import Graph, GraphError, Node, Quantization, Tensor
from cimarron_sim.reference import execute
from cimarron_sim.reference.accumulator import wrap
from cimarron_sim.reference.requantise import quantize_multiplier
from hypothesis import given, settings
from hypothesis import strategies as st
from qdq_model import layer_model

MODELS = Path(__file__).parents[2] / "shared" / "models"
FUZZ = settings(max_examples=40, deadline=None, derandomize=True)

dtypes = st.sampled_from([np.int8, np.uint8])


def _run(model: bytes, x: np.ndarray) -> np.ndarray:
    graph = onnx.load(model, "test")
    values = execute(graph, {graph.inputs[0]: graph.encode(graph.inputs[0], x)})
    return graph.decode(graph.outputs[0], values[graph.outputs[0]])


def _integers(rng: np.random.Generator, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max + 1, shape).astype(dtype)


def _parameters(rng: np.random.Generator, dtype: type, outputs: int, depth: int, per_channel: bool) -> dict[str, Any]:
    """Scales, zero points and bias under which results spread over the whole range of 8 bits."""
    limits = np.iinfo(dtype)
    x_scale = np.float32(rng.uniform(0.001, 0.1))
    w_scale = rng.uniform(0.001, 0.01, outputs if per_channel else ()).astype(np.float32)
    spread = 60 * 60 * np.sqrt(depth)
    return {
        "x_scale": x_scale,
        "x_zero_point": int(rng.integers(limits.min, limits.max + 1)),
        "w_scale": np.asarray(w_scale),
        "bias": rng.integers(-2 * spread, 2 * spread, outputs).astype(np.int32) if rng.random() < 0.8 else None,
        "y_scale": np.float32(x_scale * np.mean(w_scale) * spread / 50),
        "y_zero_point": int(rng.integers(limits.min, limits.max + 1)),
    }


def _graph(op: str, x: Tensor, w: Tensor, y: Tensor, bias: np.ndarray | None = None, **attributes: Any) -> Graph:
    tensors = {"x": x, "w": w, "y": y}
    if bias is not None:
        tensors["b"] = Tensor("b", bias.shape, bias.dtype, None, bias)
    node = Node("n", op, ("x", "w") if bias is None else ("x", "w", "b"), ("y",), attributes)
    return Graph("g", tensors, (node,), ("x",), ("y",), Profile.ONNX)


def _weights(data: np.ndarray) -> Tensor:
    return Tensor("w", data.shape, data.dtype, Quantization.per_tensor(1.0), data)


def test_wrap_is_twos_complement():
    values = np.array([2**31, -(2**31) - 1, 2**32 + 5, -(2**33), 2**31 - 1])
    assert wrap(values).tolist() == [-(2**31), 2**31 - 1, 5, 0, 2**31 - 1]


def test_fully_connected_equals_python_integers():
    rng = np.random.default_rng(1)
    data, x, bias = _integers(rng, np.int8, (3, 5)), _integers(rng, np.uint8, (2, 5)), np.array([7, -9, 2**31 - 1])
    graph = _graph(
        "fully_connected", Tensor("x", (2, 5), np.dtype(np.uint8), Quantization.per_tensor(1.0, 200)),
        _weights(data), Tensor("y", (2, 3), np.dtype(np.int32)), bias.astype(np.int32),
    )  # fmt: skip
    expected = [
        [
            (sum((int(x[n, k]) - 200) * int(data[m, k]) for k in range(5)) + int(bias[m]) + 2**31) % 2**32 - 2**31
            for m in range(3)
        ]
        for n in range(2)
    ]
    assert execute(graph, {"x": x})["y"].tolist() == expected


@pytest.mark.parametrize(
    ("pads", "stride", "dilation", "out"),
    [
        ((0, 0, 0, 0), (1, 1), (1, 1), (3, 5)),
        ((2, 1, 0, 3), (2, 3), (1, 2), (3, 3)),
        ((3, 0, 1, 2), (1, 2), (3, 1), (3, 4)),
    ],
)
def test_conv2d_equals_python_integers(pads, stride, dilation, out):
    rng = np.random.default_rng(2)
    data, x = _integers(rng, np.int8, (2, 3, 2, 4)), _integers(rng, np.int8, (1, 5, 6, 4))
    graph = _graph(
        "conv2d", Tensor("x", x.shape, x.dtype, Quantization.per_tensor(1.0, -77)), _weights(data),
        Tensor("y", (1, *out, 2), np.dtype(np.int32)), pads=pads, stride=stride, dilation=dilation,
    )  # fmt: skip
    result = execute(graph, {"x": x})["y"]
    for oy, ox, m in itertools.product(range(out[0]), range(out[1]), range(2)):
        acc = 0
        for ky, kx, c in itertools.product(range(3), range(2), range(4)):
            iy, ix = oy * stride[0] - pads[0] + ky * dilation[0], ox * stride[1] - pads[1] + kx * dilation[1]
            if 0 <= iy < 5 and 0 <= ix < 6:
                acc += (int(x[0, iy, ix, c]) + 77) * int(data[m, ky, kx, c])
        assert result[0, oy, ox, m] == acc


def test_onnx_output_equals_exact_arithmetic_with_clamps():
    """Scales are powers of two, so that rounding half to even is the only rounding."""
    x = np.arange(-128, 128, dtype=np.int8).reshape(256, 1)
    graph = _graph(
        "fully_connected", Tensor("x", x.shape, x.dtype, Quantization.per_tensor(1.0, 3)),
        _weights(np.array([[5]], np.int8)), Tensor("y", (256, 1), np.dtype(np.uint8), Quantization.per_tensor(1.0, 9)),
        scale=np.array([0.125], np.float32), clamp_min=4, clamp_max=60,
    )  # fmt: skip
    expected = [min(max(round(Fraction(5 * (int(v) - 3), 8)) + 9, 4), 60) for v in x[:, 0]]
    assert execute(graph, {"x": x})["y"][:, 0].tolist() == expected


def test_weight_zero_points_are_subtracted_per_channel():
    data = np.array([[1, 2], [3, 4]], np.int8)
    quantization = Quantization(np.ones(2), np.array([10, -20]), 0)
    graph = _graph(
        "fully_connected", Tensor("x", (1, 2), np.dtype(np.int8)), Tensor("w", (2, 2), data.dtype, quantization, data),
        Tensor("y", (1, 2), np.dtype(np.int32)),
    )  # fmt: skip
    assert execute(graph, {"x": np.array([[5, 6]], np.int8)})["y"].tolist() == [[5 * -9 + 6 * -8, 5 * 23 + 6 * 24]]


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({}, "graph 'g' takes the inputs x, not "),
        ({"x": np.zeros((1, 2), np.uint8)}, "input 'x' is int8 (1, 2), not uint8 (1, 2): prepare it with Graph.encode"),
        ({"x": np.zeros((2, 1), np.int8)}, "input 'x' is int8 (1, 2), not int8 (2, 1): prepare it with Graph.encode"),
    ],
)
def test_wrong_inputs_are_refused(inputs, sentence):
    x, y = (Tensor(name, (1, 2), np.dtype(np.int8)) for name in "xy")
    node = Node("n", "reshape", ("x",), ("y",))
    graph = Graph("g", {"x": x, "y": y}, (node,), ("x",), ("y",), Profile.ONNX)
    with pytest.raises(GraphError) as caught:
        execute(graph, inputs)
    assert str(caught.value) == sentence


@FUZZ
@given(
    st.integers(0, 2**32), dtypes, st.sampled_from(["Gemm", "MatMul", "transB"]), st.booleans(), st.integers(1, 4),
    st.integers(1, 70), st.integers(1, 40), st.booleans(),
)  # fmt: skip
def test_fully_connected_equals_onnx_runtime(seed, dtype, op, per_channel, batch, depth, outputs, relu):
    rng, limit = np.random.default_rng(seed), oracle.weight_limit()
    parameters = _parameters(rng, dtype, outputs, depth, per_channel)
    w = rng.integers(-limit, limit + 1, (depth, outputs)).astype(np.int8)
    attributes: dict[str, Any] = {"transB": 1} if op == "transB" else {}
    if relu:
        # The zero point for which ONNX Runtime sees that the saturation is the ReLU.
        parameters["y_zero_point"] = int(np.iinfo(dtype).min)
    x = _integers(rng, dtype, (batch, depth))
    model = layer_model(
        "MatMul" if op == "MatMul" else "Gemm", x, w=np.ascontiguousarray(w.T) if attributes else w,
        activation=("Relu",) if relu else (), **parameters, **attributes,
    ).bytes()  # fmt: skip
    assert np.array_equal(_run(model, x), oracle.run(model, {"x": x})[0])


@FUZZ
@given(
    st.integers(0, 2**32), dtypes, st.booleans(), st.integers(1, 5), st.integers(1, 9),
    st.tuples(st.integers(1, 3), st.integers(1, 4)), st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 2), st.integers(1, 3)), st.tuples(*[st.integers(0, 3)] * 4), st.integers(0, 3),
)  # fmt: skip
def test_conv2d_equals_onnx_runtime(seed, dtype, per_channel, channels, outputs, kernel, stride, dilation, pads, slack):
    rng, limit = np.random.default_rng(seed), oracle.weight_limit()
    size = [
        max(1, dilation[i] * (kernel[i] - 1) + 1 - pads[i] - pads[i + 2]) + (slack if i else 2 * slack)
        for i in range(2)
    ]
    parameters = _parameters(rng, dtype, outputs, channels * kernel[0] * kernel[1], per_channel)
    w = rng.integers(-limit, limit + 1, (outputs, channels, *kernel)).astype(np.int8)
    x = _integers(rng, dtype, (1, channels, *size))
    model = layer_model(
        "Conv", x, w=w, **parameters, strides=stride, dilations=dilation, pads=pads, kernel_shape=kernel
    ).bytes()
    assert np.array_equal(_run(model, x), oracle.run(model, {"x": x})[0])


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_padding_equals_onnx_runtime(auto_pad):
    rng = np.random.default_rng(3)
    x = _integers(rng, np.uint8, (1, 2, 7, 8))
    w = rng.integers(-60, 60, (3, 2, 4, 3)).astype(np.int8)
    parameters = _parameters(rng, np.uint8, 3, 24, True)
    model = layer_model("Conv", x, w=w, **parameters, strides=(2, 3), auto_pad=auto_pad).bytes()
    assert np.array_equal(_run(model, x), oracle.run(model, {"x": x})[0])


@pytest.mark.parametrize("op", ["Conv", "Gemm", "MatMul"])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_bias_in_float_equals_onnx_runtime(op, dtype):
    """A bias that is not a multiple of x_scale * w_scale is rounded to one."""
    rng = np.random.default_rng(4)
    parameters = _parameters(rng, dtype, 40, 8, True)
    parameters["bias"] = rng.normal(0, 0.02, 40).astype(np.float32)
    shape = (40, 8, 1, 1) if op == "Conv" else (8, 40)
    w = rng.integers(-60, 60, shape).astype(np.int8)
    x = _integers(rng, dtype, (1, 8, 9, 9) if op == "Conv" else (64, 8))
    model = layer_model(op, x, w=w, **parameters).bytes()
    assert np.array_equal(_run(model, x), oracle.run(model, {"x": x})[0])


def _telling_scales(rng: np.random.Generator, outputs: int) -> tuple[np.float32, np.ndarray, np.float32, np.ndarray]:
    """Scales and accumulators whose results tell ``(x * w) / y`` from every other order of the operations."""
    x_scale, y_scale = np.float32(rng.uniform(0.001, 0.1)), np.float32(rng.uniform(0.5, 1))
    accumulators = np.arange(1, 2_000_000, dtype=np.float32)
    w_scale, chosen = [], []
    while len(chosen) < outputs:
        w = np.float32(rng.uniform(1, 2) * 50 * y_scale / (2e6 * x_scale))
        scales = [(x_scale * w) / y_scale, x_scale * (w / y_scale), w * (x_scale / y_scale)]
        scales.append(np.float32(np.float64(x_scale) * np.float64(w) / np.float64(y_scale)))
        # Each output tells apart one of the other orders, in turn.
        other = scales[1 + len(chosen) % 3]
        telling = np.flatnonzero(np.rint(accumulators * scales[0]) != np.rint(accumulators * other))
        if telling.size:
            w_scale.append(w)
            chosen.append(int(accumulators[rng.choice(telling)]))
    return x_scale, np.array(w_scale), y_scale, np.array(chosen, np.int32)


@pytest.mark.parametrize("op", ["Conv", "Gemm", "MatMul"])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_scale_is_computed_in_the_order_of_onnx_runtime(op, dtype):
    rng = np.random.default_rng(5)
    x_scale, w_scale, y_scale, bias = _telling_scales(rng, 9)
    x = np.full((1, 1, 2, 2) if op == "Conv" else (1, 3), 3, dtype)
    w = np.ones((9, 1, 1, 1) if op == "Conv" else (3, 9), np.int8)
    model = layer_model(op, x, x_scale, 3, w, w_scale, bias, y_scale, 0).bytes()
    expected = oracle.run(model, {"x": x})[0]
    assert np.array_equal(_run(model, x), expected)
    orders = [x_scale * (w_scale / y_scale), w_scale * (x_scale / y_scale)]
    orders.append((x_scale.astype(float) * w_scale.astype(float) / y_scale.astype(float)).astype(np.float32))
    first = expected[0, :, 0, 0] if op == "Conv" else expected[0]
    assert all(np.any(np.rint(bias.astype(np.float32) * scale) != first) for scale in orders)


@pytest.mark.parametrize("op", ["Conv", "Gemm"])
def test_accumulator_wraps_as_in_onnx_runtime(op):
    x = np.full((1, 2, 1, 1) if op == "Conv" else (1, 2), 100, np.int8)
    w = np.array([[100, 100], [-100, -100], [1, -1]], np.int8)
    bias = np.array([2**31 - 1000, -(2**31) + 1000, 0], np.int32)
    w = w.reshape(3, 2, 1, 1) if op == "Conv" else np.ascontiguousarray(w.T)
    model = layer_model(op, x, 0.5, 0, w, np.array(0.5), bias, 2.0**23, 0).bytes()
    # 2**31 + 19000 and -2**31 - 19000 wrap; at 2**-25 of their value they are 64 and -64 with the other sign.
    assert _run(model, x).reshape(-1).tolist() == [-64, 64, 0]
    assert np.array_equal(_run(model, x), oracle.run(model, {"x": x})[0])


def _double_scale(tensor: Tensor) -> np.ndarray:
    assert tensor.quantization is not None
    return tensor.quantization.scale.astype(np.float64)


def _in_profile_tflm(graph: Graph) -> Graph:
    """`graph` with the requantisation that TFLite derives from its scales."""
    nodes = []
    for node in graph.nodes:
        x, w, y = (_double_scale(graph.tensors[name]) for name in (*node.inputs[:2], node.outputs[0]))
        scales = np.broadcast_to(x * w / y, node.attributes["scale"].shape)
        pairs = np.array([quantize_multiplier(float(scale)) for scale in scales])
        attributes = {**node.attributes, "multiplier": pairs[:, 0], "shift": pairs[:, 1]}
        nodes.append(dataclasses.replace(node, attributes=attributes))
    return dataclasses.replace(graph, nodes=tuple(nodes), profile=Profile.TFLM)


@pytest.fixture
def autoencoder():
    if not MODELS.is_dir():
        pytest.skip(f"the public models are not at {MODELS}")
    return MODELS


@pytest.mark.parametrize("sample", ["quant_anomaly_0", "quant_anomaly_1", "quant_normal_0"])
def test_autoencoder_equals_tflite_micro_in_profile_tflm(autoencoder, sample):
    """Ten layers from the ONNX file, every intermediate tensor, against the answers of tflite-micro."""
    golden = np.load(autoencoder / "golden" / "ad" / f"{sample}.npz")
    graph = _in_profile_tflm(load(autoencoder / "onnx" / "ad_qdq.onnx"))
    values = execute(graph, {graph.inputs[0]: golden["input"]})
    layers = sorted(name for name in golden.files if name.startswith("op"))
    assert len(layers) == len(graph.nodes) == 10
    for node, layer in zip(graph.nodes, layers, strict=True):
        assert np.array_equal(values[node.outputs[0]], golden[layer]), layer


def test_autoencoder_equals_onnx_runtime(autoencoder):
    path = autoencoder / "onnx" / "ad_qdq.onnx"
    graph, name = load(path), "input_q"
    windows = np.fromfile(autoencoder / "samples" / "anomd" / "quant_normal_0.dat", np.int8)
    for start in range(0, 128 * 20, 128):
        x = windows[start : start + 640].reshape(1, 640)
        expected = oracle.run(path.read_bytes(), {name: x}, integers=not oracle.saturates())[0]
        assert np.array_equal(execute(graph, {name: x})[graph.outputs[0]], expected)
