"""Folding a requantisation into the layer before it: every sum that can occur, with the reference as the judge."""

import dataclasses

import numpy as np
import pytest
from cimarron.config import PRESETS
from cimarron.isa import Profile
from cimarron_sim.compiler import Place, check, compile
from cimarron_sim.compiler.fold import fold
from cimarron_sim.graph import Graph, Quantization
from cimarron_sim.reference import execute
from random_graphs import Builder, run_on_model

#: Every pair of bytes: with the weights 256 and 1, divided among two and one of them, every sum of 16 bits.
EVERY = np.stack(np.meshgrid(np.arange(-128, 128), np.arange(-128, 128)), axis=-1).reshape(-1, 2).astype(np.int8)


def every_sum(builder: Builder, *, outputs: int = 1) -> Builder:
    """Give the only layer weights with which `EVERY` reaches every sum of 16 bits."""
    name = builder.nodes[0].inputs[1]
    data = np.tile(np.array([[-128, -128, 1]], np.int8), (outputs, 1))
    builder.tensors[name] = dataclasses.replace(builder.tensors[name], data=data, bits=8)
    return builder


def answers(graph: Graph) -> np.ndarray:
    x = np.concatenate([EVERY[:, :1], EVERY], axis=1)
    return execute(graph, {graph.inputs[0]: x})[graph.outputs[0]]


def narrowed(factor: float, y_scale: float, zero_point: int, dtype: type = np.int8) -> Graph:
    """Sums of 32 bits with a scale of their own, narrowed by a requantisation."""
    builder = Builder((len(EVERY), 3)).fully_connected(1, dtype=np.int32, bias=0)
    every_sum(builder)
    sums = builder.last
    builder.tensors[sums] = dataclasses.replace(builder.tensors[sums], quantization=Quantization.per_tensor(factor))
    return builder.requantise(y_scale, dtype, zero_point).graph()


def test_narrowed_sums_are_folded_exactly():
    random = np.random.default_rng(5)
    folded, moved = 0, 0
    for _ in range(30):
        factor, y_scale = np.float32(random.uniform(0.5, 2)), np.float32(random.uniform(50, 600))
        graph = narrowed(float(factor), float(y_scale), int(random.integers(-128, 128)), np.int8)
        folding = fold(graph)
        if not folding.into:
            continue
        (node,) = folding.graph.nodes
        assert folding.into == {graph.nodes[1].name: node.name}
        expected = answers(graph)
        assert np.array_equal(answers(folding.graph), expected)
        folded += 1
        # The scale that comes to mind first is wrong often enough for the search to be worth its while.
        plain = np.full(1, factor / y_scale, np.float32)
        simple = dataclasses.replace(node, attributes={**node.attributes, "scale": plain})
        moved += not np.array_equal(answers(dataclasses.replace(folding.graph, nodes=(simple,))), expected)
    assert folded > 20
    assert moved > 0


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_activation_function_behind_a_layer_becomes_its_clamp(profile, dtype):
    low = 0 if dtype is np.uint8 else -128
    builder = Builder((len(EVERY), 3), profile=profile, seed=3).fully_connected(1, dtype=dtype, zero_point=low + 70)
    every_sum(builder)
    builder.requantise(1.0, dtype, low + 70)
    node = builder.nodes[-1]
    relu6 = {**node.attributes, "clamp_min": low + 70, "clamp_max": low + 200}
    builder.nodes[-1] = dataclasses.replace(node, attributes=relu6)
    graph = builder.graph()
    folding = fold(graph)
    assert len(folding.graph.nodes) == 1
    assert np.array_equal(answers(folding.graph), answers(graph))
    assert {name: folding.graph.nodes[0].attributes[name] for name in ("clamp_min", "clamp_max")} == {
        "clamp_min": low + 70,
        "clamp_max": low + 200,
    }


@pytest.mark.parametrize("profile", list(Profile))
def test_what_rounds_twice_visibly_is_left_alone(profile):
    builder = Builder((len(EVERY), 3), profile=profile, seed=4).fully_connected(1)
    graph = every_sum(builder).requantise(2.7, np.int8, 9).graph()
    folding = fold(graph)
    assert folding.graph is graph
    assert not folding.into


def test_sums_that_somebody_else_reads_are_left_alone():
    graph = narrowed(1.0, 300.0, 3)
    both = dataclasses.replace(graph, outputs=(*graph.outputs, graph.nodes[0].outputs[0]))
    assert not fold(both).into


def test_sums_that_may_wrap_are_left_alone():
    graph = narrowed(1.0, 300.0, 3)
    layer = graph.nodes[0]
    builder = Builder((4, 3)).fully_connected(1, dtype=np.int32, bias=2**31 - 1)
    bias = builder.tensors[builder.nodes[0].inputs[2]]
    bias = dataclasses.replace(bias, data=np.array([2**31 - 1], np.int32))
    wrapping = dataclasses.replace(layer, inputs=(*layer.inputs[:2], bias.name))
    tensors = {**graph.tensors, bias.name: bias}
    assert not fold(dataclasses.replace(graph, tensors=tensors, nodes=(wrapping, graph.nodes[1]))).into


def test_layers_with_a_scale_per_channel_are_exact_on_the_engine():
    folded = 0
    for seed in range(12):
        random = np.random.default_rng(seed)
        builder = Builder((2, 5, 4, 3), seed=seed, zero_point=int(random.integers(-128, 128)))
        builder.conv2d(7, (3, 2), pads=(1, 0, 2, 1), dtype=np.int32, bias=20_000)
        scale = Quantization(np.exp(random.uniform(-9, -7, 7)).astype(np.float32), np.zeros(7, np.int32), 3)
        sums = builder.tensors[builder.last]
        builder.tensors[sums.name] = dataclasses.replace(sums, quantization=scale)
        graph = builder.requantise(0.3, np.int8, -30).graph()
        folding, config, x = fold(graph), PRESETS["tiny"], builder.input()
        if not folding.into:
            # One of the seven channels has no scale.
            continue
        output, _ = run_on_model(compile(graph, config), config, x.tobytes())
        assert output == execute(graph, {graph.inputs[0]: x})[graph.outputs[0]].tobytes()
        verdicts = check(graph, config)
        assert [verdict.place for verdict in verdicts] == [Place.ENGINE] * 2
        assert repr(graph.nodes[0].name) in verdicts[1].reason
        folded += 1
    assert folded >= 4
