"""Files that add two tensors of different shapes, or a constant, in both formats, and what their oracles answer."""

from dataclasses import dataclass

import numpy as np
import oracle
import tflm_oracle
from cimarron_sim.frontend import onnx, tflite
from cimarron_sim.graph import Graph
from hypothesis import strategies as st
from qdq_model import QdqModel
from tflite_model import TfliteModel

__all__ = ["Addition", "additions", "onnx_case", "tflite_case"]


@dataclass(frozen=True)
class Addition:
    """A random addition.

    Parameters
    ----------
    seed : int
    full : tuple of int
        Shape of the sum: images, height, width, channels.
    kept : two tuples of bool
        Which of its axes each operand has.
    is_constant : bool
        Of the second operand; the first one is computed.
    dropped : int
        So many of the foremost axes the second operand lacks altogether, at most those of size 1.
    is_swapped : bool
        The second operand comes first.
    """

    seed: int
    full: tuple[int, ...]
    kept: tuple[tuple[bool, ...], tuple[bool, ...]]
    is_constant: bool
    dropped: int
    is_swapped: bool

    def shape(self, operand: int) -> tuple[int, ...]:
        """Of an operand, all axes."""
        return tuple(size if kept else 1 for size, kept in zip(self.full, self.kept[operand], strict=True))


@st.composite
def additions(draw) -> Addition:
    """Any two shapes that broadcast; a computed operand has all images of the input."""
    full = draw(st.tuples(st.integers(1, 2), *[st.integers(1, 5)] * 3))
    is_constant = draw(st.booleans())
    kept = [draw(st.tuples(*[st.booleans()] * 4)) for _ in range(2)]
    kept[0] = (True, *kept[0][1:])
    kept[1] = kept[1] if is_constant else (True, *kept[1][1:])
    # What neither has is nobody's axis.
    full = tuple(size if any(pair) else 1 for size, *pair in zip(full, *kept, strict=True))
    seed, dropped = draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, 4 if is_constant else 3))
    return Addition(seed, full, (kept[0], kept[1]), is_constant, dropped, draw(st.booleans()))


def _foremost(shape: tuple[int, ...], dropped: int) -> tuple[int, ...]:
    while dropped and shape and shape[0] == 1:
        shape, dropped = shape[1:], dropped - 1
    return shape


def tflite_case(case: Addition) -> tuple[Graph, np.ndarray, np.ndarray]:
    """The graph of a TFLite file, its input, and what tflite-micro answers.

    A computed operand is a convolution over whole axes that it lacks.
    """
    random, made = np.random.default_rng(case.seed), TfliteModel()
    images, height, width, _ = case.full
    x = made.tensor((images, height, width, 3), np.int8, 0.04, 9)
    made.inputs.append(x)

    def computed(shape: tuple[int, ...]) -> int:
        kernel = [1 if own == size else size for own, size in zip(shape[1:3], (height, width), strict=True)]
        data = random.integers(-127, 128, (shape[3], *kernel, 3), np.int8)
        w = made.tensor(data.shape, np.int8, 0.01, data=data)
        bias = made.tensor((shape[3],), np.int32, 0.0004, data=random.integers(-999, 999, shape[3]).astype(np.int32))
        scale = 0.0004 * 100 * np.sqrt(data[0].size)
        y = made.tensor(shape, np.int8, scale * random.uniform(0.5, 2), int(random.integers(-128, 128)))
        window = {"padding": 1, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
        return made.operator("CONV_2D", [x, w, bias], y, "Conv2DOptions", **window)

    a = computed(case.shape(0))
    shape = _foremost(case.shape(1), case.dropped)
    if case.is_constant:
        data = random.integers(-128, 128, shape, np.int8)
        b = made.tensor(shape, np.int8, random.uniform(0.05, 0.9), int(random.integers(-128, 128)), data=np.array(data))
    else:
        b = computed(case.shape(1))
        if shape != case.shape(1):
            like = made.tensors[b].quantization
            y = made.tensor(shape, np.int8, like.scale[0], like.zeroPoint[0])
            b = made.operator("RESHAPE", [b, made.numbers(shape)], y, "ReshapeOptions", newShape=list(shape))
    largest = max(made.tensors[index].quantization.scale[0] for index in (a, b))
    y = made.tensor(case.full, np.int8, largest * random.uniform(0.3, 3), int(random.integers(-128, 128)))
    operands = [b, a] if case.is_swapped else [a, b]
    options = {"fusedActivationFunction": int(random.integers(4))}
    made.outputs = [made.operator("ADD", operands, y, "AddOptions", **options)]
    data = made.bytes()
    values = random.integers(-128, 128, (images, height, width, 3), np.int8)
    return tflite.load(data, "test"), values, tflm_oracle.run(data, values)


def onnx_case(case: Addition, dtype: type = np.int8) -> tuple[Graph, np.ndarray, np.ndarray]:
    """The graph of an ONNX file, its input, and what ONNX Runtime answers; shapes are NCHW there."""
    random, made = np.random.default_rng(case.seed), QdqModel()
    limits, most = np.iinfo(dtype), oracle.weight_limit()
    images, height, width, _ = case.full
    made.input("x", (images, 3, height, width), dtype)

    def turned(shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[0], shape[3], shape[1], shape[2]

    def integers(shape: tuple[int, ...]) -> np.ndarray:
        return np.array(random.integers(limits.min, limits.max, shape, dtype, endpoint=True))

    x_point = integers(())

    def computed(name: str, shape: tuple[int, ...]) -> str:
        kernel = [1 if own == size else size for own, size in zip(shape[1:3], (height, width), strict=True)]
        data = random.integers(-most, most, (shape[3], 3, *kernel), np.int8, endpoint=True)
        scale, point = np.float32(100 * np.sqrt(data[0].size) * 0.0004 * random.uniform(0.5, 2)), integers(())
        values = {"xs": np.float32(0.04), "xz": x_point, "w": data, "ws": np.float32(0.01), "wz": np.int8(0)}
        names = [made.constant(f"{name}{key}", value) for key, value in (values | {"ys": scale, "yz": point}).items()]
        y = made.node("QLinearConv", ["x", *names], f"{name}_int")
        if name == "b" and _foremost(turned(shape), case.dropped) != turned(shape):
            target = np.array(_foremost(turned(shape), case.dropped), np.int64)
            y = made.node("Reshape", [y, made.constant("b_shape", target)], "b_view")
        return made.dequantise(y, name, scale, point)

    a = computed("a", case.shape(0))
    if case.is_constant:
        shape = _foremost(turned(case.shape(1)), case.dropped)
        integral = made.constant("b_int", integers(shape))
        b = made.dequantise(integral, "b", np.float32(random.uniform(0.05, 0.9)), integers(()))
    else:
        b = computed("b", case.shape(1))
    result = made.node("Add", [b, a] if case.is_swapped else [a, b], "sum")
    result = made.node("Relu", [result], "active") if random.random() < 0.3 else result
    made.quantise(result, made.output("y", dtype), np.float32(random.uniform(0.2, 3)), integers(()))
    data = made.bytes()
    values = integers((images, 3, height, width))
    return onnx.load(data, "test"), values, oracle.run(data, {"x": values})[0]
