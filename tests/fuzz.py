"""Damages models and programs, and sees that they are refused with a sentence, in time and within bounds.

Run as ``python tests/fuzz.py [CASES [SEED]]`` for a long run; what fails stays in ``build/fuzz``. A case is a pure
function of its seed and number. Each batch is a process of its own with a limit on its memory, each case has a limit
on its time: an interpreter that dies is a failure of the case it was busy with.
"""

import contextlib
import json
import resource
import signal
import struct
import subprocess
import sys
import traceback
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from cimarron.config import PRESETS
from cimarron.isa import PROGRAM_HEADER
from cimarron_sim.compiler import CompileError, compile
from cimarron_sim.compiler.image import ProgramError, verify
from cimarron_sim.frontend import ModelError
from cimarron_sim.frontend import onnx as onnx_frontend
from cimarron_sim.frontend import tflite as tflite_frontend
from onnx import TensorProto, numpy_helper
from qdq_model import QdqModel
from tflite_model import TfliteModel

__all__ = ["FAILURES", "case", "complaint", "run_batch"]

ROOT = Path(__file__).parents[1]
TINY = PRESETS["tiny"]

#: Where inputs that fail are kept.
FAILURES = ROOT / "build" / "fuzz"

#: Bytes a process may map and seconds a case may take: both ample for a good model.
MEMORY, SECONDS = 3 << 30, 20

_INTEGERS = (0, 1, -1, 2, 127, -128, 255, 65535, 2**24, 2**30, 2**31 - 1, -(2**31), 2**62, 2**63 - 1, -(2**63))
_FLOATS = (0.0, -0.0, -1.0, float("inf"), float("-inf"), float("nan"), 1e-45, 1e-38, 3.4e38, 1.0)


# What is damaged.


def _tflite() -> TfliteModel:
    rng, made = np.random.default_rng(1), TfliteModel()
    image = made.tensor((1, 6, 5, 3), np.float32)
    x = made.operator("QUANTIZE", [image], made.tensor((1, 6, 5, 3), np.int8, 0.5, 3), "QuantizeOptions")
    w = made.tensor((4, 3, 3, 3), np.int8, [0.25, 0.5, 1, 2], data=rng.integers(-9, 9, (4, 3, 3, 3)).astype(np.int8))
    b = made.tensor((4,), np.int32, [0.125, 0.25, 0.5, 1], data=rng.integers(-99, 99, 4).astype(np.int32))
    window = {"padding": 0, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
    conv = made.operator("CONV_2D", [x, w, b], made.tensor((1, 6, 5, 4), np.int8, 2.0, -4), "Conv2DOptions", **window)
    v = made.tensor((1, 3, 3, 4), np.int8, [0.25] * 4, axis=3, data=rng.integers(-9, 9, (1, 3, 3, 4)).astype(np.int8))
    deep = made.tensor((1, 6, 5, 4), np.int8, 2.0, -4)
    made.operator(
        "DEPTHWISE_CONV_2D", [conv, v, -1], deep, "DepthwiseConv2DOptions", depthMultiplier=1, **window
    )  # fmt: skip
    total = made.tensor((1, 6, 5, 4), np.int8, 2.0, -4)
    made.operator("ADD", [conv, deep], total, "AddOptions", fusedActivationFunction=1)
    padded = made.operator(
        "PAD", [total, made.numbers([[0, 0], [1, 0], [0, 1], [0, 0]])], made.tensor((1, 7, 6, 4), np.int8, 2.0, -4)
    )
    joined = made.tensor((1, 7, 6, 8), np.int8, 2.0, -4)
    made.operator("CONCATENATION", [padded, padded], joined, "ConcatenationOptions", axis=3)
    pool = {"padding": 1, "strideH": 2, "strideW": 2, "filterHeight": 3, "filterWidth": 2}
    peak = made.operator("MAX_POOL_2D", [joined], made.tensor((1, 3, 3, 8), np.int8, 2.0, -4), "Pool2DOptions", **pool)
    mean = made.operator("MEAN", [peak, made.numbers([1, 2])], made.tensor((1, 8), np.int8, 2.0, -4), "ReducerOptions")
    u = made.tensor((5, 8), np.int8, 0.1, data=rng.integers(-8, 8, (5, 8)).astype(np.int8), bits=4)
    scores = made.tensor((1, 5), np.int8, 0.2, 1)
    made.operator("FULLY_CONNECTED", [mean, u, -1], scores, "FullyConnectedOptions")
    y = made.operator("SOFTMAX", [scores], made.tensor((1, 5), np.int8, 1 / 256, -128), "SoftmaxOptions", beta=1.0)
    made.inputs, made.outputs = [image], [y]
    return made


def _qdq() -> QdqModel:
    rng, made = np.random.default_rng(2), QdqModel()
    scale, zero = np.float32(0.5), np.int8(3)
    q = made.quantise(made.input("image", (1, 3, 6, 5)), "x_int", scale, zero)
    w = made.weights("w", rng.integers(-9, 9, (4, 3, 3, 3)).astype(np.int8), np.array([0.25, 0.5, 1, 2], np.float32))
    conv = made.node("Conv", [made.dequantise(q, "x", scale, zero), w], "conv", pads=[1, 1, 1, 1], strides=[1, 1])
    active = made.node("Relu", [conv], "active")
    c = made.dequantise(made.quantise(active, "c_int", scale, zero), "c", scale, zero)
    pool = made.node("MaxPool", [c], "pool", kernel_shape=[2, 2], strides=[2, 2])
    p = made.dequantise(made.quantise(pool, "p_int", scale, zero), "p", scale, zero)
    joined = made.node("Concat", [p, p], "joined", axis=1)
    j = made.dequantise(made.quantise(joined, "j_int", scale, zero), "j", scale, zero)
    padded = made.node("Pad", [j, made.constant("widths", np.array([0, 0, 1, 0, 0, 0, 0, 1], np.int64))], "padded")
    d = made.dequantise(made.quantise(padded, "d_int", scale, zero), "d", scale, zero)
    mean = made.node("GlobalAveragePool", [d], "mean")
    m = made.dequantise(made.quantise(mean, "m_int", scale, zero), "m", scale, zero)
    flat = made.node("Reshape", [m, made.constant("shape", np.array([1, -1], np.int64))], "flat")
    v = made.weights("v", rng.integers(-9, 9, (8, 5)).astype(np.int8), np.float32(0.1))
    dense = made.node("Gemm", [flat, v, made.constant("b", rng.normal(0, 1, 5).astype(np.float32))], "dense")
    s = made.dequantise(made.quantise(dense, "s_int", scale, zero), "s", scale, zero)
    shares = made.node("Softmax", [s], "shares", axis=-1)
    made.dequantise(made.quantise(shares, "y_int", np.float32(1 / 256), np.int8(-128)), made.output("y"), scale, zero)
    last = {"y_s": np.array(1 / 256, np.float32), "y_z": np.array(-128, np.int8)}
    made.constants[-2:] = [numpy_helper.from_array(value, name) for name, value in last.items()]
    return made


def _integer() -> QdqModel:
    rng, made = np.random.default_rng(3), QdqModel()
    made.input("x", (1, 3, 5, 4), np.uint8)
    values = {
        "xs": np.float32(0.1), "xz": np.uint8(9), "w": rng.integers(0, 255, (4, 3, 2, 2)).astype(np.uint8),
        "ws": np.full(4, 0.02, np.float32), "wz": np.full(4, 7, np.uint8), "ys": np.float32(0.5), "yz": np.uint8(100),
        "v": rng.integers(-9, 9, (64, 5)).astype(np.int8), "factor": np.float32(0.01), "shape": np.array([1, 64]),
        "zs": np.float32(0.3), "zz": np.int8(-4),
    }  # fmt: skip
    for name, value in values.items():
        made.constant(name, value)
    conv = made.node("QLinearConv", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"], "c", pads=[0, 0, 0, 1])
    flat = made.node("Reshape", [conv, "shape"], "flat")
    sums = made.node("MatMulInteger", [flat, "v", "yz"], "sums")
    real = made.node("Mul", [made.node("Cast", [sums], "cast", to=1), "factor"], "real")
    made.node("QuantizeLinear", [real, "zs", "zz"], made.output("z", np.int8))
    return made


def _sources() -> list[tuple[str, bytes]]:
    models = [("tflite", _tflite().bytes()), ("onnx", _qdq().bytes()), ("onnx", _integer().bytes())]
    programs = [("program", compile(_load(kind, data), TINY).image) for kind, data in models]
    return models + programs


def _load(kind: str, data: bytes) -> Any:
    return (tflite_frontend if kind == "tflite" else onnx_frontend).load(data, f"model.{kind}")


# How.


def _bits(rng: np.random.Generator, data: bytearray, other: bytes) -> None:
    for place in rng.integers(0, len(data), rng.integers(1, 9)):
        data[place] ^= 1 << int(rng.integers(8))


def _bytes(rng: np.random.Generator, data: bytearray, other: bytes) -> None:
    for place in rng.integers(0, len(data), rng.integers(1, 9)):
        data[place] = int(rng.choice([0, 1, 127, 128, 255, int(rng.integers(256))]))


def _truncate(rng: np.random.Generator, data: bytearray, other: bytes) -> None:
    del data[int(rng.integers(len(data))) :]


def _extremes(rng: np.random.Generator, data: bytearray, other: bytes) -> None:
    for _ in range(rng.integers(1, 5)):
        size, code = ((4, "<i"), (8, "<q"), (4, "<f"))[rng.integers(3)]
        place = int(rng.integers(0, max(1, len(data) - size))) // 4 * 4
        value = rng.choice(_FLOATS) if code == "<f" else int(_INTEGERS[rng.integers(len(_INTEGERS))])
        if code == "<i":
            value = (value + 2**31) % 2**32 - 2**31
        data[place : place + size] = struct.pack(code, value)


def _splice(rng: np.random.Generator, data: bytearray, other: bytes) -> None:
    length = int(rng.integers(1, 200))
    source, target = int(rng.integers(len(other))), int(rng.integers(len(data)))
    data[target : target + (length if rng.random() < 0.5 else 0)] = other[source : source + length]


_DAMAGES: tuple[Callable[[np.random.Generator, bytearray, bytes], None], ...] = (
    _bits, _bytes, _truncate, _extremes, _splice,
)  # fmt: skip


def _any(rng: np.random.Generator, items: Any) -> Any:
    return items[int(rng.integers(len(items)))]


def _wrong_onnx(rng: np.random.Generator, data: bytes) -> bytes:
    """A file that is well formed but contradicts itself."""
    model = onnx.load_model_from_string(data)
    graph = model.graph
    for _ in range(rng.integers(1, 4)):
        node, constant = _any(rng, graph.node), _any(rng, graph.initializer)
        match int(rng.integers(11)):
            case 0:  # a scale, or another number
                array = numpy_helper.to_array(constant).copy()
                value = np.array(_any(rng, _FLOATS if array.dtype.kind == "f" else _INTEGERS)).astype(array.dtype)
                array.reshape(-1)[rng.integers(array.size)] = value
                constant.CopyFrom(numpy_helper.from_array(array, constant.name))
            case 1:  # a cycle, or another operand
                node.input[rng.integers(len(node.input))] = _any(rng, _any(rng, graph.node).output)
            case 2 if constant.dims:
                constant.dims[rng.integers(len(constant.dims))] = _any(rng, _INTEGERS)
            case 3:
                shape = graph.input[0].type.tensor_type.shape
                _any(rng, shape.dim).dim_value = _any(rng, _INTEGERS)
            case 4 if node.attribute:
                attribute = _any(rng, node.attribute)
                if attribute.ints:
                    attribute.ints[rng.integers(len(attribute.ints))] = _any(rng, _INTEGERS)
                else:
                    attribute.i, attribute.f = _any(rng, _INTEGERS), _any(rng, _FLOATS)
            case 5:
                constant.data_type = int(rng.integers(0, 25))
            case 6:
                del graph.node[int(rng.integers(len(graph.node)))]
                if not graph.node:
                    return model.SerializeToString()
            case 7:
                node.op_type = _any(rng, graph.node).op_type
            case 8:
                array = numpy_helper.to_array(constant)
                shape = tuple(int(size) for size in rng.integers(0, 3, rng.integers(0, 5)))
                constant.CopyFrom(numpy_helper.from_array(np.resize(array, shape).astype(array.dtype), constant.name))
            case 9:
                del node.input[rng.integers(len(node.input)) :]
            case _:
                value = _any(rng, [*graph.input, *graph.output])
                value.type.tensor_type.elem_type = _any(rng, [TensorProto.INT8, TensorProto.FLOAT, TensorProto.INT64])
        if not graph.node or not graph.initializer or not all(node.input and node.output for node in graph.node):
            break
    return model.SerializeToString()


def _wrong_tflite(rng: np.random.Generator) -> bytes:
    made = _tflite()
    for _ in range(rng.integers(1, 4)):
        tensor, operator = _any(rng, made.tensors), _any(rng, made.operators)
        number = int(np.clip(_any(rng, _INTEGERS), -(2**31), 2**31 - 1))
        match int(rng.integers(8)):
            case 0 if tensor.shape:
                tensor.shape[rng.integers(len(tensor.shape))] = number
            case 1 if tensor.quantization is not None:
                tensor.quantization.scale[rng.integers(len(tensor.quantization.scale))] = float(_any(rng, _FLOATS))
            case 2 if tensor.quantization is not None:
                tensor.quantization.zeroPoint[0] = int(_any(rng, _INTEGERS))
            case 3:
                operator.inputs[rng.integers(len(operator.inputs))] = int(rng.integers(-2, len(made.tensors) + 2))
            case 4:
                operator.outputs[0] = int(rng.integers(-1, len(made.tensors)))
            case 5 if getattr(operator, "builtinOptions", None) is not None:
                options = operator.builtinOptions
                name = _any(rng, [name for name, value in vars(options).items() if isinstance(value, int | float)])
                is_small = name in ("padding", "fusedActivationFunction", "weightsFormat")
                setattr(options, name, number % 128 if is_small else number)
            case 6:
                tensor.type = int(rng.integers(0, 19))
            case _:
                made.codes[operator.opcodeIndex].builtinCode = int(rng.integers(0, 127))
                made.codes[operator.opcodeIndex].deprecatedBuiltinCode = 0
    return made.bytes()


def case(seed: int, number: int, sources: list[tuple[str, bytes]]) -> tuple[str, bytes]:
    """What is damaged, ``"tflite"``, ``"onnx"`` or ``"program"``, and its bytes."""
    rng = np.random.default_rng([seed, number])
    kind, data = sources[number % len(sources)]
    other = _any(rng, sources)[1]
    if kind != "program" and rng.random() < 0.6:
        # What cannot even be written is left as it was.
        with contextlib.suppress(IndexError, KeyError, OverflowError, TypeError, ValueError, struct.error):
            data = _wrong_tflite(rng) if kind == "tflite" else _wrong_onnx(rng, data)
        if rng.random() < 0.9:
            return kind, data
    damaged = bytearray(data)
    for _ in range(rng.integers(1, 3)):
        if damaged:
            _any(rng, _DAMAGES)(rng, damaged, other)
    if kind == "program" and rng.random() < 0.7 and len(damaged) >= 64:
        _reseal(damaged)
    return kind, bytes(damaged)


def _reseal(image: bytearray) -> None:
    """Make size and CRC of a damaged program right, so that what is checked behind them is reached."""
    struct.pack_into("<I", image, 4 * PROGRAM_HEADER.index("image_bytes"), len(image))
    place = 4 * PROGRAM_HEADER.index("crc32")
    struct.pack_into("<I", image, place, zlib.crc32(image[place + 4 :]))


# What comes of it.


def complaint(kind: str, data: bytes) -> str:
    """Empty if the input is accepted, or refused as it should be; otherwise what is wrong with the answer."""
    try:
        if kind == "program":
            verify(data, TINY)
        else:
            compile(_load(kind, data), TINY)
    except (ModelError, CompileError, ProgramError) as error:
        sentence = str(error)
        if "\n" in sentence or not 10 < len(sentence) < 5000:
            return f"no sentence: {sentence!r:.200}"
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if "cimarron" in frame.filename]
        place = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
        return f"{type(error).__name__}: {str(error)[:160]} at {place} ({Path(where.filename).name}:{where.lineno})"
    return ""


def _late(number: int, frame: Any) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


def _worker(seed: int, first: int, count: int) -> None:
    """Run cases; one line of JSON before each, and one behind it if it fails."""
    sources = _sources()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, _late)
    warnings.simplefilter("error")
    for number in range(first, first + count):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind, data = case(seed, number, sources)
        print(json.dumps({"case": number}), flush=True)
        signal.alarm(SECONDS)
        answer = complaint(kind, data)
        signal.alarm(0)
        if answer:
            FAILURES.mkdir(parents=True, exist_ok=True)
            (FAILURES / f"{seed}-{number}.{kind}").write_bytes(data)
            print(json.dumps({"case": number, "kind": kind, "complaint": answer}), flush=True)


def run_batch(seed: int, first: int, count: int) -> list[str]:
    """Failures among so many cases, run in a process of their own."""
    failures: list[str] = []
    end = first + count
    while first < end:
        command = [sys.executable, str(Path(__file__)), "--worker", str(seed), str(first), str(end - first)]
        limit = 120 + SECONDS * (end - first)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit, cwd=ROOT)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        if not lines:
            raise RuntimeError(f"no case was run: {done.stderr[-2000:]}")
        failures += [f"{line['kind']} case {line['case']}: {line['complaint']}" for line in lines if "kind" in line]
        if done.returncode == 0:
            break
        last = lines[-1]["case"]
        failures.append(f"case {last}: the interpreter ended with {done.returncode}: {done.stderr[-300:]}")
        first = last + 1
    return failures


def main() -> None:
    """Run many cases, in batches."""
    if sys.argv[1:2] == ["--worker"]:
        _worker(*(int(argument) for argument in sys.argv[2:5]))
        return
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    failed = 0
    for first in range(0, cases, 500):
        failures = run_batch(seed, first, min(500, cases - first))
        failed += len(failures)
        print(f"{min(first + 500, cases)} of {cases} cases, {failed} failures", *failures, sep="\n", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
