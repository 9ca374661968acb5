"""Import of TFLite models: what is understood, and one clear sentence for everything else."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cimarron.isa import Profile
from cimarron_sim.frontend import ModelError, load, survey
from cimarron_sim.frontend import tflite as frontend
from cimarron_sim.reference import execute
from tflite_model import TfliteModel, schema

MODELS = Path(__file__).parents[2] / "shared" / "models"
CONV = {"padding": 0, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
POOL = {"padding": 1, "strideH": 1, "strideW": 1, "filterHeight": 2, "filterWidth": 2}


def _network() -> TfliteModel:
    """Convolution, pool, fully connected."""
    rng, made = np.random.default_rng(1), TfliteModel()
    x = made.tensor((1, 5, 4, 3), np.int8, 0.5, 3)
    w = made.tensor((2, 3, 3, 3), np.int8, [0.25, 0.5], data=rng.integers(-9, 9, (2, 3, 3, 3)).astype(np.int8))
    b = made.tensor((2,), np.int32, [0.125, 0.25], data=np.array([5, -6], np.int32))
    conv = made.operator("CONV_2D", [x, w, b], made.tensor((1, 5, 4, 2), np.int8, 2.0, -4), "Conv2DOptions", **CONV)
    pool = made.tensor((1, 4, 3, 2), np.int8, 2.0, -4)
    pool = made.operator("MAX_POOL_2D", [conv], pool, "Pool2DOptions", **POOL)
    v = made.tensor((4, 24), np.int8, 0.1, data=rng.integers(-9, 9, (4, 24)).astype(np.int8))
    y = made.tensor((1, 4), np.int8, 9.0, 1)
    made.operator("FULLY_CONNECTED", [pool, v, -1], y, "FullyConnectedOptions", fusedActivationFunction=1)
    made.inputs, made.outputs = [x], [y]
    return made


def _refusal(made: TfliteModel | bytes) -> str:
    with pytest.raises(ModelError) as caught:
        frontend.load(made if isinstance(made, bytes) else made.bytes(), "model.tflite")
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


# What is understood.


def test_layers_become_nodes():
    graph = frontend.load(_network().bytes(), "model.tflite")
    assert graph.profile is Profile.TFLM
    assert [node.op for node in graph.nodes] == ["conv2d", "max_pool", "reshape", "fully_connected"]
    conv, last = graph.nodes[0], graph.nodes[-1]
    assert conv.attributes["pads"] == (1, 1, 1, 1)
    # 0.5 * 0.25 / 2 and twice that: powers of two.
    assert conv.attributes["multiplier"].tolist() == [2**30, 2**30]
    assert conv.attributes["shift"].tolist() == [-3, -2]
    assert (last.attributes["clamp_min"], last.attributes["clamp_max"]) == (1, 127)
    assert len(last.inputs) == 2
    assert graph.tensors[graph.inputs[0]].shape == (1, 5, 4, 3)


def test_content_tells_the_format(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(_network().bytes())
    graph = load(path)
    assert graph.model_hash == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [operator.becomes for operator in survey(path).operators] == ["conv2d", "max_pool", "fully_connected"]


def test_float_ends_are_converted_by_the_caller():
    made = TfliteModel()
    x, q = made.tensor((1, 6), np.float32), made.tensor((1, 6), np.int8, 0.5, 3)
    made.operator("QUANTIZE", [x], q, "QuantizeOptions")
    r = made.operator("RELU", [q], made.tensor((1, 6), np.int8, 0.5, 3))
    y = made.operator("DEQUANTIZE", [r], made.tensor((1, 6), np.float32))
    made.inputs, made.outputs = [x], [y]
    graph = frontend.load(made.bytes(), "model.tflite")
    (source,), (result,) = graph.inputs, graph.outputs
    assert graph.port(source).dtype == graph.port(result).dtype == np.float32
    # Halves of a step go away from zero; 70 saturates at (127 - 3) / 2.
    real = np.array([[0.25, 0.75, -0.25, 1.0, 70.0, -3.0]], np.float32)
    values = execute(graph, {source: graph.encode(source, real)})
    assert values[source].tolist() == [[4, 5, 2, 5, 127, -3]]
    assert graph.decode(result, values[result]).tolist() == [[0.5, 1.0, 0.0, 1.0, 62.0, 0.0]]


def test_unsigned_weights_keep_their_zero_point():
    made = TfliteModel()
    x = made.tensor((1, 3), np.uint8, 1.0, 100)
    w = made.tensor((2, 3), np.uint8, 1.0, 7, data=np.array([[1, 7, 255], [0, 9, 7]], np.uint8))
    y = made.tensor((1, 2), np.uint8, 1.0, 128)
    made.operator("FULLY_CONNECTED", [x, w, -1], y, "FullyConnectedOptions")
    made.inputs, made.outputs = [x], [y]
    graph = frontend.load(made.bytes(), "model.tflite")
    values = execute(graph, {graph.inputs[0]: np.array([[101, 90, 100]], np.uint8)})
    # 1 * (1 - 7) - 10 * 0 + 0; 1 * (0 - 7) - 10 * (9 - 7) + 0.
    assert values[graph.outputs[0]].tolist() == [[128 - 6, 128 - 27]]


def test_four_bit_weights_are_stored_one_per_byte():
    made = TfliteModel()
    data = np.array([[-8, 7, 3], [-1, 0, 5], [-4, 2, 1]], np.int8)
    x = made.tensor((1, 3), np.int8, 1.0)
    w = made.tensor((3, 3), np.int8, 1.0, data=data, bits=4)
    y = made.tensor((1, 3), np.int8, 1.0)
    made.operator("FULLY_CONNECTED", [x, w], y, "FullyConnectedOptions")
    made.inputs, made.outputs = [x], [y]
    graph = frontend.load(made.bytes(), "model.tflite")
    weights = graph.tensors[graph.nodes[0].inputs[1]]
    assert weights.bits == 4
    assert weights.data is not None
    assert np.array_equal(weights.data, data)


# What is refused.


def test_all_unsupported_operators_are_named():
    made = _network()
    again = made.operator("TANH", [made.outputs[0]], made.tensor((1, 4), np.int8, 1.0))
    made.outputs = [made.operator("LOGISTIC", [again], made.tensor((1, 4), np.int8, 1.0))]
    sentence = _refusal(made)
    assert "TANH 'tanh_3': no layer does this (compute it outside the model)" in sentence
    assert "LOGISTIC 'logistic_4'" in sentence
    verdicts = frontend.survey(made.bytes(), "model.tflite").operators
    assert [verdict.supported for verdict in verdicts] == [True, True, True, False, False]


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\x1c\0\0\0TFL3", b"\x1c\0\0\0TFL3" + bytes(64), b"\xff" * 99])
def test_other_files_are_refused(data):
    assert "model.tflite" in _refusal(data)


def test_every_truncation_gives_a_graph_or_a_sentence():
    data, refused = _network().bytes(), 0
    for size in range(0, len(data), 5):
        try:
            frontend.load(data[:size], "model.tflite")
        except ModelError:
            refused += 1
    assert refused > 0.9 * len(data) / 5


def test_every_flipped_bit_gives_a_graph_or_a_sentence():
    data, refused, start = _network().bytes(), 0, time.monotonic()
    for position in range(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= 1 << position % 8
        try:
            graph = frontend.load(bytes(flipped), "model.tflite")
        except ModelError:
            refused += 1
        else:
            (source,) = graph.inputs
            execute(graph, {source: np.zeros(graph.tensors[source].shape, graph.tensors[source].dtype)})
    assert refused > 100
    assert time.monotonic() - start < 60


def _changed(tensor: int, **changes: Any) -> TfliteModel:
    made = _network()
    for name, value in changes.items():
        target = made.tensors[tensor]
        setattr(target.quantization if hasattr(target.quantization, name) else target, name, value)
    return made


def _option(operator: int, **changes: Any) -> TfliteModel:
    made = _network()
    for name, value in changes.items():
        assert hasattr(made.operators[operator].builtinOptions, name)
        setattr(made.operators[operator].builtinOptions, name, value)
    return made


def _operands(operator: int, inputs: list[int]) -> TfliteModel:
    made = _network()
    made.operators[operator].inputs = inputs
    return made


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: _changed(0, scale=[0.0]), "has the scale 0.0, not a positive number: quantise it again"),
        (lambda: _changed(1, scale=[0.5, np.inf]), "has the scale inf, not a positive number"),
        (lambda: _changed(3, scale=[np.nan]), "tensor 't3' has the scale nan, not a positive number"),
        (lambda: _changed(0, zeroPoint=[128]), "tensor 't0' has the zero point 128, not -128 to 127"),
        (lambda: _changed(0, zeroPoint=[-(2**62)]), "has the zero point -4611686018427387904, not -128 to 127"),
        (lambda: _changed(1, scale=[0.5] * 3, zeroPoint=[0] * 3), "has 3 scales and 3 zero points for axis 0"),
        (lambda: _changed(1, zeroPoint=[1, 0]), "its signed weights have a zero point"),
        (lambda: _changed(0, shape=[1, 2**30, 2**30, 3]), "at most 16777216 values can be handled"),
        (lambda: _changed(0, shape=[1, -5, 4, 3]), "at most 16777216 values can be handled"),
        (lambda: _changed(0, shape=[1, 0, 4, 3]), "must have a positive size on every axis"),
        (lambda: _changed(1, shape=[2, 3, 3, 4]), "takes 72 bytes, its buffer has 54"),
        (lambda: _changed(2, shape=[1, 2], quantization=None), "has 2 outputs but a bias of (1, 2)"),
        (lambda: _changed(3, shape=[1, 4, 4, 2]), "conv_2d_0 computes (5, 4) x 2 into (1, 4, 4, 2)"),
        (lambda: _changed(0, buffer=77), "tensor 't0' has no buffer"),
        (lambda: _changed(0, isVariable=True), "'t0' keeps its value from run to run"),
        (lambda: _changed(0, type=schema.TensorType.INT16), "'t0' is int16"),
        (lambda: _changed(0, quantization=None), "'t0' is int8, not quantised to 8 bits"),
        (lambda: _changed(3, scale=[1e-30]), "conv_2d_0 scales its sums by"),
        (lambda: _changed(4, scale=[1.0]), "its output has another scale than its input"),
        (lambda: _option(0, strideH=0), "conv_2d_0 has the strides [0, 1], not two positive numbers"),
        (lambda: _option(0, dilationHFactor=-1), "has the dilations [-1, 1], not two positive numbers"),
        (lambda: _option(0, dilationHFactor=2**30), "conv_2d_0 pads its input to"),
        (lambda: _option(0, fusedActivationFunction=4), "its activation function is not a clamp"),
        (lambda: _option(1, filterHeight=2**30), "max_pool_2d_1 has the window [1073741824, 2], not two sides of 1"),
        (lambda: _option(2, weightsFormat=1), "its weights are shuffled"),
        (lambda: _operands(0, [3, 1, 2]), "conv_2d_0 reads 't3', which no operator before it computes"),
        (lambda: _operands(0, [4, 1, 2]), "conv_2d_0 reads 't4', which no operator before it computes"),
        (lambda: _operands(0, [0]), "conv_2d_0 lacks its input 1"),
        (lambda: _operands(0, [0, 99]), "conv_2d_0 uses tensor 99 of 7"),
        (lambda: _operands(0, [0, 0]), "its weights are computed"),
        (lambda: _operands(2, [4, 4]), "its weights are computed"),
    ],
)
def test_contradiction_is_refused_in_one_sentence(make: Callable[[], TfliteModel], words: str):
    assert words in _refusal(make())


def test_tensor_computed_twice_is_refused():
    made = _network()
    made.operators[1].outputs = [3]
    assert "max_pool_2d_1 computes tensor 3, which exists without it" in _refusal(made)


def test_output_that_nothing_computes_is_refused():
    made = _network()
    made.outputs = [made.tensor((1, 4), np.int8, 1.0)]
    assert "output 7 of the model is not computed" in _refusal(made)


def test_damaged_public_model_gives_a_graph_or_a_sentence_in_seconds():
    if not MODELS.is_dir():
        pytest.skip(f"the public models are not at {MODELS}")
    data, rng, start = (MODELS / "kws_ref_model.tflite").read_bytes(), np.random.default_rng(5), time.monotonic()
    refused = 0
    for _ in range(60):
        flipped = bytearray(data)
        for position in rng.integers(0, len(data), 40):
            flipped[position] ^= 1 << int(rng.integers(8))
        try:
            frontend.load(bytes(flipped), "model.tflite")
        except ModelError:
            refused += 1
    assert refused > 20
    assert time.monotonic() - start < 60
