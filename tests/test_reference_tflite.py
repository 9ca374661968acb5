"""The numpy truth in profile TFLM, live against tflite-micro: random operators, shapes at the edges included."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import tflm_oracle
from cimarron_sim.frontend import tflite
from cimarron_sim.reference import execute
from hypothesis import given, settings
from hypothesis import strategies as st
from tflite_model import TfliteModel

FUZZ = settings(max_examples=40, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)
ACTIVATIONS = st.sampled_from([0, 1, 2, 3])
SAME, VALID = 0, 1


class Case:
    """One random model: keeps its generator, and the values of its inputs."""

    def __init__(self, seed: int, *, wide: bool = False) -> None:
        self.rng = np.random.default_rng(seed)
        self.model = TfliteModel(wide=wide)
        self.values: list[np.ndarray] = []

    def scale(self) -> np.float32:
        return np.float32(np.exp(self.rng.uniform(-6, 0)))

    def zero_point(self) -> int:
        # The ends of the range as often as everything between them.
        return int(self.rng.choice([-128, 127, int(self.rng.integers(-128, 128))]))

    def integers(self, shape: Sequence[int]) -> np.ndarray:
        low, high = self.rng.choice([(-128, 127), (-128, -120), (100, 127)], p=[0.8, 0.1, 0.1])
        return self.rng.integers(low, high, shape, np.int8, endpoint=True)

    def input(self, shape: tuple[int, ...], scale: np.float32 | None = None, zero_point: int | None = None) -> int:
        point = self.zero_point() if zero_point is None else zero_point
        index = self.model.tensor(shape, np.int8, self.scale() if scale is None else scale, point)
        self.model.inputs.append(index)
        self.values.append(self.integers(shape))
        return index

    def like(self, source: int, shape: Sequence[int]) -> int:
        """A tensor of the scale and zero point of `source`."""
        quantization = self.model.tensors[source].quantization
        return self.model.tensor(tuple(shape), np.int8, quantization.scale, quantization.zeroPoint)

    def scale_of(self, index: int) -> float:
        return self.model.tensors[index].quantization.scale[0]

    def weighted(
        self, op: str, x: int, weights: tuple[int, ...], axis: int, out: tuple[int, ...], depth: int, per_channel: bool,
        bits: int, table: str, **options: Any,
    ) -> None:  # fmt: skip
        """An operator with weights and bias, whose results spread over 8 bits and a little beyond."""
        rng, outputs = self.rng, weights[axis]
        limit = 1 << bits - 1
        data = rng.integers(-limit, limit, weights, np.int8)
        # Some channels are off by far: everything saturates, or nothing is left.
        w_scale = np.exp(rng.uniform(-7, -4, outputs if per_channel else 1)).astype(np.float32)
        y_scale = np.float32(self.scale_of(x) * np.median(w_scale) * 74 * limit / 1.7 * np.sqrt(depth) / 60)
        w_scale *= rng.choice([1, 1e-4, 50, 1e-9], w_scale.shape, p=[0.85, 0.05, 0.05, 0.05]).astype(np.float32)
        w = self.model.tensor(weights, np.int8, w_scale, 0, axis=axis, data=data, bits=bits)
        spread = 74 * limit / 1.7 * np.sqrt(depth)
        inputs = [x, w]
        if rng.random() < 0.8:
            bias = rng.integers(-2 * spread, 2 * spread + 1, outputs).astype(np.int32)
            scales = np.broadcast_to(np.float32(self.scale_of(x)) * w_scale, outputs if per_channel else 1)
            inputs.append(self.model.tensor((outputs,), np.int32, scales, 0, data=bias))
        y = self.model.tensor(out, np.int8, y_scale, self.zero_point())
        self.model.outputs.append(self.model.operator(op, inputs, y, table, **options))

    def check(self, wide: "Case | None" = None) -> None:
        """The reference and tflite-micro agree on every value; tflite-micro may run the model `wide` instead."""
        data = self.model.bytes()
        graph = tflite.load(data, "test")
        values = execute(graph, dict(zip(graph.inputs, self.values, strict=True)))
        expected = tflm_oracle.run((wide or self).model.bytes(), *self.values)
        answer = values[graph.outputs[0]]
        assert answer.dtype == expected.dtype
        np.testing.assert_array_equal(answer, expected)


def _out(size: int, kernel: int, stride: int, dilation: int, padding: int) -> int:
    extent = dilation * (kernel - 1) + 1
    return -(-size // stride) if padding == SAME else (size - extent) // stride + 1


@st.composite
def windows(draw, dilated: bool = True):
    """Kernel, stride, dilation, padding, and an image it fits on: per axis."""
    padding = draw(st.sampled_from([SAME, VALID]))
    kernel, stride = (draw(st.tuples(st.integers(1, 4), st.integers(1, 4))) for _ in range(2))
    dilation = draw(st.tuples(st.integers(1, 3), st.integers(1, 3))) if dilated else (1, 1)
    least = [1 if padding == SAME else d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = tuple(draw(st.integers(low, low + 6)) for low in least)
    out = tuple(_out(*sizes, padding) for sizes in zip(size, kernel, stride, dilation, strict=True))
    return padding, kernel, stride, dilation, size, out


@FUZZ
@given(SEEDS, windows(), st.integers(1, 2), st.integers(1, 9), st.integers(1, 9), st.booleans(), ACTIVATIONS,
       st.sampled_from([4, 8]))  # fmt: skip
def test_conv2d_equals_tflite_micro(seed, window, batch, channels, outputs, per_channel, activation, bits):
    padding, kernel, stride, dilation, size, out = window
    case = Case(seed)
    case.weighted(
        "CONV_2D", case.input((batch, *size, channels)), (outputs, *kernel, channels), 0, (batch, *out, outputs),
        int(np.prod(kernel)) * channels, per_channel, bits, "Conv2DOptions", padding=padding, strideH=stride[0],
        strideW=stride[1], dilationHFactor=dilation[0], dilationWFactor=dilation[1],
        fusedActivationFunction=activation,
    )  # fmt: skip
    case.check()


@FUZZ
@given(SEEDS, windows(), st.integers(1, 9), st.integers(1, 4), st.booleans(), ACTIVATIONS, st.sampled_from([4, 8]))
def test_depthwise_conv2d_equals_tflite_micro(seed, window, channels, multiple, per_channel, activation, bits):
    padding, kernel, stride, dilation, size, out = window
    case, outputs = Case(seed), channels * multiple
    case.weighted(
        "DEPTHWISE_CONV_2D", case.input((1, *size, channels)), (1, *kernel, outputs), 3, (1, *out, outputs),
        int(np.prod(kernel)), per_channel, bits, "DepthwiseConv2DOptions", padding=padding, strideH=stride[0],
        strideW=stride[1], dilationHFactor=dilation[0], dilationWFactor=dilation[1], depthMultiplier=multiple,
        fusedActivationFunction=activation,
    )  # fmt: skip
    case.check()


@FUZZ
@given(SEEDS, st.integers(1, 4), st.integers(1, 70), st.integers(1, 20), st.booleans(), ACTIVATIONS,
       st.sampled_from([4, 8]), st.booleans())  # fmt: skip
def test_fully_connected_equals_tflite_micro(seed, batch, depth, outputs, per_channel, activation, bits, keep):
    # tflite-micro knows fully connected layers of 8-bit weights only: it gets the same numbers in int8.
    cases = [Case(seed), Case(seed, wide=True)]
    shape = (1, batch, depth) if keep else (batch, depth)
    for case in cases:
        case.weighted(
            "FULLY_CONNECTED", case.input(shape), (outputs, depth), 0, (*shape[:-1], outputs), depth, per_channel,
            bits, "FullyConnectedOptions", fusedActivationFunction=activation, keepNumDims=keep,
        )  # fmt: skip
    cases[0].check(cases[1])


@FUZZ
@given(SEEDS, st.sampled_from([((1, 4, 5, 3),) * 2, ((1, 1), (1, 1)), ((1, 3, 2, 5), (1, 1, 1, 5)), ((2, 7), (1, 1))]),
       ACTIVATIONS)  # fmt: skip
def test_add_equals_tflite_micro(seed, shapes, activation):
    case = Case(seed)
    a, b = (case.input(shape) for shape in shapes)
    largest = max(case.scale_of(a), case.scale_of(b))
    y = case.model.tensor(shapes[0], np.int8, largest * case.rng.uniform(0.1, 3), case.zero_point())
    case.model.outputs = [case.model.operator("ADD", [a, b], y, "AddOptions", fusedActivationFunction=activation)]
    case.check()


@FUZZ
@given(SEEDS, windows(dilated=False), st.sampled_from(["AVERAGE_POOL_2D", "MAX_POOL_2D"]), st.integers(1, 9),
       ACTIVATIONS)  # fmt: skip
def test_pools_equal_tflite_micro(seed, window, op, channels, activation):
    padding, kernel, stride, _, size, out = window
    case = Case(seed)
    x = case.input((1, *size, channels))
    case.model.outputs = [
        case.model.operator(
            op, [x], case.like(x, (1, *out, channels)), "Pool2DOptions", padding=padding, strideH=stride[0],
            strideW=stride[1], filterHeight=kernel[0], filterWidth=kernel[1], fusedActivationFunction=activation,
        )
    ]  # fmt: skip
    case.check()


@FUZZ
@given(SEEDS, st.sampled_from([(1, 1), (1, 2), (3, 10), (1, 300), (2, 3, 4, 5)]), st.floats(-9, 3),
       st.sampled_from([1.0, 0.3, 2.5]))  # fmt: skip
def test_softmax_equals_tflite_micro(seed, shape, log_scale, beta):
    case = Case(seed)
    x = case.input(shape, np.float32(np.exp(log_scale)))
    y = case.model.tensor(shape, np.int8, 1 / 256, -128)
    case.model.outputs = [case.model.operator("SOFTMAX", [x], y, "SoftmaxOptions", beta=beta)]
    case.check()


@FUZZ
@given(SEEDS, st.sampled_from([(1, 5, 7, 3), (2, 3, 1, 4), (1, 33, 32, 2), (6, 5), (3, 4, 5)]),
       st.sampled_from([(1, 2), (0,), (-1,), (1,), (2,), (0, 1), (1, 2, 3)]), st.booleans(),
       st.booleans())  # fmt: skip
def test_mean_equals_tflite_micro(seed, shape, axes, keep, one_scale):
    axes = tuple(axis for axis in axes if axis < len(shape))
    case = Case(seed)
    x = case.input(shape)
    reduced = {axis % len(shape) for axis in axes}
    out = [1 if axis in reduced else size for axis, size in enumerate(shape) if keep or axis not in reduced]
    y = case.like(x, out)
    if not one_scale:
        scale = case.scale_of(x) * case.rng.uniform(0.05, 3)
        y = case.model.tensor(tuple(out), np.int8, scale, case.zero_point())
    case.model.outputs = [
        case.model.operator("MEAN", [x, case.model.numbers(axes)], y, "ReducerOptions", keepDims=keep)
    ]
    case.check()


@FUZZ
@given(SEEDS, st.sampled_from([(1, 3, 4, 2), (5, 3), (1, 1, 1, 1)]), st.booleans())
def test_pad_equals_tflite_micro(seed, shape, with_value):
    case = Case(seed)
    x, pads = case.input(shape), case.rng.integers(0, 4, (len(shape), 2))
    y = case.like(x, [size + int(pad.sum()) for size, pad in zip(shape, pads, strict=True)])
    inputs = [x, case.model.numbers(pads)]
    if with_value:
        value = case.like(x, (1,))
        case.model.tensors[value].buffer = len(case.model.buffers)
        constant = case.model.tensor((1,), np.int8, case.scale_of(x), 0, data=case.integers((1,)))
        case.model.tensors[value].buffer = case.model.tensors[constant].buffer
        inputs.append(value)
    op = "PADV2" if with_value else "PAD"
    case.model.outputs = [case.model.operator(op, inputs, y, "PadV2Options" if with_value else "PadOptions")]
    case.check()


@FUZZ
@given(SEEDS, st.integers(1, 4), st.integers(-3, 2))
def test_concat_equals_tflite_micro(seed, count, axis):
    case = Case(seed)
    first = case.input((2, 3, 4))
    parts, shape = [first], [2, 3, 4]
    for _ in range(count - 1):
        part = [2, 3, 4]
        part[axis] = int(case.rng.integers(1, 5))
        shape[axis] += part[axis]
        point = case.model.tensors[first].quantization.zeroPoint[0]
        parts.append(case.input(tuple(part), np.float32(case.scale_of(first)), point))
    options = {"axis": axis, "fusedActivationFunction": 0}
    y = case.like(first, shape)
    case.model.outputs = [case.model.operator("CONCATENATION", parts, y, "ConcatenationOptions", **options)]
    case.check()


@FUZZ
@given(SEEDS, st.sampled_from(["QUANTIZE", "RELU", "RELU6"]), st.booleans())
def test_requantise_equals_tflite_micro(seed, op, one_scale):
    case = Case(seed)
    x = case.input((3, 67))
    y = case.like(x, (3, 67))
    if not one_scale and op != "RELU6":
        y = case.model.tensor((3, 67), np.int8, case.scale_of(x) * case.rng.uniform(0.02, 9), case.zero_point())
    case.model.outputs = [case.model.operator(op, [x], y, "QuantizeOptions" if op == "QUANTIZE" else "")]
    case.check()


@pytest.mark.parametrize("op", ["RESHAPE", "SQUEEZE", "EXPAND_DIMS"])
def test_movements_equal_tflite_micro(op):
    case = Case(1)
    x = case.input((1, 2, 3, 4))
    shape = {"RESHAPE": (6, 4), "SQUEEZE": (2, 3, 4), "EXPAND_DIMS": (1, 1, 2, 3, 4)}[op]
    operands = {"RESHAPE": [shape], "SQUEEZE": [], "EXPAND_DIMS": [0]}[op]
    options: dict[str, Any] = {"squeezeDims": [0]} if op == "SQUEEZE" else {}
    tables = {"RESHAPE": "ReshapeOptions", "SQUEEZE": "SqueezeOptions", "EXPAND_DIMS": "ExpandDimsOptions"}
    inputs = [x, *(case.model.numbers(operand) for operand in operands)]
    case.model.outputs = [case.model.operator(op, inputs, case.like(x, shape), tables[op], **options)]
    case.check()
