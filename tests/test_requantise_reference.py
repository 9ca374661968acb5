"""The reference requantiser against exact fractions, ONNX Runtime, and tensors computed by tflite-micro."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from cimarron_sim.reference.requantise import narrow, quantize_multiplier, requantise_onnx, requantise_tflm
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

MODELS = Path(__file__).resolve().parents[2] / "shared" / "models"

INT32 = st.integers(-(2**31), 2**31 - 1)
EDGES = [-(2**31), -(2**31) + 1, -(2**30), -3, -2, -1, 0, 1, 2, 3, 2**24 + 1, 2**30, 2**31 - 1]


def exact_tflm(acc: int, multiplier: int, shift: int) -> int:
    """What the profile means, in exact arithmetic: half up, then half away from zero."""
    shifted = (acc * 2 ** max(shift, 0) + 2**31) % 2**32 - 2**31
    high = math.floor(Fraction(shifted * multiplier, 2**31) + Fraction(1, 2))
    quotient = math.floor(Fraction(abs(high), 2 ** max(-shift, 0)) + Fraction(1, 2))
    return -quotient if high < 0 else quotient


def exact_float32(value: Fraction) -> Fraction:
    """Nearest number of 24 significant bits, half to even (Python rounds fractions so); exponents unbounded."""
    if not value:
        return value
    unit = Fraction(2) ** (math.floor(math.log2(abs(value))) - 23)
    while abs(value) >= 2**24 * unit:
        unit *= 2
    while abs(value) < 2**23 * unit:
        unit /= 2
    return round(value / unit) * unit


@given(INT32 | st.sampled_from(EDGES), st.integers(0, 2**31 - 1), st.integers(-31, 30))
def test_tflm_rounds_twice(acc, multiplier, shift):
    assert requantise_tflm(acc, multiplier, shift) == exact_tflm(acc, multiplier, shift)


@pytest.mark.parametrize("multiplier", [0, 1, 2**30 - 1, 2**30, 2**30 + 1, 2**31 - 1])
def test_tflm_edges_broadcast(multiplier):
    shifts = np.arange(-31, 31)
    result = requantise_tflm(np.array(EDGES)[:, None], multiplier, shifts)
    assert result.dtype == np.int32
    assert result.tolist() == [[exact_tflm(acc, multiplier, int(shift)) for shift in shifts] for acc in EDGES]


@pytest.mark.parametrize(
    ("acc", "multiplier", "shift", "expected"),
    [
        # Times one half: half rounds up in the multiplication ...
        (3, 2**30, 0, 2),
        (-3, 2**30, 0, -1),
        # ... and away from zero in the division (six times one half is exact, then 1.5).
        (6, 2**30, -1, 2),
        (-6, 2**30, -1, -2),
        # Twice: 5 / 8 is 3 / 4 after the first rounding and 1 after the second; -5 / 8 is -2 / 4, which rounds to -1.
        (5, 2**30, -2, 1),
        (-5, 2**30, -2, -1),
        (-3, 2**30, -2, 0),
        # A left shift that loses the sign bit wraps.
        (2**30, 2**30, 1, -(2**30)),
        (-(2**31), 2**31 - 1, 0, -(2**31) + 1),
        (2**31 - 1, 0, 30, 0),
    ],
)
def test_tflm_examples_worked_by_hand(acc, multiplier, shift, expected):
    assert requantise_tflm(acc, multiplier, shift) == expected


def test_tflm_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"^Accumulators must lie in \[-2147483648, 2147483647\], not 2147483648 to"):
        requantise_tflm(2**31, 1, 0)
    with pytest.raises(ValueError, match=r"^Multipliers must lie in \[0, 2147483647\], not -1 to 5$"):
        requantise_tflm(0, [-1, 5], 0)
    with pytest.raises(ValueError, match=r"^Shifts must lie in \[-31, 30\], not 31 to 31$"):
        requantise_tflm(0, 1, 31)


@given(INT32 | st.sampled_from(EDGES), st.floats(2.0**-100, 2.0**60, width=32))
def test_onnx_rounds_to_nearest_even_at_each_step(acc, scale):
    product = exact_float32(exact_float32(Fraction(acc)) * Fraction(scale))
    assert Fraction(float(requantise_onnx(acc, scale))) == round(product)


def test_onnx_examples_worked_by_hand():
    assert requantise_onnx([1, 3, 5, -1, -3], 0.5).tolist() == [0, 2, 2, 0, -2]
    # 2**24 + 1 lies half between two floats; 2**24 + 3 rounds up to + 4.
    assert requantise_onnx([2**24 + 1, 2**24 + 3, 2**31 - 1], 1.0).tolist() == [2**24, 2**24 + 4, 2**31]
    assert requantise_onnx([1, 0, -1], 3e38).tolist() == [float(np.float32(3e38)), 0, -float(np.float32(3e38))]
    assert requantise_onnx([2, -2], 3e38).tolist() == [math.inf, -math.inf]


def test_onnx_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"^Accumulators must fit int32, not 2147483648 to 2147483648$"):
        requantise_onnx(2**31, 1.0)
    for scale in (-1.0, math.nan, math.inf, 1e39):
        with pytest.raises(ValueError, match=r"^Scales must be finite in float32 and not negative$"):
            requantise_onnx(1, scale)


@given(st.floats(0, 2.0**29))
def test_multipliers_are_the_nearest_of_31_bits(real):
    multiplier, shift = quantize_multiplier(real)
    unit = Fraction(2) ** (shift - 31)
    if multiplier:
        assert 2**30 <= multiplier < 2**31
        assert abs(multiplier * unit - Fraction(real)) <= unit / 2
    else:
        assert shift == 0
        assert real < 2.0**-32


@pytest.mark.parametrize(
    ("real", "expected"),
    [
        (0.0, (0, 0)),
        (1.0, (2**30, 1)),
        (0.5, (2**30, 0)),
        (0.75, (3 * 2**29, 0)),
        # Rounds up to 2**31, which moves into the exponent.
        (1 - 2.0**-40, (2**30, 1)),
        # A half rounds away from zero.
        (0.5 + 2.0**-32, (2**30 + 1, 0)),
        (2.0**-32, (2**30, -31)),
        (2.0**-33, (0, 0)),
        # Rounding lifts the exponent into range before it is checked.
        (2.0**-32 * (1 - 2.0**-40), (2**30, -31)),
        (2.0**29, (2**30, 30)),
    ],
)
def test_multiplier_examples_worked_by_hand(real, expected):
    assert quantize_multiplier(real) == expected


def test_multipliers_refuse_impossible_scales():
    for real in (-0.5, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"^Scale must be finite and not negative, not "):
            quantize_multiplier(real)
    with pytest.raises(ValueError, match=r"^Scale must be below 2\*\*30 to fit a left shift of 30, not 1073741824.0$"):
        quantize_multiplier(2.0**30)


def test_narrow_clamps_after_the_zero_point():
    assert narrow([-300, -5, 0, 5, 300], 3, -128, 127).tolist() == [-128, -2, 3, 8, 127]
    assert narrow([-300, -5, 0, 5, 300], 250, 0, 255, np.uint8).tolist() == [0, 245, 250, 255, 255]
    assert narrow([-9, 0, 9], -4, -4, 2).tolist() == [-4, -4, 2]
    extremes = narrow(np.array([-(2**31), 2**31 - 1], np.int32), 127, -128, 127)
    assert extremes.dtype == np.int8
    assert extremes.tolist() == [-128, 127]
    assert narrow(np.array([-np.inf, np.inf], np.float32), -1, -7, 7).tolist() == [-7, 7]


def test_narrow_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"^Zero point must fit int8, not 128$"):
        narrow(0, 128, -128, 127)
    with pytest.raises(ValueError, match=r"^Lower clamp must fit uint8, not -1$"):
        narrow(0, 0, -1, 255, np.uint8)
    with pytest.raises(ValueError, match=r"^Upper clamp must fit int8, not 255$"):
        narrow(0, 0, 0, 255)
    with pytest.raises(ValueError, match=r"^Lower clamp 5 must not exceed upper clamp 4$"):
        narrow(0, 0, 5, 4)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_onnx_runtime_agrees(dtype):
    """A QLinearConv on an input of zeros: its biases are the accumulators, its weight scales the scales."""
    ort = pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(0)
    count = 20_000
    acc = rng.integers(-(2**31), 2**31, count) >> rng.integers(0, 32, count)
    acc[: len(EDGES)] = EDGES
    # Outputs of the order of 100, every third one with a power of two as scale, which makes ties.
    scale = np.abs(rng.normal(0, 150, count) / np.maximum(np.abs(acc), 1)).astype(np.float32)
    scale[::3] = np.exp2(np.round(np.log2(scale[::3])))
    info = np.iinfo(dtype)
    zero_point = int(rng.integers(info.min, info.max + 1))

    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    constants = {
        "x_scale": np.float32(1),
        "x_zero": dtype(0),
        "w": np.ones((count, 1, 1, 1), np.int8),
        "w_scale": scale,
        "w_zero": np.zeros(count, np.int8),
        "y_scale": np.float32(1),
        "y_zero": dtype(zero_point),
        "bias": acc.astype(np.int32),
    }
    graph = helper.make_graph(
        [helper.make_node("QLinearConv", ["x", *constants], ["y"])],
        "accumulators",
        [helper.make_tensor_value_info("x", element, [1, 1, 1, 1])],
        [helper.make_tensor_value_info("y", element, [1, count, 1, 1])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": np.zeros((1, 1, 1, 1), dtype)})

    assert len(np.unique(expected)) == 256
    result = narrow(requantise_onnx(acc, scale), zero_point, info.min, info.max, dtype)
    np.testing.assert_array_equal(result, expected.ravel())


@pytest.mark.parametrize("layer", [2, 4, 6, 8])
def test_tflite_micro_agrees(layer):
    """Pointwise convolutions of the keyword spotter: one matrix product, then the requantiser alone."""
    if not MODELS.is_dir():
        pytest.skip(f"public models are not installed in {MODELS}")
    graph = onnx.load(MODELS / "onnx" / "kws_qlinear.onnx").graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    node = graph.node[layer]
    x_scale, x_zero, weights, w_scales, w_zeros, y_scale, y_zero, bias = (constants[name] for name in node.input[1:])
    assert weights.shape == (64, 64, 1, 1)
    assert not w_zeros.any()
    multipliers = [quantize_multiplier(float(x_scale) * float(scale) / float(y_scale)) for scale in w_scales]
    multiplier, shift = np.array(multipliers).T

    goldens = sorted((MODELS / "golden" / "kws").glob("*.npz"))
    assert goldens
    for path in goldens:
        with np.load(path) as golden:
            x, expected = (golden[f"op{n:02}_t{n + 22}"] for n in (layer - 1, layer))
        acc = (x.astype(np.int64) - x_zero) @ weights[:, :, 0, 0].astype(np.int64).T + bias
        # These layers have a ReLU, whose lower clamp is the zero point.
        result = narrow(requantise_tflm(acc, multiplier, shift), int(y_zero), int(y_zero), 127)
        np.testing.assert_array_equal(result, expected, err_msg=path.name)
