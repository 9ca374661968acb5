"""The compiler: its programs, run on the engine's model, give what the reference gives."""

import dataclasses
import itertools
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from cimarron.config import PRESETS, EngineConfig, MacroConfig, SocConfig
from cimarron.isa import JOB_BYTES, JOB_WORDS, PROGRAM_OFFSET, RAM_BASE, Opcode, Profile, unpack_job
from cimarron_sim.compiler import CompileError, Place, Program, check, compile, mapping
from cimarron_sim.compiler.bound import Bound, load_bound, weight_beats
from cimarron_sim.compiler.explain import explain
from cimarron_sim.compiler.layer import read_layer
from cimarron_sim.compiler.mapping import Candidate, candidates, choose
from cimarron_sim.compiler.memory import Buffer, place
from cimarron_sim.compiler.operator import read_operator
from cimarron_sim.compiler.params import fold_zero_point, scale_record
from cimarron_sim.compiler.plan import plan_network
from cimarron_sim.compiler.predict import predict
from cimarron_sim.compiler.stream import pack_rows, weight_stream
from cimarron_sim.frontend import load
from cimarron_sim.graph import Graph, Quantization, Tensor
from cimarron_sim.reference.execute import execute
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import Builder, layers, run_on_model

EXAMPLES = Path(__file__).parents[1] / "examples" / "digits"

TINY, DEFAULT, CELLS256 = (PRESETS[name] for name in ("tiny", "default", "cells256"))

#: As tiny, with so few partial sums that images are cut into bands and rows into pieces.
NARROW = SocConfig(engine=dataclasses.replace(TINY.engine, psum_entries=16))

#: As tiny, for larger images.
ROOMY = SocConfig(engine=dataclasses.replace(TINY.engine, act_buffer_bytes=16384))

#: Odd ones: 2-bit cells, weights up to 16 bits, many lanes, one word per tile at the widest.
FUSED = SocConfig(
    engine=EngineConfig(
        macro=MacroConfig(rows=24, words=16, cell_bits=2, max_weight_bits=16), act_buffer_bytes=4096,
        psum_entries=64, weight_port_bits=128, act_port_bytes=8, lanes=2,
    )
)  # fmt: skip


def jobs_of(program: Program) -> list[dict[str, int]]:
    """Fields of every job of a program."""
    header, found = program.header, []
    offset = header["steps_offset"]
    while offset < header["steps_offset"] + header["steps_bytes"]:
        first = int.from_bytes(program.image[offset : offset + 4], "little")
        if first & 0xFF == 1:
            start, jobs = struct.unpack_from("<2I", program.image, offset + 4)
            for at in range(start, start + JOB_BYTES * jobs, JOB_BYTES):
                found.append(unpack_job(list(struct.unpack_from(f"<{JOB_WORDS}I", program.image, at))))
        offset += first >> 16 << 2
    return found


def assert_exact(builder: Builder, config: SocConfig) -> Program:
    graph = builder.graph()
    x = builder.input()
    expected = execute(graph, {"x": x})
    program = compile(graph, config)
    output, snapshots = run_on_model(program, config, x.tobytes())
    for layer in program.layers:
        got = layer.output.array(snapshots[layer.last_job].stored(layer.output))
        np.testing.assert_array_equal(got, expected[layer.output.tensor], err_msg=layer.name)
    np.testing.assert_array_equal(program.output.array(output), expected[graph.outputs[0]])
    return program


@pytest.mark.parametrize(
    "config", [TINY, DEFAULT, CELLS256, NARROW, FUSED], ids=["tiny", "default", "cells256", "narrow", "fused"]
)
@given(builder=layers())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_random_layers_are_exact(config, builder):
    assert_exact(builder, config)


@pytest.mark.parametrize("profile", list(Profile))
def test_networks_are_exact_layer_by_layer(profile):
    builder = Builder((1, 8, 8, 1), np.uint8, 128, profile, seed=7)
    builder.conv2d(6, (3, 3), pads=(1, 1, 1, 1), zero_point=-128, clamp=(-128, 127))
    builder.conv2d(9, (3, 3), stride=(2, 2), pads=(0, 0, 1, 1), bits=4, zero_point=3).flatten()
    builder.fully_connected(17, zero_point=-20).fully_connected(10)
    program = assert_exact(builder, TINY)
    assert [layer.op for layer in program.layers] == [
        "load", "conv2d", "conv2d", "fully_connected", "fully_connected", "store",
    ]  # fmt: skip
    assert [layer.macs for layer in program.layers] == [0, 64 * 9 * 6, 16 * 54 * 9, 144 * 17, 17 * 10, 0]


def with_weight_zero_point(builder: Builder, dtype, low: int, high: int, zero_point: int) -> Builder:
    """The builder's first layer with other weights: random ones from low to high."""
    old = builder.tensors["layer0.w"]
    values = builder.random.integers(low, high, old.shape, dtype, endpoint=True)
    builder.tensors["layer0.w"] = Tensor(old.name, old.shape, dtype, Quantization.per_tensor(1.0, zero_point), values)
    return builder


@pytest.mark.parametrize(
    ("dtype", "low", "high", "zero_point"), [(np.uint8, 0, 255, 128), (np.int8, -100, 127, 20), (np.uint8, 0, 255, 0)]
)
def test_weight_zero_points_fold_into_the_weights(dtype, low, high, zero_point):
    assert_exact(
        with_weight_zero_point(Builder((2, 30), zero_point=5).fully_connected(7), dtype, low, high, zero_point), TINY
    )


@pytest.mark.parametrize("builder", [
    Builder((2, 30)).fully_connected(7),
    Builder((2, 5, 4, 3), zero_point=9).conv2d(5, (3, 2), pads=(1, 0, 1, 2), stride=(2, 1)),
    Builder((1, 5, 4, 6), zero_point=-9).depthwise_conv2d(2, (3, 3), pads=(1, 1, 1, 1), dilation=(2, 1)),
])  # fmt: skip
def test_weights_of_9_bits_are_two_of_8(builder):
    builder = with_weight_zero_point(builder, np.uint8, 0, 255, 1)
    assert_exact(builder, TINY)
    assert_exact(builder, FUSED)


def test_weights_too_wide_with_their_zero_point_are_refused():
    builder = Builder((1, 5, 6, 2)).conv2d(3, (2, 2), dilation=(1, 2))
    builder = with_weight_zero_point(builder, np.int8, -128, 127, 3)
    assert "'layer0' needs weights of 9 bits, zero point included; the macro computes with at most 8" in refused(
        builder.graph()
    )
    assert_exact(builder, FUSED)


def test_activations_with_a_scale_per_channel_are_refused():
    graph = Builder((1, 3)).fully_connected(2).graph()
    channels = Quantization(np.ones(3, np.float32), np.zeros(3, np.int32), axis=1)
    tensors = {**graph.tensors, "x": dataclasses.replace(graph.tensors["x"], quantization=channels)}
    assert "layer 'layer0' has activations 'x' with a scale per channel" in refused(
        dataclasses.replace(graph, tensors=tensors)
    )


@pytest.mark.parametrize("name", ["digits", "digits_conv"])
@pytest.mark.parametrize("config", [TINY, DEFAULT], ids=["tiny", "default"])
def test_handwritten_digits_are_exact(name, config):
    graph = load(EXAMPLES / f"{name}.onnx")
    x = graph.tensors[graph.inputs[0]]
    program = compile(graph, config)
    for seed in range(3):
        image = np.random.default_rng(seed).integers(-128, 1, x.shape, np.int8)
        expected = execute(graph, {x.name: image})
        output, snapshots = run_on_model(program, config, image.tobytes())
        for layer in program.layers:
            got = snapshots[layer.last_job].stored(layer.output)
            np.testing.assert_array_equal(layer.output.array(got), expected[layer.output.tensor])
        np.testing.assert_array_equal(program.output.array(output), expected[graph.outputs[0]])


def test_layers_without_room_for_partial_sums_are_cut_into_stripes():
    # 8 x 6 pixels of 4 outputs in 3 row tiles: 24 sums per row of pixels.
    def network():
        return Builder((1, 8, 6, 5), seed=1).conv2d(4, (3, 3), pads=(1, 1, 1, 1))

    def stripes(entries):
        config = SocConfig(engine=dataclasses.replace(TINY.engine, psum_entries=entries))
        macs = jobs_of(assert_exact(network(), config))[1:-1]
        assert all(job["psum_entries"] <= entries for job in macs)
        return [(job["out_height"], job["out_width"]) for job in macs]

    assert stripes(256) == [(8, 6)]
    assert stripes(128) == [(5, 6), (3, 6)]
    assert stripes(16) == [(1, 4), (1, 2)] * 8


def test_same_input_gives_the_same_bytes():
    programs = [compile(Builder((1, 20), seed=3).fully_connected(7).graph(), TINY) for _ in range(2)]
    assert programs[0] == programs[1]


def test_a_reshaped_tensor_is_the_same_bytes():
    program = compile(Builder((1, 4, 4, 2)).flatten().fully_connected(3).flatten().graph(), TINY)
    assert len(jobs_of(program)) == 3
    assert program.output.tensor == "flat2"
    assert program.output.address == program.layers[-2].output.address


@pytest.mark.parametrize(
    "builder",
    [
        Builder((1, 20)).fully_connected(7),
        Builder((3, 20)).fully_connected(5, dtype=np.int32),
        Builder((1, 4, 4, 2)).max_pool((2, 2), (2, 2)).flatten(),
        Builder((1, 20)).fully_connected(7).softmax(),
        Builder((1, 3, 3, 1)).flatten(),
    ],
    ids=["macro", "sums", "vector", "cpu", "nobody"],
)
def test_the_last_job_stores_the_output_whoever_computed_it(builder):
    program = assert_exact(builder, TINY)
    header, output = program.header, program.output
    assert jobs_of(program)[-1] == {
        "opcode": Opcode.STORE,
        "source": output.address,
        "destination": RAM_BASE + PROGRAM_OFFSET + header["output_offset"],
        "length": header["output_bytes"],
    }
    stored = program.layers[-1]
    assert (stored.op, stored.output.address, stored.output.is_spilled) == ("store", header["output_offset"], True)
    assert (stored.output.tensor, stored.output.shape) == (output.tensor, output.shape)


def test_an_output_that_its_layer_stores_is_not_stored_again():
    # Twice 2048 bytes, of which the buffer holds some rows at a time.
    config = SocConfig(engine=dataclasses.replace(TINY.engine, act_buffer_bytes=1024))
    program = assert_exact(Builder((1, 16, 16, 8)).max_pool((1, 1), (1, 1)), config)
    assert [layer.op for layer in program.layers] == ["max_pool"]
    stored = [job for job in jobs_of(program) if job["opcode"] == Opcode.STORE]
    assert sum(job["length"] for job in stored) == program.header["output_bytes"] == 2048


def test_four_bit_weights_take_half_the_stream():
    wide, narrow = (compile(Builder((1, 64)).fully_connected(32, bits=bits).graph(), DEFAULT) for bits in (8, 4))
    # 32 records of 16 bytes; 64 rows of 16 bytes for each of 2 tiles, or 1.
    assert wide.layers[1].bound.weights == 32 + 128
    assert narrow.layers[1].bound.weights == 32 + 64
    assert narrow.layers[1].peak_macs == 2 * wide.layers[1].peak_macs == 64 * 32 / 4


def test_rows_are_packed_from_the_lowest_bit():
    assert pack_rows(np.array([[1, -1, 2]]), 8, 4).tolist() == [[0x01, 0xFF, 0x02, 0]]
    assert pack_rows(np.array([[1, -1, -8]]), 4, 4).tolist() == [[0xF1, 0x08, 0, 0]]
    assert pack_rows(np.array([[-2, 3]]), 16, 4).tolist() == [[0xFE, 0xFF, 3, 0]]


@given(st.integers(0, 2**31 - 2**23 - 1))
def test_records_hold_float32_scales_exactly(bits):
    scale = np.array(bits, np.uint32).view(np.float32)
    mantissa, shift = (int(value) for value in scale_record(scale))
    if mantissa == 0:
        # Flushed: even the largest sum stays far below half a step.
        assert abs(float(scale)) * 2**31 < 2**-64
    else:
        assert 2**23 <= mantissa < 2**24
        assert -128 <= shift <= 127
        assert float(scale) == mantissa * 2.0**shift


@pytest.mark.parametrize("scale", [-1.0, np.inf, np.nan])
def test_scales_that_are_none_are_refused(scale):
    with pytest.raises(ValueError, match="a scale is negative, infinite or not a number"):
        scale_record(np.array([1.0, scale], np.float32))


def test_zero_points_fold_into_the_bias_modulo_2_to_the_32():
    weights = np.array([[127, -128], [127, 1]])
    assert fold_zero_point(np.array([10, 10]), weights, 3).tolist() == [10 - 3 * 254, 10 + 3 * 127]
    assert fold_zero_point(np.array([-(2**31), 0]), weights, 1).tolist() == [2**31 - 254, 127]


def test_bounds_count_what_each_resource_does():
    # 20 x 8 weights in the tiny macro (16 rows, 4 outputs of 8 bits): 2 row tiles, 2 word tiles.
    engine = TINY.engine
    builder = Builder((3, 20)).fully_connected(8)
    graph = builder.graph()
    layer = read_layer(graph, graph.nodes[0])
    bound = choose(layer, engine).bound
    assert bound.compute == 3 * 4 * 8
    assert bound.weights == 8 * 4 + 2 * 20
    assert bound.activations == 3 * 2 * (4 + 1)
    assert bound.outputs == 3 * 2 * 8
    assert bound.cycles == 96
    assert load_bound(61, engine).cycles == 16
    assert load_bound(61, DEFAULT.engine).cycles == 4


def test_bounds_count_the_pieces_of_kernel_rows():
    # Runs of 3 x 2 = 6 bytes: 6 | 6 | 4 + 2 in rows of 16, in reads of 4 bytes: 2 + 2 + 1 + 1.
    graph = Builder((1, 5, 5, 2)).conv2d(4, (3, 3)).graph()
    layer = read_layer(graph, graph.nodes[0])
    assert choose(layer, TINY.engine).bound.activations == 9 * 6


def test_utilisation_is_the_share_of_the_macros_work():
    layer = compile(Builder((1, 16)).fully_connected(4).graph(), TINY).layers[1]
    assert layer.peak_macs == 16 * 4 / 8
    assert layer.utilisation(16) == 0.5


def test_check_places_every_operator():
    graph = Builder((1, 4, 4, 2)).conv2d(4, (2, 2)).flatten().fully_connected(3, name="head").graph()
    verdicts = check(graph, TINY)
    assert [(verdict.name, verdict.place) for verdict in verdicts] == [
        ("layer0", Place.ENGINE), ("flat1", Place.ENGINE), ("head", Place.ENGINE),
    ]  # fmt: skip
    assert verdicts[0].reason == "8 x 4 weights of 8 bits in 1 x 1 tiles, 1 job"


@pytest.mark.parametrize(
    ("outputs", "buffer", "jobs"),
    [(52, 8192, "2 jobs"), (60, 8192, "1 job"), (60, 1024, None)],
    ids=["strips", "no room for strips", "main memory"],
)
def test_check_counts_every_job_of_a_plan(outputs, buffer, jobs):
    config = SocConfig(engine=dataclasses.replace(DEFAULT.engine, act_buffer_bytes=buffer))
    graph = thin_rows(outputs).graph()
    found = len(jobs_of(compile(graph, config)))
    if jobs is None:
        # Rows of the output leave as they are computed.
        jobs = f"{found} jobs"
        assert found >= 6
    else:
        assert int(jobs[0]) == found - 2, "besides those that move input and output"
    (verdict,) = check(graph, config, plan_network(graph, config.engine)[1])
    assert f" x {outputs} weights of 8 bits in " in verdict.reason
    assert verdict.reason.endswith(f" tiles, {jobs}")


def test_check_names_what_cannot_run_and_compile_refuses_it():
    narrow = SocConfig(engine=dataclasses.replace(TINY.engine, macro=MacroConfig(rows=16, words=8, max_weight_bits=4)))
    graph = Builder((1, 8)).fully_connected(4, name="wide").fully_connected(4, bits=4, name="slim").graph()
    wide, slim = check(graph, narrow)
    sentence = (
        "layer 'wide' needs weights of 8 bits, zero point included; the macro computes with at most 4: quantise the"
        " weights to fewer bits or choose a configuration with wider ones"
    )
    assert (wide.place, wide.reason) == (Place.UNSUPPORTED, sentence)
    assert slim.place is Place.ENGINE
    with pytest.raises(CompileError, match="layer 'wide' needs weights of 8 bits"):
        compile(graph, narrow)


def refused(graph: Graph, config: SocConfig = TINY) -> str:
    with pytest.raises(CompileError) as error:
        compile(graph, config)
    return str(error.value)


def with_input(graph: Graph, tensor: Tensor) -> Graph:
    """The graph with one more input."""
    return dataclasses.replace(
        graph, tensors={**graph.tensors, tensor.name: tensor}, inputs=(*graph.inputs, tensor.name)
    )


def test_activations_that_do_not_fit_name_the_layer():
    graph = Builder((1, 1, 512, 4)).conv2d(5, (1, 1), name="big").graph()
    assert refused(graph) == (
        "layer 'big' needs 4608 bytes of activation buffer at once, even for a single row of its output ('x' 2048,"
        " 'big.y' 2560), there are 4096: choose a configuration with a larger act_buffer_bytes"
    )


def test_weights_that_do_not_fit_name_the_layer():
    graph = Builder((1, 1000)).fully_connected(120, name="huge").graph()
    assert refused(graph) == (
        "the network has 120000 bytes of weights, 98304 bytes of main memory are free; the largest layer 'huge' takes"
        " 120000: choose a configuration with more ram_bytes"
    )
    # With 4 bits the weights fit, but not what comes with them.
    graph = Builder((1, 1000)).fully_connected(195, bits=4, name="wide").graph()
    assert "; the largest layer 'wide' takes" in refused(graph)


def test_weights_that_do_not_fit_are_refused_before_layers_are_cut(monkeypatch):
    monkeypatch.setattr("cimarron_sim.compiler.mapping.tilings", None)
    graph = Builder((1, 7, 7, 64)).conv2d(200, (3, 3)).graph()
    assert refused(graph).startswith("the network has 115200 bytes of weights")


def test_weights_that_are_left_out_do_not_count():
    builder = Builder((1, 1000)).fully_connected(120).fully_connected(3)
    builder.tensors["layer0.w"].data[4:] = 0
    assert compile(builder.graph(), TINY).layers[1].macs == 4000


def test_activations_that_do_not_fit_memory_are_named():
    graph = Builder((1, 80, 50, 8)).conv2d(8, (1, 1)).conv2d(1, (1, 1)).graph()
    # 80 * 50 pixels of 8 values in, of 1 out, and of 8 between the layers.
    assert refused(graph, dataclasses.replace(TINY, ram_bytes=65536)).endswith(
        " 32768 are free; input and output take 36000, activations that the buffer has no room for 32000, the largest"
        " layer 'layer0' 192: choose a configuration with more ram_bytes"
    )


def test_programs_do_not_depend_on_the_seed_of_hashes(tmp_path):
    (tmp_path / "made.py").write_text(
        "import sys\n"
        f"sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parent.parent / 'tb')]}\n"
        "from cimarron.config import PRESETS\n"
        "from cimarron.isa import Profile\n"
        "from cimarron_sim.compiler import compile\n"
        "from random_graphs import Builder\n"
        "made = Builder((1, 24, 20, 3), profile=Profile.TFLM).conv2d(9, (3, 3), pads=(1, 1, 1, 1))\n"
        "made.depthwise_conv2d(2, (3, 3)).average_pool((3, 3), (2, 2), (1, 1, 1, 1)).add('layer2.y', 1.0)\n"
        "program = compile(made.conv2d(4, (1, 1)).mean().graph(), PRESETS['tiny'])\n"
        "print(program.image.hex(), program.layers, program.placements)\n"
    )
    answers = []
    for seed in (1, 2, 3):
        environment = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, str(tmp_path / "made.py")]
        answers.append(subprocess.run(command, check=True, env=environment, capture_output=True, text=True).stdout)
    assert len(answers[0]) > 10_000
    assert answers[0] == answers[1] == answers[2]


def test_a_pixel_without_room_for_its_sums_names_the_layer():
    macro = MacroConfig(rows=16, words=64)
    config = SocConfig(engine=dataclasses.replace(TINY.engine, macro=macro, psum_entries=16))
    graph = Builder((1, 6, 6, 1)).depthwise_conv2d(32, (5, 5), name="wide").graph()
    assert refused(graph, config) == (
        "layer 'wide' needs 32 partial sums for one output pixel, there are 16: choose a configuration with more"
        " psum_entries"
    )


def test_tiles_are_narrower_where_that_saves_passes():
    # Sums of 32 outputs find room for 4 pixels only, so that 9 pixels would take three passes over the weights.
    macro = MacroConfig(rows=16, words=64)
    engine = dataclasses.replace(TINY.engine, macro=macro, psum_entries=128)
    graph = Builder((1, 5, 5, 4)).conv2d(32, (3, 3)).graph()
    layer = read_layer(graph, graph.nodes[0])
    ranked = candidates(layer, engine)
    widest = next(candidate for candidate in ranked if candidate.tiling.outputs == 32)
    assert len(widest.tiling.stripes) == 3
    assert len(ranked[0].tiling.stripes) < 3
    assert ranked[0].cycles == min(candidate.cycles for candidate in ranked) < widest.cycles


@contextmanager
def strips_wherever_possible() -> Iterator[None]:
    """Layers take their input from strips even where that is slower."""
    key = property(lambda candidate: (-len(candidate.parts), candidate.cycles))
    with patch.object(Candidate, "key", key), patch.object(mapping, "_waits_for_input", lambda bound: True):
        yield


@pytest.mark.parametrize(
    "config", [TINY, DEFAULT, CELLS256, NARROW, FUSED], ids=["tiny", "default", "cells256", "narrow", "fused"]
)
@given(builder=layers())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_layers_that_read_strips_are_exact(config, builder):
    (node,) = builder.graph().nodes
    kernel_h, dilation_h = builder.tensors[node.inputs[1]].shape[1], node.attributes.get("dilation", (1,))[0]
    with strips_wherever_possible():
        program = assert_exact(builder, config)
    has_strips = any(placement.tensor == f"{node.name}:strips" for placement in program.placements)
    assert has_strips == (node.op == "conv2d" and kernel_h > 1 and dilation_h == 1)


@pytest.mark.parametrize("profile", list(Profile))
def test_strips_may_be_followed_by_planes(profile):
    builder = Builder((2, 12, 9, 1), np.uint8, 3, profile, seed=5)
    builder.conv2d(8, (5, 3), stride=(2, 2), pads=(2, 1, 2, 1), dilation=(1, 2), zero_point=-7)
    program = assert_exact(builder.depthwise_conv2d(1, (3, 3), pads=(1, 1, 1, 1)), DEFAULT)
    assert [layer.last_job for layer in program.layers] == [0, 4, 6, 7]
    assert program.layers[1].output.planes == 4


def thin_rows(outputs: int = 64) -> Builder:
    """A layer whose windows have ten rows of four bytes, on an image of 490 bytes; strips of it have 980."""
    return Builder((1, 49, 10, 1), zero_point=9).conv2d(outputs, (10, 4), stride=(2, 2), pads=(4, 1, 5, 1))


def test_windows_with_thin_rows_are_read_from_strips():
    program = assert_exact(thin_rows(), DEFAULT)
    _, copy, main, _ = jobs_of(program)
    # Four word tiles of 125 pixels: 10 reads each, or 3 of the 40 bytes in a strip.
    assert (copy["kernel_h"], copy["out_height"]) == (1, 49)
    assert (main["kernel_h"], main["runs"], main["run_bytes"]) == (1, 1, 40)
    assert program.layers[1].bound == Bound(compute=2000, weights=224, activations=1500, outputs=2000)
    graph = thin_rows().graph()
    assert predict(program, DEFAULT.engine)[1] < 2400
    assert choose(read_layer(graph, graph.nodes[0]), DEFAULT.engine).cycles > 5000
    explained = explain(graph, DEFAULT.engine)
    assert ["input copied to strips" in row.mapping for row in explained[:2]] == [True, False]
    assert "cycles more: activations 5,000" in explained[1].reason


def test_strips_need_room_of_their_own():
    graph = thin_rows().graph()
    (strips,) = (placement for placement in compile(graph, DEFAULT).placements if placement.tensor == "layer0:strips")
    assert (strips.nbytes, strips.first, strips.last) == (980, 1, 1)
    # 490, 125 * outputs and 980 bytes, each a multiple of 16: 8000 with 52 outputs, 8992 with 60.
    config = SocConfig(engine=dataclasses.replace(DEFAULT.engine, act_buffer_bytes=8192))
    for outputs, jobs in ((52, 4), (60, 3)):
        program = assert_exact(thin_rows(outputs), config)
        assert len(jobs_of(program)) == jobs
        assert not any(layer.output.is_spilled for layer in program.layers[:-1])


@given(layers())
@settings(deadline=None)
def test_no_layer_is_faster_than_its_bound(builder):
    graph = builder.graph()
    for node in graph.nodes:
        operator = read_operator(graph, node, TINY.engine)
        for candidate in candidates(operator.layer, TINY.engine):
            assert candidate.bound.cycles < candidate.cycles


@given(layers())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_streams_take_as_many_beats_as_are_reckoned_with(builder):
    graph = builder.graph()
    for node in graph.nodes:
        for candidate in candidates(read_operator(graph, node, TINY.engine).layer, TINY.engine):
            (part,) = candidate.parts
            stream = weight_stream(part.layer, part.tiling, graph.profile, TINY.engine)
            assert len(stream) == TINY.engine.port_bytes * weight_beats(part.tiling, TINY.engine)


def test_kernels_beyond_a_job_name_the_field():
    graph = Builder((1, 300, 1, 1)).conv2d(1, (300, 1), name="tall").graph()
    assert refused(graph).startswith("layer 'tall' is too large for a job: MAC job field kernel_h must lie in [0, 256)")


def test_operands_computed_at_run_time_are_refused():
    graph = Builder((1, 8)).fully_connected(4).graph()
    dynamic = with_input(graph, dataclasses.replace(graph.tensors["layer0.w"], data=None))
    assert refused(dynamic) == "layer 'layer0' computes its weights at run time: only constant ones can be loaded"


def test_several_inputs_are_refused():
    graph = with_input(Builder((1, 8)).fully_connected(4).graph(), Tensor("extra", (4,), np.dtype(np.int8)))
    assert refused(graph) == "the network has 2 inputs (x, extra), a program has one: split the model"


def test_scales_that_are_none_name_the_layer():
    builder = Builder((1, 8)).fully_connected(2)
    builder.nodes[0].attributes["scale"] = np.array([1.0, np.inf], np.float32)
    assert refused(builder.graph()).startswith("layer 'layer0' cannot be requantised: a scale is negative, infinite")


@st.composite
def buffers(draw):
    found = []
    for index in range(draw(st.integers(1, 8))):
        first = draw(st.integers(0, 6))
        last = draw(st.integers(first, 6))
        found.append(Buffer(name=f"b{index}", size=draw(st.integers(1, 40)), first=first, last=last))
    return found


@given(buffers())
def test_buffers_needed_together_never_overlap(found):
    addresses = place(found, [f"step {i}" for i in range(7)], capacity=512, alignment=8)
    for buffer in found:
        assert addresses[buffer.name] % 8 == 0
        assert addresses[buffer.name] + buffer.size <= 512
    for step in range(7):
        alive = [buffer for buffer in found if buffer.first <= step <= buffer.last]
        taken = [byte for b in alive for byte in range(addresses[b.name], addresses[b.name] + b.size)]
        assert len(taken) == len(set(taken))


def test_memory_is_used_again_when_a_buffer_is_no_longer_needed():
    chain = [Buffer(name=str(i), size=100, first=i, last=i + 1) for i in range(6)]
    addresses = place(chain, [str(i) for i in range(7)], capacity=208, alignment=8)
    assert set(addresses.values()) == {0, 104}


def test_buffers_that_fit_in_one_order_only_are_placed():
    # Largest first, the last to come finds no gap: it has to go before the others.
    sizes = [(6, 4, 4), (2, 0, 3), (3, 3, 4), (7, 2, 2)]
    buffers = [Buffer(name=f"b{i}", size=size, first=a, last=b) for i, (size, a, b) in enumerate(sizes)]
    addresses = place(buffers, [str(i) for i in range(5)], capacity=9, alignment=1)
    for a, b in itertools.combinations(buffers, 2):
        apart = addresses[a.name] + a.size <= addresses[b.name] or addresses[b.name] + b.size <= addresses[a.name]
        assert apart or not a.meets(b)
    assert all(addresses[buffer.name] + buffer.size <= 9 for buffer in buffers)


def test_walks_begin_in_the_padding():
    program = compile(Builder((1, 6, 6, 3)).conv2d(4, (3, 3), pads=(1, 1, 1, 1)).graph(), TINY)
    load, mac, _ = jobs_of(program)
    assert (load["opcode"], load["length"]) == (Opcode.LOAD, 108)
    assert mac["in_base"] == (load["destination"] - 18) & 0xFFFF_FFFF
    assert (mac["first_row"], mac["first_position"]) == (-1, -3)
    assert (mac["kernel_h"], mac["runs"], mac["run_bytes"]) == (3, 1, 9)


def test_pixels_share_a_window_where_outputs_are_few():
    # 2 of 4 words: two pixels of a row read 2 x 3 positions of 2 channels; the last of 5 columns stands alone.
    program = compile(Builder((1, 5, 6, 2)).conv2d(2, (2, 2)).graph(), TINY)
    mac = jobs_of(program)[1]
    assert (mac["kernel_h"], mac["runs"], mac["run_bytes"]) in {(2, 1, 6), (3, 1, 4)}
    assert (mac["tile_words"], mac["group_words"]) == (4, 2)
    assert mac["edge_columns"] * mac["edge_lines"] == 1 or mac["out_height"] == 2


def test_depthwise_layers_read_planes():
    builder = Builder((1, 8, 8, 3)).conv2d(8, (1, 1))
    builder.depthwise_conv2d(1, (3, 3), pads=(1, 1, 1, 1)).conv2d(4, (1, 1))
    program = assert_exact(builder, DEFAULT)
    assert [layer.output.planes for layer in program.layers] == [0, 4, 0, 0, 0]
    depthwise = jobs_of(program)[2]
    assert (depthwise["kernel_h"], depthwise["run_bytes"]) == (4, 16)
    assert (depthwise["out_height"], depthwise["out_width"], depthwise["word_tiles"]) == (4, 4, 2)


@given(
    channels=st.sampled_from([4, 8, 12, 24]), multiplier=st.sampled_from([1, 1, 2]),
    kernel=st.tuples(*2 * [st.integers(1, 4)]), stride=st.tuples(*2 * [st.integers(1, 2)]),
    size=st.tuples(*2 * [st.integers(4, 9)]), pad=st.integers(0, 3), images=st.integers(1, 2),
)  # fmt: skip
@settings(max_examples=25, deadline=None, derandomize=True)
@pytest.mark.parametrize("config", [ROOMY, DEFAULT], ids=["roomy", "default"])
def test_depthwise_layers_in_planes_are_exact(config, channels, multiplier, kernel, stride, size, pad, images):
    builder = Builder((images, *size, 3)).conv2d(channels, (2, 1))
    builder.depthwise_conv2d(multiplier, kernel, stride=stride, pads=(pad, 0, 1, pad))
    builder.depthwise_conv2d(1, (2, 2), pads=(1, 1, 1, 1)).conv2d(4, (1, 1))
    assert_exact(builder, config)


def test_blocks_are_written_to_planes():
    builder = Builder((1, 21, 21, 3)).conv2d(8, (3, 3), stride=(2, 2), pads=(1, 1, 1, 1))
    program = assert_exact(builder.depthwise_conv2d(1, (3, 3)).conv2d(4, (1, 1)), DEFAULT)
    assert program.layers[1].output.planes == 4
    first = jobs_of(program)[1]
    assert (first["tile_words"], first["group_words"], first["group_columns"], first["edge_lines"]) == (16, 4, 2, 1)


def test_pools_load_their_weights_once():
    builder = Builder((1, 8, 8, 32), profile=Profile.TFLM).average_pool((8, 8), stride=(8, 8))
    program = assert_exact(builder, DEFAULT)
    assert jobs_of(program)[1]["shared_weights"] == 1
    assert program.layers[1].bound.weights == 16 + 64


def test_dilated_taps_are_runs_of_their_own():
    program = compile(Builder((1, 6, 6, 3)).conv2d(2, (2, 2), dilation=(2, 3)).graph(), TINY)
    mac = jobs_of(program)[1]
    assert (mac["kernel_h"], mac["runs"], mac["run_bytes"], mac["run_step"]) == (2, 2, 3, 9)
    assert (mac["dilation_h"], mac["kernel_step"]) == (2, 36)
