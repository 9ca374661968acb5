"""Additions of tensors whose shapes differ, and of constants: against both oracles, in small buffers, on the RTL."""

import dataclasses

import numpy as np
import pytest
from addition_models import additions, onnx_case, tflite_case
from cimarron.config import PRESETS, SocConfig
from cimarron.isa import Profile
from cimarron_sim.compiler import CompileError, Place, Program, check, compile
from cimarron_sim.compiler.explain import movements
from cimarron_sim.compiler.plan import plan_network
from cimarron_sim.compiler.predict import predict
from cimarron_sim.graph import Graph
from cimarron_sim.reference.execute import execute
from cimarron_sim.runner.compare import compare_inference
from cimarron_sim.runner.simulation import Simulation
from hypothesis import given, settings
from random_graphs import Builder, run_on_model
from spilling import assert_nothing_overlaps, small_buffer, smallest_buffer

CONFIG = PRESETS["tiny"]
PROFILES = pytest.mark.parametrize("profile", list(Profile))
FUZZ = settings(max_examples=80, deadline=None, derandomize=True)

IMAGE = (2, 4, 3, 5)

#: Shapes that broadcast to the image's: by repeating runs, in each image or all; by copies.
SHAPES = [(1, 1, 1, 5), (5,), (2, 1, 1, 5), (2, 4, 3, 1), (1, 3, 5), (2, 1, 3, 5), (1, 1), (), (4, 1, 1)]
SHAPES += [(1, 4, 1, 5), (1, 4, 3, 1), (2, 4, 1, 1), (4, 3, 5)]
COPIED = [(2, 1, 3, 1), (3, 1)]

#: Scales of both operands and of the sum. Of the last ones some sums lie on halves, which float32 scatters.
SCALES = (0.0313, 0.0172, 0.0408)
SCATTERED = (0.0371, 0.0371, 0.0742)


def view(builder: Builder, shape: tuple[int, ...]) -> str:
    """The last tensor in another shape."""
    x, name = builder.tensors[builder.last], f"view{len(builder.nodes)}"
    builder.flatten()
    builder.nodes[-1] = dataclasses.replace(builder.nodes[-1], name=name, outputs=(name,))
    builder.tensors[name] = dataclasses.replace(x, name=name, shape=shape)
    builder.last = name
    return name


def sum_of(a: tuple[int, ...], b: tuple[int, ...], profile: Profile, scales=SCALES) -> Builder:
    """The sum of two tensors of the given shapes, each the output of a layer."""
    builder = Builder((1, 4, 5, 3), np.int8, -3, profile, seed=len(b))
    operands = []
    for shape, scale, zero_point in ((a, scales[0], -33), (b, scales[1], 14)):
        builder.last = "x"
        builder.flatten().fully_connected(int(np.prod(shape)), zero_point=5).requantise(scale, np.int8, zero_point)
        operands.append(view(builder, shape))
    builder.last = operands[0]
    return builder.add(operands[1], scales[2], np.int8, 7)


def with_constant(shape: tuple[int, ...], profile: Profile, scales=SCALES) -> Builder:
    """The sum of an image and a constant."""
    builder = Builder(IMAGE, np.int8, -33, profile, seed=len(shape), scale=scales[0])
    return builder.add(builder.constant(shape, np.int8, 14, scales[1]), scales[2], np.int8, 7)


def between_layers(seed: int, profile: Profile) -> Graph:
    """Convolutions with additions of constants and of smaller tensors between them, in batches of two."""
    builder = Builder((2, 6, 5, 4), np.int8, -33, profile, seed, SCALES[0])
    builder.add(builder.constant((4,), np.int8, 14, SCALES[1]), SCALES[2], np.int8, 7)
    image = builder.conv2d(4, (3, 3), pads=(1, 1, 1, 1), zero_point=-8).last
    small = builder.average_pool((6, 5), (1, 1)).last
    builder.last = image
    builder.add(small, 1.7, np.int8, 3).depthwise_conv2d(1, (3, 3), zero_point=4)
    builder.add(builder.constant((4, 1, 4), np.int8, 3, 0.4), 1.3, np.int8, -5)
    line = builder.max_pool((1, 3), (1, 1)).last
    builder.add(builder.constant((1, 1, 3, 1), np.int8, 9, 0.8), 1.9, np.int8, 5)
    builder.add(line, 2.1, np.int8, 1).add(builder.constant((), np.int8, -4, 0.3), 2.2)
    return builder.add(builder.constant((2, 4, 3, 4), np.int8, -4, 0.7), 2.9).graph()


def assert_exact(graph: Graph, program: Program, config: SocConfig, x: np.ndarray) -> None:
    """Every tensor is what the reference says; those that only the compiler knows are not among them."""
    (source,), (target,) = graph.inputs, graph.outputs
    expected = execute(graph, {source: x})
    output, snapshots = run_on_model(program, config, x.tobytes())
    assert [layer.output.tensor for layer in program.layers if layer.op == "add"] == [
        node.outputs[0] for node in graph.nodes if node.op == "add"
    ]
    for layer in program.layers:
        got = layer.output.array(snapshots[layer.last_job].stored(layer.output))
        np.testing.assert_array_equal(got, expected[layer.output.tensor], err_msg=layer.name)
    np.testing.assert_array_equal(program.output.array(output), expected[target])


def assert_runs(builder: Builder, *, on: Place = Place.ENGINE, copies: int = 0) -> None:
    graph = builder.graph()
    assert check(graph, CONFIG)[-1].place is on
    assert len(plan_network(graph, CONFIG.engine)[1].copies) == copies
    assert_exact(graph, compile(graph, CONFIG), CONFIG, builder.input())


@PROFILES
@pytest.mark.parametrize("shape", SHAPES)
def test_repeated_runs_are_read_where_they_lie(shape, profile):
    assert_runs(sum_of(IMAGE, shape, profile))
    assert_runs(sum_of(shape, IMAGE, profile))


@PROFILES
@pytest.mark.parametrize("shape", COPIED)
def test_axes_apart_from_each_other_are_copied(shape, profile):
    assert_runs(sum_of(IMAGE, shape, profile), copies=1)
    assert_runs(sum_of(shape, IMAGE, profile), copies=1)


@PROFILES
@pytest.mark.parametrize(
    ("a", "b", "copies"),
    [((3, 6, 1), (7,), 1), ((3, 1, 7), (3, 6, 1), 1), ((3, 1, 1), (1, 6, 7), 1), ((6, 1, 2), (1, 4, 1), 2)],
)
def test_neither_operand_needs_the_shape_of_the_sum(a, b, copies, profile):
    assert_runs(sum_of(a, b, profile), copies=copies)


@pytest.mark.parametrize("shape", [*SHAPES, *COPIED, IMAGE])
def test_sums_that_tables_do_not_give_are_computed_by_the_cpu(shape):
    axes = sum(own < size for own, size in zip((1,) * (4 - len(shape)) + shape, IMAGE, strict=True))
    assert_runs(sum_of(IMAGE, shape, Profile.ONNX, SCATTERED), on=Place.CPU, copies=axes)
    # With a single constant the sum is a function of one byte, wherever its halves lie.
    place = Place.ENGINE if int(np.prod(shape)) == 1 else Place.CPU
    assert_runs(with_constant(shape, Profile.ONNX, SCATTERED), on=place)


@PROFILES
@pytest.mark.parametrize("shape", [*SHAPES, *COPIED, IMAGE, (1, 4, 3, 5)])
def test_constants_are_added(shape, profile):
    assert_runs(with_constant(shape, profile))


def test_a_constant_for_each_channel_is_loaded_once_not_for_each_pixel():
    builder = Builder((1, 30, 30, 16), profile=Profile.TFLM, scale=SCALES[0])
    builder.add(builder.constant((16,), scale=SCALES[1]), SCALES[2])
    (row,) = movements(compile(builder.graph(), PRESETS["default"]))
    assert (row.tensors, row.loaded, row.stripes) == (("layer0:constant1",), 16, 1)


def test_what_two_additions_share_is_loaded_for_each():
    builder = Builder((1, 5, 3), profile=Profile.TFLM, scale=SCALES[0])
    constant = builder.constant((5, 3), np.int8, 14, SCALES[1])
    builder.add(constant, SCALES[2]).add(constant, 2 * SCALES[2])
    assert len(movements(compile(builder.graph(), CONFIG))) == 2
    assert_runs(builder)


@FUZZ
@given(additions())
def test_any_shapes_equal_tflite_micro(case):
    graph, values, expected = tflite_case(case)
    assert_equal_to_oracle(graph, values, expected)


@FUZZ
@given(additions())
def test_any_shapes_equal_onnx_runtime(case):
    graph, values, expected = onnx_case(case, np.uint8 if case.seed % 2 else np.int8)
    assert_equal_to_oracle(graph, values, expected)


def assert_equal_to_oracle(graph: Graph, values: np.ndarray, expected: np.ndarray) -> None:
    """Reference and program answer what the oracle does."""
    (source,), (target,) = graph.inputs, graph.outputs
    x = graph.encode(source, values)
    np.testing.assert_array_equal(graph.decode(target, execute(graph, {source: x})[target]), expected)
    assert_exact(graph, compile(graph, CONFIG), CONFIG, x)


@PROFILES
@pytest.mark.parametrize("seed", range(4))
def test_additions_between_layers_are_exact_in_the_smallest_buffer(profile, seed):
    graph = between_layers(seed, profile)
    found = smallest_buffer(graph, 1 << 16)
    assert found is not None
    config, program = found
    assert any(layer.output.is_spilled for layer in program.layers if layer.op == "add")
    x = np.random.default_rng(seed).integers(-128, 128, graph.tensors["x"].shape, np.int8)
    for size in (config.engine.act_buffer_bytes, 2048, 1 << 14):
        config = small_buffer(size)
        program = compile(graph, config)
        assert_exact(graph, program, config, x)
        assert_nothing_overlaps(graph, config)


@pytest.mark.parametrize("act_buffer_bytes", [256, 1 << 14])
def test_check_counts_the_jobs_of_the_program(act_buffer_bytes):
    config = small_buffer(act_buffer_bytes)
    for graph in (between_layers(0, Profile.TFLM), sum_of((1, 4, 1, 5), IMAGE, Profile.TFLM).graph()):
        program = compile(graph, config)
        counted = {verdict.name: verdict for verdict in check(graph, config, plan_network(graph, config.engine)[1])}
        ends = [layer.last_job + 1 for layer in program.layers]
        for layer, jobs in zip(program.layers, np.diff([0, *ends]).tolist(), strict=True):
            if layer.name in counted:
                assert counted[layer.name].reason.endswith(f" {jobs} job{'s' if jobs > 1 else ''}"), layer.name


def test_axes_longer_than_a_node_has_inputs_are_refused():
    # The constant is filled, but then the other operand lacks rows and columns of it, apart from each other.
    builder = Builder((1, 3, 1), profile=Profile.TFLM, scale=SCALES[0]).requantise(SCALES[0])
    graph = builder.add(builder.constant((2, 1, 1025), scale=SCALES[1]), SCALES[2]).graph()
    reason = (
        r"'layer1' adds 'layer0.y' of shape \(1, 3, 1\) and .* of shape \(2, 3, 1025\) to get \(2, 3, 1025\): that"
        r" takes 1025 copies of one along an axis, 1024 is the most there is"
    )
    with pytest.raises(CompileError, match=reason):
        compile(graph, CONFIG)


def test_a_sum_of_constants_is_refused():
    builder = Builder((1, 4))
    builder.last = builder.constant((1, 4))
    builder.add(builder.constant((4,)), 1.0)
    with pytest.raises(CompileError, match="'layer0' adds nothing but constants: put their sum into the model"):
        compile(builder.graph(), CONFIG)


@pytest.mark.cosim
def test_any_shapes_are_exact_on_the_system():
    simulation = Simulation(CONFIG)

    @settings(max_examples=15, deadline=None, derandomize=True)
    @given(additions())
    def run(case):
        for graph, values, _ in (tflite_case(case), onnx_case(case)):
            assert_exact_on(simulation, graph, graph.encode(graph.inputs[0], values))

    run()


def assert_exact_on(simulation: Simulation, graph: Graph, x: np.ndarray) -> None:
    """Every tensor, in the predicted cycles."""
    program = compile(graph, simulation.config)
    (inference,) = simulation.run(program, [x.tobytes()], processes=1).inferences
    assert not compare_inference(0, inference, execute(graph, {graph.inputs[0]: x}), graph.outputs[0])
    assert [run.counters.busy for run in inference.layers] == predict(program, simulation.config.engine)


@PROFILES
@pytest.mark.cosim
def test_additions_between_layers_are_exact_on_the_system(profile):
    # The buffer of test_spill.py, whose simulator serves here, too.
    graph, simulation = between_layers(1, profile), Simulation(small_buffer(256))
    for seed in range(2):
        shape = graph.tensors["x"].shape
        assert_exact_on(simulation, graph, np.random.default_rng(seed).integers(-128, 128, shape, np.int8))
