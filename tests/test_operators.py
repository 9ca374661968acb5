"""Operators without dense weights: on the models of engine and CPU, and on the system's RTL."""

import dataclasses

import numpy as np
import pytest
from cimarron.config import PRESETS
from cimarron.isa import Profile, Step
from cimarron_sim.compiler import CompileError, Place, check, compile
from cimarron_sim.compiler.image import steps_of
from cimarron_sim.compiler.predict import predict
from cimarron_sim.compiler.real_mean import RealMean, bounds, exact_scale
from cimarron_sim.compiler.table import ladder
from cimarron_sim.graph import Graph, Quantization
from cimarron_sim.reference.execute import execute
from cimarron_sim.runner.compare import compare_inference
from cimarron_sim.runner.simulation import Simulation
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import Builder, run_on_model

CONFIG, DEFAULT = PRESETS["tiny"], PRESETS["default"]
PROFILES = pytest.mark.parametrize("profile", list(Profile))


def assert_exact(builder: Builder, config=DEFAULT) -> None:
    graph, x = builder.graph(), builder.input()
    program, expected = compile(graph, config), execute(graph, {"x": x})
    output, snapshots = run_on_model(program, config, x.tobytes())
    for layer in program.layers:
        got = layer.output.array(snapshots[layer.last_job].stored(layer.output))
        np.testing.assert_array_equal(got, expected[layer.output.tensor], err_msg=layer.name)
    np.testing.assert_array_equal(program.output.array(output), expected[graph.outputs[0]])


@pytest.mark.parametrize("config", [CONFIG, DEFAULT], ids=["tiny", "default"])
@pytest.mark.parametrize(("channels", "multiplier"), [(1, 4), (3, 1), (19, 1), (5, 2), (2, 3)])
def test_depthwise_layers_of_uneven_tiles_are_exact(config, channels, multiplier):
    builder = Builder((2, 5, 4, channels), zero_point=-7, seed=channels, profile=Profile.TFLM)
    assert_exact(builder.depthwise_conv2d(multiplier, (3, 3), stride=(2, 1), pads=(1, 1, 1, 1)), config)


def test_depthwise_tiles_hold_the_channels_that_cost_least():
    # Sixteen channels of nine taps take three operations for 16 outputs; reads of 16 bytes keep up with them.
    graph = Builder((1, 25, 5, 64)).depthwise_conv2d(1, (3, 3), pads=(1, 1, 1, 1)).graph()
    assert check(graph, DEFAULT)[0].reason == "144 x 64 weights of 8 bits in 3 x 4 tiles, 1 job"


@PROFILES
@pytest.mark.parametrize(("channels", "multiplier"), [(1, 9), (2, 5), (3, 33)])
def test_more_outputs_of_a_channel_than_words_are_exact(profile, channels, multiplier):
    # Tiny has 4 words of 8 bits, the default 16.
    builder = Builder((2, 5, 4, channels), np.uint8, 77, profile, seed=multiplier)
    builder.depthwise_conv2d(multiplier, (3, 2), stride=(2, 1), dilation=(1, 2), pads=(1, 2, 1, 0))
    for config in (CONFIG, DEFAULT):
        assert_exact(builder, config)
    assert compile(builder.graph(), DEFAULT).layers[1].macs == 2 * 3 * 4 * 6 * channels * multiplier


@PROFILES
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@given(kernel=st.tuples(st.integers(1, 6), st.integers(1, 5)), stride=st.tuples(st.integers(1, 3), st.integers(1, 3)))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_average_pools_are_exact(profile, dtype, kernel, stride):
    builder = Builder((2, 6, 5, 3), dtype, 9, profile, seed=kernel[0], scale=0.0371)
    assert_exact(builder.average_pool(kernel, stride), CONFIG)


@st.composite
def padded_windows(draw):
    """Kernel, stride and pads: no window of padding only, but some that reach over both sides."""
    kernel, stride = draw(st.tuples(*[st.integers(1, 8)] * 2)), draw(st.tuples(*[st.integers(1, 3)] * 2))
    pads = [draw(st.integers(0, min(kernel[i % 2], 6) - 1)) for i in range(4)]
    return kernel, stride, tuple(max(pad, -(-(kernel[i % 2] - 5) // 2)) for i, pad in enumerate(pads))


@PROFILES
@pytest.mark.parametrize("config", [CONFIG, DEFAULT], ids=["tiny", "default"])
@given(padded_windows(), st.sampled_from([np.int8, np.uint8]), st.integers(1, 5))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_average_pools_leave_padding_out(profile, config, window, dtype, channels):
    builder = Builder((2, 6, 5, channels), dtype, 9, profile, seed=channels, scale=0.0371)
    assert_exact(builder.average_pool(*window), config)


@PROFILES
def test_only_windows_that_meet_padding_are_pooled_apart(profile):
    # Nine parts: corners, sides, and the middle.
    builder = Builder((1, 6, 5, 2), profile=profile, scale=0.02).average_pool((3, 3), (1, 1), (1, 1, 1, 1))
    (verdict,) = check(builder.graph(), DEFAULT)
    program = compile(builder.graph(), DEFAULT)
    assert [layer.op for layer in program.layers] == ["load", "average_pool", "store"]
    assert verdict.op == "average_pool"
    if profile is Profile.TFLM:
        # A job for each part, each part of a line, and each line.
        assert (verdict.place, verdict.reason) == (Place.ENGINE, "60 values, 21 jobs")
    else:
        # The corners have 4 values and the sides 6; only the middle has an odd number of them.
        assert verdict.place is Place.CPU
        assert verdict.reason.endswith(", 37 jobs and 8 steps")
        # 16 kB of tables for eight steps have 4 kB of different content; 37 jobs take 4736 bytes,
        # and the weights of bounds as much.
        assert len(program.image) < 20_000


def test_padded_pools_run_behind_a_layer_in_stripes():
    config = dataclasses.replace(CONFIG, engine=dataclasses.replace(CONFIG.engine, act_buffer_bytes=4096))
    builder = Builder((1, 14, 12, 32), profile=Profile.TFLM).conv2d(8, (1, 1))
    assert_exact(builder.average_pool((3, 3), (1, 1), (1, 1, 1, 1)), config)


@pytest.mark.parametrize(
    ("kernel", "scale", "place"),
    [
        ((5, 25), None, Place.ENGINE),
        ((9, 21), None, Place.ENGINE),
        ((4, 5), None, Place.CPU),
        ((9, 24), None, Place.CPU),
        ((2, 2), 0.05139273, Place.ENGINE),
        ((9, 23), 0.05139273, Place.CPU),
    ],
)
def test_real_means_go_to_the_engine_where_no_rounding_shows(kernel, scale, place):
    builder = Builder((1, 9, 25, 3), np.uint8, 3, Profile.ONNX, seed=8, scale=0.0802)
    builder.average_pool(kernel, (1, 1), scale=scale)
    assert check(builder.graph(), DEFAULT)[0].place is place
    assert_exact(builder)


@pytest.mark.parametrize("config", [CONFIG, DEFAULT], ids=["tiny", "default"])
@pytest.mark.parametrize("size", [(4, 4), (3, 3), (5, 6), (7, 9)])
@pytest.mark.parametrize("scale", [0.0371, 0.02])
def test_reduced_means_add_in_packets(config, size, scale):
    """Four orders where channels begin at any address, two and one where they do not."""
    builder = Builder((2, *size, 21), np.uint8, 131, Profile.ONNX, seed=size[0], scale=0.0371)
    assert_exact(builder.real_mean(scale, np.int8, 5), config)


@given(
    st.integers(1, 300), st.floats(-9, 2), st.floats(-3, 3), st.integers(-128, 127), st.integers(-128, 127),
    st.booleans(), st.sampled_from([1, 15, 255]), st.integers(0, 2**32 - 1),
)  # fmt: skip
@settings(max_examples=60, deadline=None, derandomize=True)
def test_bounds_hold_whatever_the_order(count, log_scale, log_ratio, x_point, y_point, is_reduced, weight, seed):
    """Sums of real numbers added in random orders, the extreme ones and those next to a half among them."""
    x_scale = np.float32(np.exp(log_scale))
    y_scale = np.float32(x_scale / np.exp(log_ratio)) if seed % 3 else x_scale
    mean = RealMean(
        count=count, x_scale=float(x_scale), y_scale=float(y_scale), least=-128 - x_point, most=127 - x_point,
        zero_point=y_point, clamps=(-128, 127), is_reduced=is_reduced,
    )  # fmt: skip
    random = np.random.default_rng(seed)
    x = random.integers(mean.least, mean.most, (count, 400), endpoint=True)
    # Half of them around one value, whose sums lie everywhere.
    x[:, ::2] = np.clip(random.integers(mean.least, mean.most, 200) + x[:, ::2] % 3, mean.least, mean.most)
    sums = x.sum(axis=0)
    reals = random.permuted(x.astype(np.float32) * x_scale, axis=0)
    got = mean.output(np.add.accumulate(reals, axis=0, dtype=np.float32)[-1])
    found = bounds(mean, weight)
    assert found is not None
    low, high = (mean.engine(found.scale, found.weight, side * found.bias)(sums) for side in (-1, 1))
    assert np.all((low <= got) & (got <= high))
    scale = exact_scale(mean)
    if scale is not None:
        np.testing.assert_array_equal(mean.engine(scale)(sums), got)


def test_settled_means_run_in_stripes():
    """Bounds and the step that settles them, a few lines at a time."""
    config = dataclasses.replace(CONFIG, engine=dataclasses.replace(CONFIG.engine, act_buffer_bytes=2048))
    builder = Builder((1, 12, 12, 16), profile=Profile.ONNX, scale=0.0371).average_pool((2, 2), (2, 2))
    program = compile(builder.graph(), config)
    assert sum(kind is Step.MEAN for kind, _ in steps_of(program.image)) > 1
    assert_exact(builder, config)


@pytest.mark.parametrize("value", [-128, 0, 127])
@pytest.mark.parametrize("side", [2, 8])
def test_halves_round_away_from_zero(side, value):
    # Half the pixels one above the others: the mean of an even number of them ends in a half.
    builder = Builder((1, side, side, 1), profile=Profile.TFLM).average_pool((side, side), (1, 1))
    builder.nodes[0].attributes.update(clamp_min=-128, clamp_max=127)
    x = np.full((1, side, side, 1), value, np.int8)
    x[:, : side // 2] += -1 if value == 127 else 1
    expected = {-128: -128, 0: 1, 127: 127}[value]
    program = compile(builder.graph(), CONFIG)
    output, _ = run_on_model(program, CONFIG, x.tobytes())
    assert program.output.array(output).item() == expected


@pytest.mark.parametrize("size", [(1, 1), (3, 4), (8, 8)])
def test_means_are_exact(size):
    assert_exact(Builder((2, *size, 5), zero_point=-100, profile=Profile.TFLM).mean(np.uint8, 7))


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        *(((2, 5, 6, 7), axes) for axes in [(0,), (1,), (2,), (3,), (0, 1), (2, 3), (1, 2, 3), (0, 1, 2, 3)]),
        ((3, 1, 6, 2), (0, 2)), ((3, 40), (1,)), ((40, 3), (0,)), ((3, 5, 7), (1,)), ((3, 5, 7), (1, 2)), ((2, 3), ()),
        ((1, 1, 7), (0, 1)), ((300,), (0,)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("config", [CONFIG, DEFAULT], ids=["tiny", "default"])
def test_means_over_any_neighbouring_axes_are_exact(config, shape, axes):
    assert_exact(Builder(shape, np.uint8, 31, Profile.TFLM, seed=len(axes)).mean(np.int8, -9, axes), config)


def test_means_over_axes_that_lie_apart_are_refused():
    graph = Builder((1, 3, 4, 5), profile=Profile.TFLM).mean(axes=(1, 3)).graph()
    with pytest.raises(CompileError, match=r"is a mean over the axes \[1, 3\] of \(1, 3, 4, 5\), which lie apart"):
        compile(graph, CONFIG)


@PROFILES
@given(st.integers(0, 999), st.sampled_from([np.int8, np.uint8]), st.floats(0.4, 3))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_elementwise_operators_are_exact(profile, seed, dtype, scale):
    builder = Builder((2, 3, 17), dtype, 5 + seed % 90, profile, seed)
    assert_exact(builder.requantise(scale, np.int8, -seed % 50).add("x", 1.7 * scale, np.uint8, 128))


def test_sums_of_32_bits_are_narrowed():
    builder = Builder((1, 40)).fully_connected(23, dtype=np.int32)
    assert_exact(builder.requantise(300.0, np.uint8, 100))


@PROFILES
@given(st.integers(1, 40), st.floats(0.01, 2), st.sampled_from([np.int8, np.uint8]))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_softmax_is_exact(profile, values, scale, dtype):
    assert_exact(Builder((3, values), dtype, 4, profile, values, scale).softmax(dtype))


@PROFILES
@pytest.mark.cosim
@pytest.mark.parametrize(("rows", "values"), [(24, 1), (16, 2), (9, 3), (16, 4), (8, 12), (7, 41), (1, 10), (1, 512)])
def test_softmax_is_exact_on_the_system(profile, rows, values):
    # Rows of all sizes begin anywhere in a word; parts of 512 equal values lie on the half between two outputs.
    for dtype, scale in ((np.int8, 0.02), (np.uint8, 0.4)):
        graph = Builder((rows, values), dtype, 4, profile, scale=scale).softmax(dtype).graph()
        random = np.random.default_rng(values)
        low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        inputs = [random.integers(low, high, (rows, values), dtype, endpoint=True) for _ in range(4)]
        inputs += [np.full((rows, values), value, dtype) for value in (low, high)]
        inputs.append(np.where(np.arange(values) == values // 2, high, low).astype(dtype) * np.ones((rows, 1), dtype))
        result = Simulation(CONFIG).run(compile(graph, CONFIG), [x.tobytes() for x in inputs], processes=1)
        for sample, (x, inference) in enumerate(zip(inputs, result.inferences, strict=True)):
            assert not compare_inference(sample, inference, execute(graph, {"x": x}), graph.outputs[0])


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@given(kernel=st.tuples(st.integers(2, 4), st.integers(2, 5)), stride=st.tuples(st.integers(1, 3), st.integers(1, 3)))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_maximum_pools_are_exact(dtype, kernel, stride):
    builder = Builder((2, 6, 5, 3), dtype, 9, seed=kernel[0])
    assert_exact(builder.max_pool(kernel, stride, (1, kernel[1] - 1, 0, 1)), CONFIG)


@pytest.mark.parametrize(
    ("shape", "pads"),
    [
        ((7,), ((2, 3),)),
        ((2, 3, 4, 5), ((0, 0), (1, 2), (3, 0), (0, 0))),
        ((2, 3, 4, 5), ((1, 0), (0, 0), (0, 0), (0, 0))),
        ((2, 3, 2, 5), ((0, 1), (1, 2), (0, 3), (2, 1))),
        ((2, 3), ((0, 0), (0, 0))),
    ],
)
def test_borders_are_exact(shape, pads):
    assert_exact(Builder(shape, zero_point=-5).pad(pads, -5).requantise(1.5), CONFIG)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_joined_tensors_are_exact(axis):
    builder = Builder((2, 3, 5)).requantise(1.0)
    assert_exact(builder.concat(("x", "x", "layer0.y"), axis), CONFIG)


def test_pools_of_nothing_but_padding_are_refused():
    graph = Builder((1, 4, 4, 1)).max_pool((2, 2), (1, 1), (2, 0, 0, 0)).graph()
    with pytest.raises(CompileError, match="pools windows of nothing but padding: pad less"):
        compile(graph, CONFIG)


def test_ladders_hold_where_a_function_rises():
    content = ladder(lambda x: np.clip(x // 10, -2, 3), -1000, 1000)
    assert np.frombuffer(content, "<i4").tolist() == [5, -2, -10, 0, 10, 20, 30]


def test_check_says_what_runs_where():
    graph = Builder((3, 8), scale=0.1, profile=Profile.TFLM).requantise(1.1).softmax().graph()
    vector, softmax = check(graph, CONFIG)
    assert (vector.place, vector.reason) == (Place.ENGINE, "24 values, 1 job")
    assert (softmax.place, softmax.reason) == (Place.CPU, "24 values, 1024 bytes of tables")


@PROFILES
def test_means_of_nothing_but_padding_are_refused(profile):
    builder = Builder((1, 4, 4, 1), profile=profile).average_pool((2, 2), (1, 1), (2, 1, 0, 0))
    with pytest.raises(CompileError, match="'layer0' pools windows of nothing but padding"):
        compile(builder.graph(), CONFIG)


def every_operator(profile: Profile) -> Graph:
    """A network with each step of the CPU that the profile has."""
    builder = Builder((1, 6, 5, 3), np.int8, -3, profile, seed=4, scale=0.05)
    builder.depthwise_conv2d(2, (3, 3), pads=(1, 1, 1, 1), zero_point=11).requantise(0.9, np.uint8, 130)
    builder.add("layer0.y", 1.8, np.int8, 3).average_pool((3, 4), (2, 1)).max_pool((2, 2), (1, 1), (1, 0, 0, 1))
    builder.pad(((0, 0), (0, 1), (2, 0), (0, 0)), 3)
    builder.concat((builder.last,), 1).flatten()
    if profile is Profile.ONNX:
        builder.fully_connected(9, dtype=np.int32)
        sums = builder.tensors[builder.last]
        builder.tensors[builder.last] = dataclasses.replace(sums, quantization=Quantization.per_tensor(0.0007))
        builder.requantise(0.1, np.int8, -2)
    return builder.softmax().graph()


@pytest.mark.cosim
def test_settled_means_are_exact_on_the_system_and_take_the_cycles_predicted():
    """Half of all means of 2 x 2 equal numbers and their neighbours lie on a half; 15 pixels begin at any address."""
    builder = Builder((2, 6, 10, 7), np.int8, 3, Profile.ONNX, seed=2, scale=0.0371)
    graph = builder.average_pool((2, 2), (2, 2)).real_mean(0.0371, np.uint8, 101).graph()
    random = np.random.default_rng(4)
    inputs = [random.integers(-128, 128, (2, 6, 10, 7), np.int8), random.integers(60, 64, (2, 6, 10, 7), np.int8)]
    program = compile(graph, CONFIG)
    result = Simulation(CONFIG).run(program, [x.tobytes() for x in inputs], processes=1)
    predicted = predict(program, CONFIG.engine)
    for sample, (x, inference) in enumerate(zip(inputs, result.inferences, strict=True)):
        assert not compare_inference(sample, inference, execute(graph, {"x": x}), graph.outputs[0])
        assert [layer.counters.busy for layer in inference.layers] == predicted


@PROFILES
@pytest.mark.cosim
def test_padded_means_are_exact_on_the_system_and_take_the_cycles_predicted(profile):
    builder = Builder((2, 5, 6, 3), np.uint8, 100, profile, seed=2, scale=0.3)
    graph = builder.average_pool((4, 3), (1, 2), (2, 1, 1, 1)).conv2d(3, (1, 1)).graph()
    inputs = [np.random.default_rng(seed).integers(0, 256, (2, 5, 6, 3), np.uint8) for seed in range(2)]
    program = compile(graph, CONFIG)
    result = Simulation(CONFIG).run(program, [x.tobytes() for x in inputs], processes=1)
    predicted = predict(program, CONFIG.engine)
    for sample, (x, inference) in enumerate(zip(inputs, result.inferences, strict=True)):
        assert not compare_inference(sample, inference, execute(graph, {"x": x}), graph.outputs[0])
        assert [layer.counters.busy for layer in inference.layers] == predicted


@pytest.mark.cosim
def test_means_of_lines_and_channels_are_exact_on_the_system_and_take_the_cycles_predicted():
    builder = Builder((2, 5, 6, 2), np.uint8, 100, Profile.TFLM, seed=2, scale=0.3)
    graph = builder.depthwise_conv2d(5, (2, 3), pads=(1, 1, 0, 1)).mean(axes=(1,)).mean(axes=(2,)).graph()
    x = np.random.default_rng(1).integers(0, 256, (2, 5, 6, 2), np.uint8)
    program = compile(graph, CONFIG)
    (inference,) = Simulation(CONFIG).run(program, [x.tobytes()], processes=1).inferences
    assert not compare_inference(0, inference, execute(graph, {"x": x}), graph.outputs[0])
    assert [layer.counters.busy for layer in inference.layers] == predict(program, CONFIG.engine)


@pytest.mark.cosim
@pytest.mark.parametrize("step", [1 / 256, 2.0**-15, 0.031, 0.5, 2.0**30])
def test_shares_are_exact_on_the_system(step):
    """Steps of which a share is many, few, or less than the half of one; rows of which one value is all, or each as
    much."""
    graph = Builder((16, 13), np.int8, -3, Profile.ONNX, scale=0.11).softmax(np.uint8, step).graph()
    random = np.random.default_rng(7)
    x = np.clip(random.normal(0, 40, (16, 13)), -128, 127).astype(np.int8)
    x[0], x[1], x[2, :4] = -128, 127, 100
    x[3] = np.where(np.arange(13) == 5, 127, -128)
    x[4] = np.arange(13) * -7 + 60
    (inference,) = Simulation(CONFIG).run(compile(graph, CONFIG), [x.tobytes()], processes=1).inferences
    assert not compare_inference(0, inference, execute(graph, {"x": x}), graph.outputs[0])


@PROFILES
@pytest.mark.cosim
def test_every_operator_is_exact_on_the_system(profile):
    graph = every_operator(profile)
    random, tensor = np.random.default_rng(3), graph.tensors["x"]
    inputs = [random.integers(-128, 128, tensor.shape, np.int8) for _ in range(4)]
    result = Simulation(CONFIG).run(compile(graph, CONFIG), [x.tobytes() for x in inputs], processes=1)
    for sample, (x, inference) in enumerate(zip(inputs, result.inferences, strict=True)):
        assert not compare_inference(sample, inference, execute(graph, {"x": x}), graph.outputs[0])
