"""Networks larger than the activation buffer: what moves through main memory changes no bit."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from cimarron.config import PRESETS
from cimarron_sim.compiler import CompileError
from cimarron_sim.compiler.compile import compile
from cimarron_sim.compiler.explain import movements
from cimarron_sim.compiler.predict import predict
from cimarron_sim.compiler.program import Program
from cimarron_sim.frontend import load
from cimarron_sim.graph import Graph
from cimarron_sim.reference import execute
from cimarron_sim.runner.compare import compare_inference
from cimarron_sim.runner.simulation import Simulation
from random_graphs import Builder, run_on_model
from spilling import assert_nothing_overlaps, random_network, small_buffer, smallest_buffer

MODELS = Path(__file__).parents[2] / "shared" / "models"


def assert_exact(graph: Graph, program: Program, config, seed: int) -> None:
    """Every tensor, wherever it lies, and the output in memory."""
    tensor = graph.tensors[graph.inputs[0]]
    x = np.random.default_rng(seed).integers(-128, 127, tensor.shape, tensor.dtype, endpoint=True)
    expected = execute(graph, {tensor.name: x})
    output, snapshots = run_on_model(program, config, x.tobytes())
    for layer in program.layers:
        got = layer.output.array(snapshots[layer.last_job].stored(layer.output))
        np.testing.assert_array_equal(got, expected[layer.output.tensor], err_msg=layer.name)
    np.testing.assert_array_equal(program.output.array(output), expected[graph.outputs[0]])


@pytest.mark.parametrize("seed", range(40))
def test_random_networks_are_exact_in_the_smallest_buffer(seed):
    graph = random_network(seed)
    found = smallest_buffer(graph, 1 << 16)
    assert found is not None
    config, program = found
    assert_exact(graph, program, config, seed)


def test_networks_that_fit_stay_in_the_buffer():
    program = compile(random_network(0), small_buffer(1 << 16))
    assert [layer.op for layer in program.layers if layer.output.is_spilled] == ["store"]
    assert not any(placement.stripes for placement in program.placements)


def test_the_choice_is_the_same_every_time():
    found = [smallest_buffer(random_network(3), 1 << 16) for _ in range(3)]
    assert len({program.image for _, program in filter(None, found)}) == 1
    assert all(found)


@pytest.mark.parametrize("seed", range(8))
def test_nothing_lies_over_anything_else(seed):
    """In the buffer, in no step; in memory, behind the image and inside what the header says."""
    found = smallest_buffer(random_network(seed), 1 << 16)
    assert found is not None
    config, program = found
    assert_nothing_overlaps(random_network(seed), config)
    assert all(part.address + part.nbytes <= config.engine.act_buffer_bytes for part in program.placements)
    for layer in program.layers:
        if layer.output.is_spilled:
            end = layer.output.address + layer.output.nbytes
            assert len(program.image) <= layer.output.address <= end <= program.header["memory_bytes"]


def test_only_what_has_to_is_in_memory():
    # 1024, 2048, 2048 and 64 bytes: of the two large ones, one may stay in 3072 bytes beside a few rows of the other.
    builder = Builder((1, 16, 16, 4)).conv2d(8, (1, 1), name="a").conv2d(8, (1, 1), name="b")
    program = compile(builder.average_pool((8, 8), (8, 8)).graph(), small_buffer(4096))
    assert [layer.output.is_spilled for layer in program.layers if layer.output.nbytes == 2048].count(True) <= 1


def test_movements_are_those_of_the_jobs():
    """A convolution of 3 x 3 in two stripes loads the two rows between them twice, and stores each row once."""
    graph = Builder((1, 16, 16, 8)).conv2d(8, (3, 3), pads=(1, 1, 1, 1), name="a").graph()
    (row,) = movements(compile(graph, small_buffer(2048)))
    assert row.layer == "a"
    assert row.stripes >= 2
    assert row.loaded == (16 + 2 * (row.stripes - 1)) * 128
    assert row.stored == 16 * 128


def test_a_network_that_memory_cannot_hold_either_is_refused():
    config = dataclasses.replace(small_buffer(1024), ram_bytes=65536)
    graph = Builder((1, 40, 40, 8)).conv2d(8, (1, 1)).conv2d(8, (1, 1)).conv2d(8, (1, 1)).graph()
    # Two tensors in the middle, input and output, of 40 * 40 * 8 bytes each.
    with pytest.raises(
        CompileError,
        match=r"activations that the buffer has no room for take 25600, input and output 25600, .* more ram_bytes",
    ):
        compile(graph, config)


@pytest.mark.cosim
def test_random_networks_are_exact_on_the_system():
    """Every tensor, in the predicted cycles; one system for all networks."""
    size = 256
    config = small_buffer(size)
    simulation, ran = Simulation(config), 0
    for seed in range(100, 160):
        graph = random_network(seed)
        found = smallest_buffer(graph, size + 1)
        if found is None or compile(graph, config).layers[-1].last_job < 20:
            continue
        program = compile(graph, config)
        tensor = graph.tensors[graph.inputs[0]]
        x = np.random.default_rng(seed).integers(-128, 127, (2, *tensor.shape), tensor.dtype, endpoint=True)
        result = simulation.run(program, [data.tobytes() for data in x], processes=1)
        expected = predict(program, config.engine)
        for sample, inference in enumerate(result.inferences):
            wanted = execute(graph, {tensor.name: x[sample]})
            assert not compare_inference(sample, inference, wanted, graph.outputs[0]), seed
            assert [run.counters.busy for run in inference.layers] == expected, seed
        ran += 1
        if ran == 12:
            break
    assert ran == 12


@pytest.mark.cosim
@pytest.mark.slow
@pytest.mark.parametrize("name", ["kws_ref_model", "pretrainedResnet_quant"])
def test_public_networks_are_exact_in_an_eighth_of_the_buffer(name):
    path = MODELS / f"{name}.tflite"
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    graph, config = load(path), small_buffer(8192, PRESETS["default"])
    program = compile(graph, config)
    assert sum(layer.output.is_spilled for layer in program.layers) > 4
    tensor = graph.tensors[graph.inputs[0]]
    x = np.random.default_rng(1).integers(-128, 127, tensor.shape, tensor.dtype, endpoint=True)
    (inference,) = Simulation(config).run(program, [x.tobytes()], processes=1).inferences
    assert not compare_inference(0, inference, execute(graph, {tensor.name: x}), graph.outputs[0])
    assert [run.counters.busy for run in inference.layers] == predict(program, config.engine)
