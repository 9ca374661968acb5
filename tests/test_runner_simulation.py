"""The fast simulation must bring back what the RTL computed, and say so when it could not."""

import dataclasses
import struct

import numpy as np
import pytest
from cimarron.config import PRESETS
from cimarron.isa import PROGRAM_HEADER
from cimarron_sim.compiler.compile import compile
from cimarron_sim.compiler.image import HEADER_BYTES, finish, header_of
from cimarron_sim.reference import execute
from cimarron_sim.runner.compare import compare_inference
from cimarron_sim.runner.simulation import Simulation, SimulationError
from networks import two_layers

pytestmark = pytest.mark.cosim

CONFIG = PRESETS["tiny"]
GRAPH = two_layers()


@pytest.fixture(scope="module")
def simulation():
    """The smallest system; built once and found again."""
    return Simulation(CONFIG)


@pytest.fixture(scope="module")
def program():
    """The network, compiled."""
    return compile(GRAPH, CONFIG)


def samples(count, seed=3):
    """Inputs of the network, from the extremes inwards."""
    rng = np.random.default_rng(seed)
    extremes = [np.full((1, 20), value, np.int8) for value in (-128, 127, 0)]
    return [*extremes, *(rng.integers(-128, 128, (1, 20)).astype(np.int8) for _ in range(count))][:count]


def test_every_layer_equals_the_reference(simulation, program):
    arrays = samples(6)
    seen = []
    result = simulation.run(program, [a.tobytes() for a in arrays], progress=seen.append)
    assert len(result.inferences) == 6
    for sample, (array, inference) in enumerate(zip(arrays, result.inferences, strict=True)):
        assert [layer.name for layer in inference.layers] == ["input", "fc1", "fc2", "output"]
        assert compare_inference(sample, inference, execute(GRAPH, {"x": array}), "y") == []
    assert result.uart == "Cimarron\r\n"
    assert [state.done for state in seen] == [1, 2, 3, 4, 5, 6]


def test_costs_add_up(simulation, program):
    inferences = simulation.run(program, [a.tobytes() for a in samples(4)], processes=1).inferences
    for inference in inferences:
        layers = inference.layers
        assert sum(layer.cycles for layer in layers) < inference.cycles
        assert 0 < inference.firmware_cycles < inference.cycles
        # Counted by hand from the shapes: 16 rows and 4 outputs of 8 bits per operation.
        assert [layer.counters.operations for layer in layers] == [0, 2 * 3, 1 * 2, 0]
        assert [layer.counters.compute for layer in layers] == [0, 8 * 6, 8 * 2, 0]
        assert all(layer.counters.busy <= layer.cycles for layer in layers)
        # A layer may prepare during its predecessor, so the bound holds for the sum only.
        assert sum(layer.bound.cycles for layer in program.layers) <= inference.cycles
    # Only the first inference finds cold caches.
    assert len({inference.cycles for inference in inferences[1:]}) == 1
    assert inferences[0].cycles > inferences[1].cycles


def test_processes_change_nothing_but_the_time(simulation, program):
    inputs = [array.tobytes() for array in samples(5)]
    one = simulation.run(program, inputs, processes=1)
    two = simulation.run(program, inputs, processes=2)
    for a, b in zip(one.inferences, two.inferences, strict=True):
        np.testing.assert_array_equal(a.output, b.output)
    assert one.inferences[-1].cycles == two.inferences[-1].cycles


def test_a_wrong_result_is_found(simulation, program):
    array = samples(1)[0]
    (inference,) = simulation.run(program, [array.tobytes()]).inferences
    expected = execute(GRAPH, {"x": array})
    right = int(expected["h"][0, 7])
    expected["h"][0, 7] = right ^ 1
    (mismatch,) = compare_inference(4, inference, expected, "y")
    assert str(mismatch) == (
        f"sample 4, layer 'fc1', index [0, 7]: expected {right ^ 1}, got {right} (1 of 11 values differ)"
    )


def test_weights_changed_in_the_image_change_the_result(program, simulation):
    # The CRC is taken anew, so that the hardware runs the wrong weights: the comparison must notice.
    header = header_of(program.image)
    body = bytearray(program.image[HEADER_BYTES:])
    end = header["input_offset"] - HEADER_BYTES
    body[end - 64 : end] = bytes(byte ^ 0x55 for byte in body[end - 64 : end])
    words = {name: header[name] for name in ("config_hash", *PROGRAM_HEADER[5:])}
    spoiled = dataclasses.replace(program, image=finish(bytes(body), **words))
    array = samples(4)[3]
    (inference,) = simulation.run(spoiled, [array.tobytes()]).inferences
    assert compare_inference(0, inference, execute(GRAPH, {"x": array}), "y")


def test_a_refused_program_is_an_error(simulation, program):
    other = dataclasses.replace(CONFIG, engine=dataclasses.replace(CONFIG.engine, psum_entries=512))
    with pytest.raises(SimulationError, match=r"answered load with BAD_CONFIG, info 0x[0-9a-f]{8}"):
        simulation.run(compile(GRAPH, other), [samples(1)[0].tobytes()])


def test_a_firmware_that_hangs_is_an_error(simulation, program):
    jump_to_itself = struct.pack("<I", 0x0000006F)
    with pytest.raises(SimulationError, match="no answer from the firmware to boot"):
        simulation.run(program, [samples(1)[0].tobytes()], firmware=jump_to_itself, limit=10_000)


def test_a_firmware_that_does_not_fit_is_an_error(simulation, program):
    with pytest.raises(SimulationError, match="does not fit the main memory"):
        simulation.run(program, [samples(1)[0].tobytes()], firmware=bytes(CONFIG.ram_bytes + 1))


def test_inputs_of_another_size_are_refused(simulation, program):
    with pytest.raises(ValueError, match="input 1 has 19 bytes, the program takes 20"):
        simulation.run(program, [bytes(20), bytes(19)])
    with pytest.raises(ValueError, match="no input"):
        simulation.run(program, [])
