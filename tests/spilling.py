"""Random networks that an activation buffer is too small for."""

import dataclasses
from random import Random

import numpy as np
from cimarron.config import PRESETS, SocConfig
from cimarron.isa import Profile
from cimarron_sim.compiler import CompileError
from cimarron_sim.compiler.compile import compile
from cimarron_sim.compiler.plan import plan_network
from cimarron_sim.compiler.program import Program
from cimarron_sim.graph import Graph
from random_graphs import Builder

__all__ = ["assert_nothing_overlaps", "random_network", "small_buffer", "smallest_buffer"]


def small_buffer(act_buffer_bytes: int, config: SocConfig = PRESETS["tiny"]) -> SocConfig:
    """The configuration with another activation buffer."""
    return dataclasses.replace(config, engine=dataclasses.replace(config.engine, act_buffer_bytes=act_buffer_bytes))


def smallest_buffer(graph: Graph, most: int) -> tuple[SocConfig, Program] | None:
    """The smallest buffer, below ``most`` bytes, with which the network runs; None if there is none."""
    size = 256
    while size < most:
        config = small_buffer(size)
        try:
            return config, compile(graph, config)
        except CompileError:
            size *= 2
    return None


def assert_nothing_overlaps(graph: Graph, config: SocConfig) -> None:
    """Tensors, and parts of those in memory, have bytes of their own in every step that needs them."""
    _, plan = plan_network(graph, config.engine)
    for step in range(len(plan.order.steps)):
        parts = [
            (plan.addresses[buffer.name], buffer.size)
            for buffer in plan.order.buffers
            if buffer.name in plan.addresses and buffer.first <= step <= buffer.last
        ]
        parts += plan.stripes[step].slots.values() if step in plan.stripes else ()
        parts.sort()
        ends = [address + size for address, size in parts]
        assert all(end <= start for end, (start, _) in zip(ends, parts[1:], strict=False)), f"step {step}: {parts}"
        assert all(end <= config.engine.act_buffer_bytes for end in ends)


def _window(random: Random, size: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Kernel and stride."""
    return tuple(random.randrange(1, min(3, side) + 1) for side in size), tuple(random.randrange(1, 3) for _ in size)


def _append(builder: Builder, random: Random) -> None:
    """One more operator."""
    shape = builder.tensors[builder.last].shape
    images, height, width, channels = shape
    zero_point = random.randrange(-20, 20)
    kind = random.choice(("conv", "conv", "depthwise", "depthwise", "pool", "max", "add", "concat", "pad", "scale"))
    kernel, stride = _window(random, (height, width))
    pads = tuple(random.randrange(0, side) for side in (*kernel, *kernel))
    out = [
        (side + low + high - k) // s + 1
        for side, low, high, k, s in zip((height, width), pads, pads[2:], kernel, stride, strict=False)
    ]
    if kind == "conv":
        outputs = random.randrange(1, 12)
        same = random.random() < 0.5
        builder.conv2d(
            outputs, (3, 3) if same else kernel, stride=(1, 1) if same else stride,
            pads=(1, 1, 1, 1) if same else pads, zero_point=zero_point,
        )  # fmt: skip
    elif kind == "depthwise":
        multiplier = random.choice((1, 1, 2)) if channels < 8 else 1
        builder.depthwise_conv2d(multiplier, kernel, stride=stride, pads=pads, zero_point=zero_point)
    elif kind == "pool":
        builder.average_pool(kernel, stride)
    elif kind == "max" and min(out) > 0:
        builder.max_pool(kernel, stride, pads=pads)
    elif kind in ("add", "concat"):
        before = builder.last
        scale = float(builder.tensors[before].quantization.scale)
        other = builder.conv2d(channels, (1, 1), zero_point=zero_point).last
        builder.tensors[other] = dataclasses.replace(
            builder.tensors[other], quantization=builder.tensors[before].quantization
        )
        if kind == "add":
            builder.add(before, 2 * scale)
        elif images * height * width * channels < 2000:
            builder.concat((before,), random.choice((1, 3, 3)))
    elif kind == "pad" and images * height * width * channels < 1500:
        builder.pad([(0, 0), *((random.randrange(3), random.randrange(3)) for _ in range(2)), (0, 0)], zero_point)
    elif kind == "scale":
        builder.requantise(float(builder.tensors[builder.last].quantization.scale) * random.uniform(0.6, 2))


def random_network(seed: int, operators: int = 6) -> Graph:
    """A network whose tensors have some hundred bytes each, sometimes with skip connections, and its random input."""
    random = Random(seed)
    shape = (random.choice((1, 1, 2)), random.randrange(5, 15), random.randrange(5, 12), random.randrange(1, 8))
    profile = random.choice(list(Profile))
    builder = Builder(shape, np.int8, random.randrange(-20, 20), profile, seed)
    for _ in range(operators):
        _append(builder, random)
    if random.random() < 0.5:
        builder.flatten()
        if builder.tensors[builder.last].shape[1] < 120:
            builder.softmax()
    return builder.graph()
