"""Weights with zero points, unsigned and of 4 bits, in batches: the reference and the engine against ONNX Runtime."""

import numpy as np
import oracle
from cimarron.config import PRESETS
from cimarron_sim.compiler import compile
from cimarron_sim.frontend import onnx as frontend
from cimarron_sim.graph import Graph
from cimarron_sim.reference import execute
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from qdq_model import QdqModel
from random_graphs import run_on_model

TINY = PRESETS["tiny"]
FUZZ = settings(max_examples=60, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)
DTYPES = st.sampled_from([np.int8, np.uint8])
KINDS = st.sampled_from(["conv", "depthwise", "matmul"])


class Case:
    """One random layer with a batch for its input.

    Parameters
    ----------
    seed : int
    dtype, w_dtype : type
        Of activations and weights.
    kind : str
        ``"conv"``, ``"depthwise"`` or ``"matmul"``.
    per_channel : bool
        Scales and zero points of the weights per output.
    """

    def __init__(self, seed: int, dtype: type, w_dtype: type, kind: str, per_channel: bool) -> None:
        self.rng = rng = np.random.default_rng(seed)
        self.kind, self.dtype, self.per_channel = kind, dtype, per_channel
        self.model = QdqModel()
        batch = int(rng.integers(1, 4))
        self.x = self.integers((batch, 9) if kind == "matmul" else (batch, 3, 5, 4), dtype)
        shape = {"conv": (4, 3, 2, 3), "depthwise": (6, 1, 2, 3), "matmul": (9, 4)}[kind]
        self.axis = 1 if kind == "matmul" else 0
        self.outputs = shape[self.axis]
        points = self.outputs if per_channel else ()
        self.w, self.w_zero = self.integers(shape, w_dtype), self.integers(points, w_dtype)
        limit = oracle.weight_limit()
        if w_dtype == np.int8 and limit < 127:
            self.w = np.clip(self.w, -limit, limit)
        # ONNX Runtime's kernels know several zero points only for MatMulInteger: one that is the same everywhere.
        self.w_zero[...] = self.w_zero.reshape(-1)[0]
        self.w_scale = np.exp(rng.uniform(-5, -4, points)).astype(np.float32)

    def integers(self, shape: tuple[int, ...] | int, dtype: type) -> np.ndarray:
        limits = np.iinfo(dtype)
        return np.array(self.rng.integers(limits.min, limits.max, shape, dtype, endpoint=True))

    def constants(self, *values: tuple[str, object]) -> list[str]:
        return [self.model.constant(name, np.asarray(value)) for name, value in values]

    def window(self) -> dict[str, object]:
        if self.kind == "matmul":
            return {}
        return {"pads": (1, 0, 1, 2), **({"group": 3} if self.kind == "depthwise" else {})}

    def check(self, opset: int = 17) -> Graph:
        """ONNX Runtime, the reference and the engine's model agree on every value."""
        data = self.model.bytes(opset)
        graph = frontend.load(data, "test")
        (source,), (target,) = graph.inputs, graph.outputs
        encoded = graph.encode(source, self.x)
        answer = execute(graph, {source: encoded})[target]
        (expected,) = oracle.run(data, {"x": self.x})
        assert expected.dtype == answer.dtype
        np.testing.assert_array_equal(graph.decode(target, answer), expected)
        output, _ = run_on_model(compile(graph, TINY), TINY, encoded.tobytes())
        assert output == answer.tobytes()
        return graph


@FUZZ
@given(SEEDS, DTYPES, DTYPES, KINDS, st.booleans())
def test_qlinear_layers_with_zero_points_of_weights(seed, dtype, w_dtype, kind, per_channel):
    if dtype == np.int8 and w_dtype == np.uint8:
        w_dtype = np.int8  # ONNX Runtime refuses unsigned weights with signed activations.
    case = Case(seed, dtype, w_dtype, kind, per_channel)
    case.model.input("x", case.x.shape, dtype)
    point = case.integers((), dtype)
    names = case.constants(
        ("xs", np.float32(0.1)), ("xz", point), ("w", case.w), ("ws", case.w_scale), ("wz", case.w_zero),
        ("ys", np.float32(0.9)), ("yz", case.integers((), dtype)),
    )  # fmt: skip
    op = "QLinearMatMul" if kind == "matmul" else "QLinearConv"
    case.model.node(op, ["x", *names], case.model.output("y", dtype), **case.window())
    case.check()


@FUZZ
@given(SEEDS, DTYPES, st.sampled_from(["conv", "matmul"]), st.booleans())
def test_integer_layers_leave_the_model_as_sums(seed, w_dtype, kind, per_channel):
    case = Case(seed, np.uint8, w_dtype, kind, per_channel and kind == "matmul")
    case.model.input("x", case.x.shape, np.uint8)
    names = case.constants(("w", case.w), ("xz", case.integers((), np.uint8)), ("wz", case.w_zero))
    case.model.outputs.append(helper.make_tensor_value_info("y", TensorProto.INT32, None))
    case.model.node("MatMulInteger" if kind == "matmul" else "ConvInteger", ["x", *names], "y", **case.window())
    graph = case.check()
    assert graph.port(graph.outputs[0]).dtype == np.int32


@FUZZ
@given(SEEDS, DTYPES, st.sampled_from(["INT4", "UINT4", "INT8", "UINT8"]), KINDS, st.booleans())
def test_layers_between_dequantised_tensors(seed, dtype, element, kind, per_channel):
    case = Case(seed, dtype, np.uint8 if element[0] == "U" else np.int8, kind, per_channel)
    low, high = {"INT4": (-8, 7), "UINT4": (0, 15), "INT8": (-128, 127), "UINT8": (0, 255)}[element]
    # Here ONNX Runtime computes in float32, where every channel may have a zero point of its own.
    w = case.rng.integers(low, high, case.w.shape, endpoint=True)
    zero = case.rng.integers(low, high, case.w_zero.shape, endpoint=True)
    made, kind_of = case.model, getattr(TensorProto, element)
    made.constants += [
        helper.make_tensor("w", kind_of, w.shape, w.reshape(-1)),
        helper.make_tensor("wz", kind_of, zero.shape, zero.reshape(-1)),
    ]
    x = made.dequantise(made.input("x", case.x.shape, dtype), "x_real", np.float32(0.1), case.integers((), dtype))
    attributes = {"axis": case.axis} if per_channel else {}
    weights = made.node("DequantizeLinear", ["w", *case.constants(("ws", case.w_scale)), "wz"], "w_real", **attributes)
    result = made.node("MatMul" if kind == "matmul" else "Conv", [x, weights], "sum", **case.window())
    made.quantise(result, made.output("y", dtype), np.float32(0.31), case.integers((), dtype))
    graph = case.check(opset=21)
    stored = graph.tensors[graph.nodes[-1].inputs[1]]
    assert stored.bits == int(element[-1])
