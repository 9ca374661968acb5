"""The numpy truth in profile ONNX, live against ONNX Runtime: operators without weights, QLinear and Integer ones."""

from typing import Any

import numpy as np
import oracle
import pytest
from cimarron_sim.frontend import onnx
from cimarron_sim.reference import execute
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from qdq_model import QdqModel

FUZZ = settings(max_examples=25, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)
DTYPES = st.sampled_from([np.int8, np.uint8])


class Case:
    """One random model, its generator, and the values of its inputs."""

    def __init__(self, seed: int, dtype: type) -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype = dtype
        self.model = QdqModel()
        self.values: dict[str, np.ndarray] = {}

    def scale(self) -> np.float32:
        return np.float32(np.exp(self.rng.uniform(-5, 0)))

    def integers(self, shape: tuple[int, ...]) -> np.ndarray:
        limits = np.iinfo(self.dtype)
        return self.rng.integers(limits.min, limits.max, shape, self.dtype, endpoint=True)

    def point(self) -> np.ndarray:
        return self.integers(())

    def input(self, name: str, shape: tuple[int, ...]) -> str:
        self.values[name] = self.integers(shape)
        return self.model.input(name, shape, self.dtype)

    def real(self, name: str, shape: tuple[int, ...], scale: np.float32, point: np.ndarray) -> str:
        return self.model.dequantise(self.input(name, shape), f"{name}_real", scale, point)

    def operand(self, name: str, shape: tuple[int, ...]) -> list[str]:
        """An input, its scale and its zero point, as QLinear operators take them."""
        scale, point = self.model.constant(f"{name}s", self.scale()), self.model.constant(f"{name}z", self.point())
        return [self.input(name, shape), scale, point]

    def check(self, opset: int = 17) -> None:
        """The reference and ONNX Runtime agree on every value."""
        made = self.model.model(opset)
        made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        data = made.SerializeToString()
        graph = onnx.load(data, "test")
        values = execute(graph, {name: graph.encode(name, self.values[name]) for name in graph.inputs})
        answer = graph.decode(graph.outputs[0], values[graph.outputs[0]])
        expected = oracle.run(data, self.values)[0]
        assert answer.dtype == expected.dtype
        np.testing.assert_array_equal(answer, expected)


@FUZZ
@given(SEEDS, DTYPES, st.sampled_from([(1, 3, 4, 5), (2, 7), (1, 1), (2, 3, 5)]), st.booleans())
def test_add_equals_onnx_runtime(seed, dtype, shape, relu):
    case = Case(seed, dtype)
    parts = [case.real(name, shape, case.scale(), case.point()) for name in "ab"]
    result = case.model.node("Add", parts, "sum")
    result = case.model.node("Relu", [result], "active") if relu else result
    case.model.quantise(result, case.model.output("y", dtype), case.scale(), case.point())
    case.check()


@st.composite
def windows(draw):
    """Kernel, stride, pads, and an image they fit on."""
    kernel, stride = (draw(st.tuples(st.integers(1, 4), st.integers(1, 3))) for _ in range(2))
    pads = tuple(draw(st.integers(0, kernel[i % 2] - 1)) for i in range(4))
    size = tuple(draw(st.integers(kernel[i], kernel[i] + 6)) for i in range(2))
    return kernel, stride, pads, size


@FUZZ
@given(SEEDS, DTYPES, windows(), st.integers(1, 5), st.sampled_from(["AveragePool", "MaxPool"]))
def test_pools_equal_onnx_runtime(seed, dtype, window, channels, op):
    kernel, stride, pads, size = window
    case, scale = Case(seed, dtype), np.float32(0.07)
    point = case.point()
    x = case.real("x", (1, channels, *size), scale, point)
    result = case.model.node(op, [x], "pooled", kernel_shape=kernel, strides=stride, pads=pads)
    case.model.quantise(result, case.model.output("y", dtype), case.scale(), case.point())
    case.check()


@FUZZ
@given(SEEDS, DTYPES, windows(), st.booleans())
def test_maximum_of_one_scale_behind_a_clamp_equals_onnx_runtime(seed, dtype, window, same):
    kernel, stride, pads, size = window
    case, scale = Case(seed, dtype), np.float32(0.07)
    point = case.point()
    x = case.real("x", (2, 3, *size), scale, point)
    result = case.model.node("MaxPool", [x], "pooled", kernel_shape=kernel, strides=stride, pads=pads)
    wanted = (scale, point) if same else (case.scale(), case.point())
    case.model.quantise(case.model.node("Relu", [result], "active"), case.model.output("y", dtype), *wanted)
    case.check()


@FUZZ
@given(SEEDS, DTYPES, windows(), st.sampled_from(["AveragePool", "MaxPool"]), st.booleans())
def test_pools_that_round_their_size_up_equal_onnx_runtime(seed, dtype, window, op, counted):
    kernel, stride, pads, size = window
    case, scale = Case(seed, dtype), np.float32(0.07)
    point = case.point()
    x = case.real("x", (1, 2, *size), scale, point)
    options: dict[str, Any] = {"count_include_pad": int(counted)} if op == "AveragePool" else {}
    result = case.model.node(op, [x], "pooled", kernel_shape=kernel, strides=stride, pads=pads, ceil_mode=1, **options)
    wanted = (scale, point) if op == "MaxPool" else (case.scale(), case.point())
    case.model.quantise(result, case.model.output("y", dtype), *wanted)
    case.check()


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool", "ReduceMean"])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_global_pools_equal_onnx_runtime(op, dtype):
    case = Case(3, dtype)
    x = case.real("x", (2, 6, 5, 7), np.float32(0.1), np.array(17, dtype))
    options: dict[str, Any] = {"axes": (2, 3)} if op == "ReduceMean" else {}
    result = case.model.node(op, [x], "pooled", **options)
    case.model.quantise(result, case.model.output("y", dtype), np.float32(0.1), np.array(17, dtype))
    case.check()


@FUZZ
@given(
    SEEDS, DTYPES, st.integers(1, 20), st.integers(1, 30), st.sampled_from([1 / 256, 1 / 255, 0.0031, 0.07, 0.6, 3.0])
)
def test_softmax_equals_onnx_runtime(seed, dtype, batch, size, step):
    case = Case(seed, dtype)
    x = case.real("x", (batch, size), case.scale(), case.point())
    result = case.model.node("Softmax", [x], "shares", axis=-1)
    case.model.quantise(result, case.model.output("y", dtype), np.float32(step), case.point())
    case.check()


@pytest.mark.parametrize(
    ("opset", "shape", "options"),
    [
        (11, (3, 7), {}),
        (11, (2, 3, 5), {"axis": 1}),
        (11, (2, 3, 5), {}),
        (11, (2, 3, 5), {"axis": 2}),
        (11, (1, 9, 1, 1), {}),
        (11, (2, 3, 4, 5), {"axis": 1}),
        (11, (2, 3, 4, 5), {"axis": -3}),
        (13, (3, 7), {}),
        (17, (2, 3, 5), {}),
        (17, (2, 3, 5), {"axis": 1}),
        (17, (4, 6), {"axis": 0}),
        (17, (2, 3, 4, 5), {"axis": 1}),
        (17, (2, 3, 4, 5), {"axis": -3}),
        (17, (2, 3, 4, 5), {}),
        (17, (1, 9, 1, 1), {"axis": 1}),
    ],
)
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_softmax_goes_over_the_axes_of_its_opset(opset, shape, options, dtype):
    case = Case(7, dtype)
    x = case.real("x", shape, np.float32(0.05), case.point())
    result = case.model.node("Softmax", [x], "shares", **options)
    low = np.array(np.iinfo(dtype).min, dtype)
    case.model.quantise(result, case.model.output("y", dtype), np.float32(1 / 256), low)
    case.check(opset)


@pytest.mark.parametrize("opset", [11, 17])
def test_softmax_of_a_global_pool_equals_onnx_runtime(opset):
    case, scale, point = Case(8, np.int8), np.float32(0.3), np.int8(-5)
    x = case.real("x", (2, 9, 3, 5), scale, np.asarray(point))
    pooled = case.model.quantise(case.model.node("GlobalAveragePool", [x], "p"), "pq", scale, point)
    pooled = case.model.dequantise(pooled, "pr", scale, point)
    result = case.model.node("Softmax", [pooled], "shares", axis=1)
    case.model.quantise(result, case.model.output("y", np.int8), np.float32(1 / 256), np.int8(-128))
    case.check(opset)


@FUZZ
@given(SEEDS, DTYPES, st.sampled_from(["none", "Relu", "Clip"]))
def test_change_of_scale_equals_onnx_runtime(seed, dtype, activation):
    case = Case(seed, dtype)
    result = case.real("x", (3, 80), case.scale(), case.point())
    if activation != "none":
        bounds = [case.model.constant("low", np.float32(0)), case.model.constant("high", np.float32(6))]
        result = case.model.node(activation, [result, *(bounds if activation == "Clip" else [])], "active")
    case.model.quantise(result, case.model.output("y", dtype), case.scale(), case.point())
    case.check()


@FUZZ
@given(SEEDS, DTYPES, st.sampled_from([(1, 2, 3, 4), (2, 5)]), st.integers(1, 3), st.integers(0, 3))
def test_concat_and_pad_equal_onnx_runtime(seed, dtype, shape, count, axis):
    case, axis = Case(seed, dtype), axis % len(shape)
    scale, point = case.scale(), case.point()
    names = []
    for index in range(count):
        part = list(shape)
        part[axis] = int(case.rng.integers(1, 4))
        names.append(case.real(f"x{index}", tuple(part), scale, point))
    joined = case.model.quantise(case.model.node("Concat", names, "joined", axis=axis), "j", scale, point)
    widths = case.model.constant("widths", case.rng.integers(0, 3, 2 * len(shape)))
    padded = case.model.node("Pad", [case.model.dequantise(joined, "j_real", scale, point), widths], "padded")
    case.model.quantise(padded, case.model.output("y", dtype), scale, point)
    case.check()


@FUZZ
@given(SEEDS, DTYPES, st.sampled_from([(1, 2, 3, 4), (2, 5)]), st.integers(1, 3), st.sampled_from(["", "Relu", "Clip"]))
def test_concat_of_other_scales_equals_onnx_runtime(seed, dtype, shape, count, activation):
    case, axis = Case(seed, dtype), int(seed % len(shape))
    wanted = case.scale(), case.point()
    names = []
    for index in range(count):
        # One of them has the scale of the result: nothing is to be done for it, unless something clamps.
        scale, point = wanted if index == 1 else (case.scale(), case.point())
        part = list(shape)
        part[axis] = int(case.rng.integers(1, 4))
        names.append(case.real(f"x{index}", tuple(part), scale, point))
    result = case.model.node("Concat", names, "joined", axis=axis)
    if activation:
        bounds = [case.model.constant("low", np.float32(-0.5)), case.model.constant("high", np.float32(2))]
        result = case.model.node(activation, [result, *(bounds if activation == "Clip" else [])], "active")
    case.model.quantise(result, case.model.output("y", dtype), *wanted)
    case.check()


@FUZZ
@given(SEEDS, DTYPES, st.booleans(), st.sampled_from([0, 1.7, -2.25]))
def test_pad_of_another_scale_equals_onnx_runtime(seed, dtype, relu, number):
    case = Case(seed, dtype)
    x = case.real("x", (1, 2, 3, 4), case.scale(), case.point())
    operands = [case.model.constant("widths", case.rng.integers(0, 3, 8)), case.model.constant("n", np.float32(number))]
    result = case.model.node("Pad", [x, *operands], "padded")
    result = case.model.node("Relu", [result], "active") if relu else result
    case.model.quantise(result, case.model.output("y", dtype), case.scale(), case.point())
    case.check()


@FUZZ
@given(SEEDS, DTYPES, st.sampled_from(["conv", "depthwise", "matmul"]), st.booleans(), st.booleans())
def test_qlinear_layers_equal_onnx_runtime(seed, dtype, kind, per_channel, with_bias):
    case, limit = Case(seed, dtype), oracle.weight_limit()
    shape = {"conv": (4, 3, 2, 3), "depthwise": (6, 1, 2, 3), "matmul": (9, 4)}[kind]
    x = case.input("x", (3, 9) if kind == "matmul" else (1, 3, 5, 6))
    outputs = shape[1] if kind == "matmul" else shape[0]
    w_scale = np.exp(case.rng.uniform(-5, -4, outputs if per_channel else ())).astype(np.float32)
    data = case.rng.integers(-limit, limit + 1, shape).astype(np.int8)
    constants = [
        ("xs", np.float32(0.1)), ("xz", case.point()), ("w", data), ("ws", w_scale),
        ("wz", np.zeros(w_scale.shape, np.int8)), ("ys", np.float32(0.7)), ("yz", case.point()),
    ]  # fmt: skip
    inputs = [x, *(case.model.constant(name, value) for name, value in constants)]
    if kind == "matmul":
        case.model.node("QLinearMatMul", inputs, case.model.output("y", dtype))
    else:
        if with_bias:
            inputs.append(case.model.constant("b", case.rng.integers(-9000, 9000, outputs).astype(np.int32)))
        options = {"group": 3} if kind == "depthwise" else {}
        case.model.node("QLinearConv", inputs, case.model.output("y", dtype), pads=(1, 0, 1, 2), **options)
    case.check()


@FUZZ
@given(SEEDS, DTYPES, st.sampled_from(["conv", "matmul"]), st.booleans(), st.booleans(), st.booleans())
def test_integer_layers_equal_onnx_runtime(seed, dtype, kind, per_channel, with_bias, relu):
    case, limit = Case(seed, dtype), oracle.weight_limit()
    shape = (4, 3, 2, 3) if kind == "conv" else (9, 4)
    sums = case.input("x", (1, 3, 5, 6) if kind == "conv" else (3, 9))
    data = case.rng.integers(-limit, limit + 1, shape).astype(np.int8)
    operands = [sums, case.model.constant("w", data), case.model.constant("xz", case.point())]
    sums = case.model.node("ConvInteger" if kind == "conv" else "MatMulInteger", operands, "sums")
    along = (4, 1, 1) if kind == "conv" else (4,)
    if with_bias:
        bias = case.model.constant("b", case.rng.integers(-9000, 9000, along).astype(np.int32))
        sums = case.model.node("Add", [sums, bias], "biased")
    scale = np.exp(case.rng.uniform(-6, -5, along if per_channel else ())).astype(np.float32)
    real = case.model.node("Cast", [sums], "cast", to=1)
    real = case.model.node("Mul", [real, case.model.constant("m", scale)], "scaled")
    real = case.model.node("Relu", [real], "active") if relu else real
    case.model.quantise(real, case.model.output("y", dtype), np.float32(0.5), case.point())
    case.check()


@FUZZ
@given(SEEDS, DTYPES, st.sampled_from(["add", "concat", "average", "global", "softmax", "gemm"]))
def test_operators_of_onnx_runtime_equal_onnx_runtime(seed, dtype, kind):
    case = Case(seed, dtype)
    result = [case.model.constant("ys", case.scale()), case.model.constant("yz", case.point())]
    options: dict[str, Any] = {}
    match kind:
        case "add":
            op, inputs = "QLinearAdd", [*case.operand("a", (1, 3, 4, 5)), *case.operand("b", (1, 3, 4, 5)), *result]
        case "concat":
            op, options = "QLinearConcat", {"axis": 1}
            inputs = [*result, *case.operand("a", (1, 3, 4, 5)), *case.operand("b", (1, 2, 4, 5))]
        case "average":
            op, inputs = "QLinearAveragePool", [*case.operand("a", (1, 3, 6, 5)), *result]
            options = {"kernel_shape": (2, 3), "strides": (2, 1), "count_include_pad": 1, "pads": (1, 0, 1, 2)}
        case "global":
            op, inputs = "QLinearGlobalAveragePool", [*case.operand("a", (1, 3, 6, 5)), *result]
        case "softmax":
            op, options = "QLinearSoftmax", {"axis": 1, "opset": 17}
            low = case.model.constant("low", np.array(np.iinfo(dtype).min, dtype))
            inputs = [*case.operand("a", (2, 9)), case.model.constant("share", np.float32(1 / 256)), low]
        case _:
            op, options = "QGemm", {"transB": 1, "alpha": 0.5}
            limit = oracle.weight_limit()
            weights = [
                ("w", case.rng.integers(-limit, limit + 1, (4, 9)).astype(np.int8)),
                ("ws", np.full(4, 0.02, "f4")),
            ]
            weights += [("wz", np.zeros(4, np.int8)), ("b", case.rng.integers(-900, 900, 4).astype(np.int32))]
            inputs = [*case.operand("a", (2, 9)), *(case.model.constant(*weight) for weight in weights), *result]
    case.model.node(op, inputs, case.model.output("y", dtype), domain="com.microsoft", **options)
    case.check()


@pytest.mark.parametrize(
    "op", ["MaxPool", "Concat", "Relu", "Clip", "Pad", "Flatten", "Reshape", "Transpose", "Squeeze"]
)
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_operators_on_integers_equal_onnx_runtime(op, dtype):
    if (op, dtype) == ("Relu", np.uint8):
        pytest.skip("ONNX has no Relu of uint8")
    case, scale = Case(5, dtype), np.float32(0.25)
    point = np.array(17, dtype)
    x = case.model.quantise(case.real("x", (1, 3, 4, 5), scale, point), "q", np.float32(0.5), point)
    operands: dict[str, list[np.ndarray]] = {
        "Clip": [np.array(3, dtype), np.array(40, dtype)],
        "Pad": [np.array([0, 1, 0, 0, 0, 0, 2, 0]), np.array(9, dtype)],
        "Reshape": [np.array([1, -1, 5])],
        "Squeeze": [np.array([0])],
    }
    options: dict[str, Any] = {
        "MaxPool": {"kernel_shape": (2, 3), "pads": (1, 1, 0, 0)},
        "Concat": {"axis": 1},
        "Transpose": {"perm": (0, 2, 3, 1)},
    }.get(op, {})
    names = [case.model.constant(f"c{i}", value) for i, value in enumerate(operands.get(op, []))]
    twice = [x] if op == "Concat" else []
    case.model.node(op, [x, *twice, *names], case.model.output("y", dtype), **options)
    case.check()


@FUZZ
@given(SEEDS, DTYPES, windows())
def test_pools_that_count_padding_equal_onnx_runtime(seed, dtype, window):
    kernel, stride, pads, size = window
    case = Case(seed, dtype)
    x = case.real("x", (1, 3, *size), case.scale(), case.point())
    result = case.model.node(
        "AveragePool", [x], "pooled", kernel_shape=kernel, strides=stride, pads=pads, count_include_pad=1
    )
    case.model.quantise(result, case.model.output("y", dtype), case.scale(), case.point())
    case.check()


@FUZZ
@given(SEEDS, DTYPES, windows(), st.sampled_from(["AveragePool", "MaxPool"]), st.sampled_from(["UPPER", "LOWER"]))
def test_pools_that_keep_the_size_equal_onnx_runtime(seed, dtype, window, op, side):
    kernel, stride, _, size = window
    # ONNX Runtime refuses windows of nothing but padding.
    kernel = tuple(max(pair) for pair in zip(kernel, stride, strict=True))
    case = Case(seed, dtype)
    x = case.real("x", (1, 3, *size), case.scale(), case.point())
    result = case.model.node(op, [x], "pooled", kernel_shape=kernel, strides=stride, auto_pad=f"SAME_{side}")
    case.model.quantise(result, case.model.output("y", dtype), case.scale(), case.point())
    case.check()


@FUZZ
@given(SEEDS, DTYPES, st.sampled_from([(2, 3), (1,), (-1,), (0, -2)]), st.booleans())
def test_pad_of_chosen_axes_equals_onnx_runtime(seed, dtype, axes, with_value):
    case = Case(seed, dtype)
    scale, point = case.scale(), case.point()
    x = case.real("x", (1, 2, 3, 4), scale, point)
    widths = case.model.constant("widths", case.rng.integers(0, 3, 2 * len(axes)))
    number = case.model.constant("n", np.float32(1.5)) if with_value else ""
    result = case.model.node("Pad", [x, widths, number, case.model.constant("axes", np.array(axes))], "padded")
    case.model.quantise(result, case.model.output("y", dtype), scale, point)
    case.check(18)


@FUZZ
@given(SEEDS, DTYPES, windows(), st.tuples(st.integers(1, 3), st.integers(1, 3)), st.integers(1, 4), st.integers(1, 3))
def test_depthwise_convolutions_equal_onnx_runtime(seed, dtype, window, dilation, channels, multiplier):
    kernel, stride, pads, size = window
    case, limit = Case(seed, dtype), oracle.weight_limit()
    # Larger by what the dilation spreads.
    size = tuple(pixels + (taps - 1) * (step - 1) for pixels, taps, step in zip(size, kernel, dilation, strict=True))
    x = case.operand("x", (1, channels, *size))
    outputs = channels * multiplier
    constants = [
        ("w", case.rng.integers(-limit, limit + 1, (outputs, 1, *kernel)).astype(np.int8)),
        ("ws", np.exp(case.rng.uniform(-5, -4, outputs)).astype(np.float32)), ("wz", np.zeros(outputs, np.int8)),
        ("ys", np.float32(0.5)), ("yz", case.point()),
        ("b", case.rng.integers(-900, 900, outputs).astype(np.int32)),
    ]  # fmt: skip
    inputs = [*x, *(case.model.constant(*constant) for constant in constants)]
    geometry = {"strides": stride, "pads": pads, "dilations": dilation, "group": channels}
    case.model.node("QLinearConv", inputs, case.model.output("y", dtype), **geometry)
    case.check()


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 1.0), (1.0, 2.0), (0.5, 0.5), (4.0, 0.25), (1.0, 0.0)])
def test_gemm_with_factors_equals_onnx_runtime(alpha, beta):
    case = Case(9, np.int8)
    x = case.real("x", (3, 9), np.float32(0.125), np.array(3, np.int8))
    w = case.model.weights("w", case.rng.integers(-60, 60, (9, 4)).astype(np.int8), np.float32(0.25), axis=1)
    b = case.model.weights("b", case.rng.integers(-900, 900, 4).astype(np.int32), np.float32(1 / 32))
    result = case.model.node("Gemm", [x, w, b], "sums", alpha=alpha, beta=beta)
    # Scales of a power of two: the sums of ONNX Runtime, in float32, are exact.
    case.model.quantise(result, case.model.output("y", np.int8), np.float32(2), np.int8(-7))
    case.check()


@FUZZ
@given(SEEDS, DTYPES, windows(), st.booleans(), st.booleans())
def test_pools_of_one_scale_equal_onnx_runtime(seed, dtype, window, counted, is_qlinear):
    """Where means lie on a half, the order of the additions decides."""
    kernel, stride, pads, size = window
    case, scale = Case(seed, dtype), np.float32(0.0371)
    point = case.point()
    names = [case.model.constant("s", scale), case.model.constant("z", point)]
    window = {"kernel_shape": kernel, "strides": stride, "pads": pads, "count_include_pad": int(counted)}
    if is_qlinear:
        inputs = [case.input("a", (1, 3, *size)), *names, *names]
        y = case.model.output("y", dtype)
        case.model.node("QLinearAveragePool", inputs, y, domain="com.microsoft", **window)
    else:
        result = case.model.node("AveragePool", [case.real("a", (1, 3, *size), scale, point)], "pooled", **window)
        case.model.quantise(result, case.model.output("y", dtype), scale, point)
    case.check()


@FUZZ
@given(SEEDS, DTYPES, st.tuples(st.integers(1, 12), st.integers(1, 12)), st.sampled_from(["average", "mean", "window"]))
def test_means_of_all_pixels_of_one_scale_equal_onnx_runtime(seed, dtype, size, kind):
    case, scale = Case(seed, dtype), np.float32(0.0371)
    point = case.point()
    x = case.real("x", (2, 53, *size), scale, point)
    match kind:
        case "average":
            result = case.model.node("GlobalAveragePool", [x], "pooled")
        case "mean":
            result = case.model.node("ReduceMean", [x], "pooled", axes=(2, 3))
        case _:
            result = case.model.node("AveragePool", [x], "pooled", kernel_shape=size, strides=size)
    case.model.quantise(result, case.model.output("y", dtype), scale, point)
    case.check()


@FUZZ
@given(SEEDS, DTYPES, st.sampled_from([1, 2, 4]), st.booleans(), st.booleans())
def test_sums_on_a_half_equal_onnx_runtime(seed, dtype, halves, is_qlinear, clamped):
    """All pairs of bytes, with an output's scale of which many sums are halves."""
    case, scale = Case(seed, dtype), np.float32(0.0371)
    bytes_ = np.arange(256, dtype=np.uint8).view(dtype)
    parts = [[name, scale * np.float32(share), case.point()] for name, share in (("a", 1), ("b", halves / 4))]
    wanted = scale * np.float32(halves), case.point()
    if is_qlinear:
        inputs = []
        for name, part_scale, point in parts:
            constants = case.model.constant(f"{name}s", part_scale), case.model.constant(f"{name}z", point)
            inputs += [case.input(name, (1, 65536)), *constants]
        inputs += [case.model.constant("ys", wanted[0]), case.model.constant("yz", wanted[1])]
        case.model.node("QLinearAdd", inputs, case.model.output("y", dtype), domain="com.microsoft")
    else:
        reals = [case.real(name, (1, 65536), part_scale, point) for name, part_scale, point in parts]
        result = case.model.node("Add", reals, "sum")
        result = case.model.node("Relu", [result], "active") if clamped else result
        case.model.quantise(result, case.model.output("y", dtype), *wanted)
    case.values = {"a": np.repeat(bytes_, 256)[np.newaxis], "b": np.tile(bytes_, 256)[np.newaxis]}
    case.check()
