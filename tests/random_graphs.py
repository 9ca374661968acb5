"""Networks made up for tests, and how a program runs on the engine's model."""

import struct
from dataclasses import dataclass

import numpy as np
from cimarron.config import SocConfig
from cimarron.isa import JOB_BYTES, JOB_WORDS, PROGRAM_HEADER, PROGRAM_OFFSET, RAM_BASE, Profile, Step
from cimarron_sim.compiler import Program
from cimarron_sim.compiler.program import Activation
from cimarron_sim.graph import Graph, Node, Quantization, Tensor
from cpu_model import compute
from hypothesis import strategies as st
from numpy.typing import DTypeLike
from tblib.engine_model import EngineModel

__all__ = ["Builder", "Snapshot", "layers", "run_on_model"]


@dataclass(frozen=True)
class Snapshot:
    """Activation buffer, and main memory from the image on, after a job or a step of the CPU."""

    activations: bytes
    memory: bytes

    def stored(self, tensor: Activation) -> bytes:
        """What is where a tensor lies."""
        return (self.memory if tensor.is_spilled else self.activations)[tensor.address :][: tensor.nbytes]


def run_on_model(program: Program, config: SocConfig, data: bytes) -> tuple[bytes, list[Snapshot]]:
    """Run a program's steps on the engine's model.

    Returns
    -------
    output : bytes
        What the program leaves at its output offset.
    snapshots : list of Snapshot
        After each job and each step of the CPU.
    """
    header = dict(zip(PROGRAM_HEADER, struct.unpack_from("<16I", program.image), strict=True))
    memory = bytearray(config.ram_bytes - PROGRAM_OFFSET)
    memory[: len(program.image)] = program.image
    memory[header["input_offset"] : header["input_offset"] + len(data)] = data
    engine = EngineModel(config.engine, memory, RAM_BASE + PROGRAM_OFFSET)
    engine.activations[:] = b"\xa5" * len(engine.activations)
    memory[header["output_offset"] :] = b"\x5a" * (len(memory) - header["output_offset"])
    snapshots = []
    offset = header["steps_offset"]
    while True:
        first = int.from_bytes(memory[offset : offset + 4], "little")
        words = struct.unpack_from(f"<{(first >> 16) - 1}I", memory, offset + 4)
        offset += first >> 16 << 2
        match Step(first & 0xFF):
            case Step.JOBS:
                first, jobs = words
                for at in range(first, first + jobs * JOB_BYTES, JOB_BYTES):
                    assert at % config.engine.port_bytes == 0
                    engine.execute(struct.unpack_from(f"<{JOB_WORDS}I", memory, at))
                    snapshots.append(Snapshot(bytes(engine.activations), bytes(memory)))
            case Step.END:
                break
            case kind:
                compute(kind, words, engine.activations, bytes(memory))
                snapshots.append(Snapshot(bytes(engine.activations), bytes(memory)))
    output = header["output_offset"]
    return bytes(memory[output : output + header["output_bytes"]]), snapshots


class Builder:
    """Puts a graph together, layer by layer, with random contents.

    Parameters
    ----------
    shape : tuple of int
        Of the input.
    dtype : numpy dtype
    zero_point : int
    profile : Profile
    seed : int
    scale : float
        Of the input.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: DTypeLike = np.int8, zero_point: int = 0,
        profile: Profile = Profile.ONNX, seed: int = 0, scale: float = 1.0,
    ):  # fmt: skip
        self.random = np.random.default_rng(seed)
        self.profile = profile
        self.tensors = {}
        self.nodes = []
        self.last = self._tensor("x", shape, dtype, zero_point, scale=scale)

    def _tensor(self, name, shape, dtype, zero_point=0, data=None, bits=None, scale=1.0):
        quantization = None if np.dtype(dtype) == np.int32 else Quantization.per_tensor(scale, zero_point)
        self.tensors[name] = Tensor(name, shape, np.dtype(dtype), quantization, data, bits)
        return name

    def _operate(self, op, out_shape, weights, bits, dtype, zero_point, clamp, bias, attributes, name):
        random, depth = self.random, int(np.prod(weights[1:]))
        name = name or f"layer{len(self.nodes)}"
        limit = 2 ** (bits - 1)
        values = random.integers(-limit, limit, weights, np.int8)
        inputs = [self.last, self._tensor(f"{name}.w", weights, np.int8, data=values, bits=bits)]
        if bias:
            values = random.integers(-bias, bias, weights[0], np.int32, endpoint=True)
            inputs.append(self._tensor(f"{name}.b", (weights[0],), np.int32, data=values))
        attributes = dict(attributes)
        if np.dtype(dtype) != np.int32:
            limits = np.iinfo(dtype)
            attributes |= dict(zip(("clamp_min", "clamp_max"), clamp or (limits.min, limits.max), strict=True))
            # Sums are about 74 * limit / sqrt(3) * sqrt(depth) wide: spread them over the output's range.
            real = random.uniform(0.3, 3, weights[0]) / (limit * np.sqrt(depth))
            if self.profile is Profile.ONNX:
                attributes["scale"] = real.astype(np.float32)
            else:
                fraction, exponent = np.frexp(real)
                attributes["multiplier"] = np.round(fraction * (2**31 - 1)).astype(np.int32)
                attributes["shift"] = exponent.astype(np.int32)
        y = self._tensor(f"{name}.y", out_shape, dtype, zero_point)
        self.nodes.append(Node(name, op, tuple(inputs), (y,), attributes))
        self.last = y
        return self

    def fully_connected(
        self, outputs, *, bits=8, dtype: DTypeLike = np.int8, zero_point=0, clamp=None, bias=5000, name=None
    ):
        """Append a fully connected layer."""
        count, depth = self.tensors[self.last].shape
        weights = (outputs, depth)
        return self._operate(
            "fully_connected", (count, outputs), weights, bits, dtype, zero_point, clamp, bias, {}, name
        )

    def conv2d(
        self, outputs, kernel, *, stride=(1, 1), dilation=(1, 1), pads=(0, 0, 0, 0), bits=8, dtype: DTypeLike = np.int8,
        zero_point=0, clamp=None, bias=5000, name=None,
    ):  # fmt: skip
        """Append a convolution."""
        images, *size, channels = self.tensors[self.last].shape
        spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        padded = size[0] + pads[0] + pads[2], size[1] + pads[1] + pads[3]
        out = [(p - span) // s + 1 for p, span, s in zip(padded, spans, stride, strict=True)]
        attributes = {"stride": stride, "dilation": dilation, "pads": pads}
        weights = (outputs, *kernel, channels)
        shape = (images, *out, outputs)
        return self._operate("conv2d", shape, weights, bits, dtype, zero_point, clamp, bias, attributes, name)

    def depthwise_conv2d(
        self, multiplier, kernel, *, stride=(1, 1), dilation=(1, 1), pads=(0, 0, 0, 0), bits=8,
        dtype: DTypeLike = np.int8, zero_point=0, clamp=None, bias=5000, name=None,
    ):  # fmt: skip
        """Append a depthwise convolution of ``multiplier`` outputs per channel."""
        images, *size, channels = self.tensors[self.last].shape
        spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        padded = size[0] + pads[0] + pads[2], size[1] + pads[1] + pads[3]
        out = [(p - span) // s + 1 for p, span, s in zip(padded, spans, stride, strict=True)]
        attributes = {"stride": stride, "dilation": dilation, "pads": pads}
        outputs = channels * multiplier
        shape, weights = (images, *out, outputs), (outputs, *kernel)
        return self._operate("depthwise_conv2d", shape, weights, bits, dtype, zero_point, clamp, bias, attributes, name)

    def _plain(self, op, inputs, shape, dtype, zero_point, scale, **attributes):
        """Append an operator without weights; clamps leave out a few values."""
        name = f"layer{len(self.nodes)}"
        clamps = {} if op in ("mean", "softmax") else self._clamps(dtype)
        y = self._tensor(f"{name}.y", shape, dtype, zero_point, scale=scale)
        self.nodes.append(Node(name, op, inputs, (y,), {**clamps, **attributes}))
        self.last = y
        return self

    @staticmethod
    def _clamps(dtype):
        limits = np.iinfo(dtype)
        return {"clamp_min": limits.min + 3, "clamp_max": limits.max - 3}

    def _scaling(self, *reals):
        """Scaling of an operator without weights: that of profile ONNX is in its tensors."""
        if self.profile is Profile.ONNX:
            return {}
        fraction, shift = np.frexp(np.array(reals if len(reals) > 1 else reals[0]))
        multiplier = np.round(fraction * (2**31 - 1)).astype(np.int32)
        return {"multiplier": multiplier, "shift": shift.astype(np.int32)}

    def average_pool(self, kernel, stride, pads=(0, 0, 0, 0), scale=None):
        """Append an average pool, of the input's scale if it has none of its own."""
        x = self.tensors[self.last]
        padded = x.shape[1] + pads[0] + pads[2], x.shape[2] + pads[1] + pads[3]
        out = [(size - k) // s + 1 for size, k, s in zip(padded, kernel, stride, strict=True)]
        shape, scale = (x.shape[0], *out, x.shape[3]), scale or float(x.quantization.scale)
        attributes = {"kernel": kernel, "stride": stride, "pads": pads}
        return self._plain("average_pool", (self.last,), shape, x.dtype, x.zero_point, scale, **attributes)

    def mean(self, dtype: DTypeLike = np.int8, zero_point=0, axes=(1, 2)):
        """Append a mean over the pixels, or other axes, to half the scale."""
        x = self.tensors[self.last]
        shape = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
        scaling = self._scaling(2.0)
        if self.profile is Profile.ONNX:
            count = np.prod([x.shape[axis] for axis in axes])
            scaling = {"scale": np.float32(x.quantization.scale / (0.5 * count)), **self._clamps(dtype)}
        return self._plain("mean", (self.last,), shape, dtype, zero_point, 0.5, axes=axes, **scaling)

    def real_mean(self, scale, dtype: DTypeLike = np.int8, zero_point=0):
        """Append a mean of real numbers over the pixels."""
        x = self.tensors[self.last]
        return self._plain("real_mean", (self.last,), (x.shape[0], 1, 1, x.shape[3]), dtype, zero_point, scale)

    def requantise(self, scale, dtype: DTypeLike = np.int8, zero_point=0):
        """Append a requantisation."""
        x = self.tensors[self.last]
        scaling = self._scaling(1 / scale)
        return self._plain("requantise", (self.last,), x.shape, dtype, zero_point, scale, **scaling)

    def constant(self, shape, dtype: DTypeLike = np.int8, zero_point=0, scale=1.0):
        """The name of a constant of random contents."""
        limits = np.iinfo(dtype)
        data = self.random.integers(limits.min, limits.max, shape, dtype, endpoint=True)
        return self._tensor(f"constant{len(self.tensors)}", shape, dtype, zero_point, data, scale=scale)

    def add(self, other, scale, dtype: DTypeLike = np.int8, zero_point=0):
        """Append the sum of the last tensor and another, or a constant: their shapes broadcast."""
        a, b = (self.tensors[name] for name in (self.last, other))
        s_a, s_b = (float(tensor.quantization.scale) for tensor in (a, b))
        twice = 2 * max(s_a, s_b)
        scaling = self._scaling(s_a / twice, s_b / twice, twice / (2**20 * scale))
        shape = np.broadcast_shapes(a.shape, b.shape)
        return self._plain("add", (self.last, other), shape, dtype, zero_point, scale, **scaling)

    def max_pool(self, kernel, stride, pads=(0, 0, 0, 0)):
        """Append a maximum pool."""
        x = self.tensors[self.last]
        padded = x.shape[1] + pads[0] + pads[2], x.shape[2] + pads[1] + pads[3]
        out = [(size - k) // s + 1 for size, k, s in zip(padded, kernel, stride, strict=True)]
        shape, scale = (x.shape[0], *out, x.shape[3]), float(x.quantization.scale)
        attributes = {"kernel": kernel, "stride": stride, "pads": pads}
        return self._plain("max_pool", (self.last,), shape, x.dtype, x.zero_point, scale, **attributes)

    def pad(self, pads, value):
        """Append a border."""
        x = self.tensors[self.last]
        shape = tuple(size + low + high for size, (low, high) in zip(x.shape, pads, strict=True))
        attributes = {"pads": pads, "value": value}
        return self._plain("pad", (self.last,), shape, x.dtype, x.zero_point, float(x.quantization.scale), **attributes)

    def concat(self, others, axis):
        """Append the last tensor and others, one behind the other."""
        names = (self.last, *others)
        x, shapes = self.tensors[self.last], [self.tensors[name].shape for name in names]
        shape = [sum(sizes) if i == axis else sizes[0] for i, sizes in enumerate(zip(*shapes, strict=True))]
        return self._plain("concat", names, tuple(shape), x.dtype, x.zero_point, 1.0, axis=axis)

    def softmax(self, dtype: DTypeLike = np.int8, step=1 / 256):
        """Append a softmax, whose shares count steps."""
        x = self.tensors[self.last]
        scale, lowest = float(x.quantization.scale), int(np.iinfo(dtype).min)
        scaling = self._scaling(scale * 2**26)
        return self._plain("softmax", (self.last,), x.shape, dtype, lowest, step, **scaling)

    def flatten(self):
        """Append a reshape to (images, values)."""
        tensor = self.tensors[self.last]
        images = tensor.shape[0]
        y = self._tensor(f"flat{len(self.nodes)}", (images, tensor.size // images), tensor.dtype, tensor.zero_point)
        self.nodes.append(Node(y, "reshape", (self.last,), (y,)))
        self.last = y
        return self

    def graph(self, model_hash="00c0ffee" * 8) -> Graph:
        """The graph from the input to the last tensor."""
        return Graph("made-up", self.tensors, tuple(self.nodes), ("x",), (self.last,), self.profile, model_hash)

    def input(self) -> np.ndarray:
        """A random input."""
        tensor = self.tensors["x"]
        limits = np.iinfo(tensor.dtype)
        return self.random.integers(limits.min, limits.max, tensor.shape, tensor.dtype, endpoint=True)


@st.composite
def _formats(draw):
    dtype = draw(st.sampled_from([np.int8, np.uint8]))
    limits = np.iinfo(dtype)
    return dtype, draw(st.integers(int(limits.min), int(limits.max)))


@st.composite
def _output(draw):
    dtype, zero_point = draw(_formats())
    limits = np.iinfo(dtype)
    clamp = draw(st.sampled_from([None, (zero_point, int(limits.max)), (zero_point, min(zero_point + 60, limits.max))]))
    output = {"dtype": dtype, "zero_point": zero_point, "clamp": clamp}
    if draw(st.integers(0, 5)) == 0:
        output = {"dtype": np.int32}
    return output | {"bits": draw(st.sampled_from([4, 8])), "bias": draw(st.sampled_from([0, 4000, 2**31 - 1]))}


@st.composite
def layers(draw, max_image: int = 7, max_depth: int = 70) -> Builder:
    """One random layer: a `Builder` that holds it."""
    dtype, zero_point = draw(_formats())
    profile = draw(st.sampled_from(list(Profile)))
    seed = draw(st.integers(0, 2**32 - 1))
    images = draw(st.integers(1, 2))
    outputs = draw(st.integers(1, 11))
    if draw(st.booleans()):
        shape = (draw(st.integers(1, 5)), draw(st.integers(1, max_depth)))
        return Builder(shape, dtype, zero_point, profile, seed).fully_connected(outputs, **draw(_output()))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 3)))
    pads = draw(st.tuples(*[st.integers(0, 2)] * 4))
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    height = draw(st.integers(max(1, spans[0] - pads[0] - pads[2]), max_image))
    width = draw(st.integers(max(1, spans[1] - pads[1] - pads[3]), max_image))
    shape = (images, height, width, draw(st.integers(1, 6)))
    window = {"stride": stride, "dilation": dilation, "pads": pads}
    builder = Builder(shape, dtype, zero_point, profile, seed)
    if draw(st.booleans()):
        return builder.depthwise_conv2d(draw(st.integers(1, 3)), kernel, **window, **draw(_output()))
    return builder.conv2d(outputs, kernel, **window, **draw(_output()))
