"""MobileNet v1 0.25 with weights of our own: every tensor against public oracles, and on the system's RTL."""

import dataclasses

import numpy as np
import onnx
import pytest
from cimarron.config import PRESETS
from cimarron.isa import Profile
from cimarron_sim.frontend import onnx as onnx_frontend
from cimarron_sim.frontend import tflite as tflite_frontend
from cimarron_sim.graph import Graph
from cimarron_sim.reference import execute
from cimarron_sim.runner.compare import compare_arrays
from cimarron_sim.runner.session import run_model
from vww_model import onnx_bytes, tflite_bytes, vww_image, vww_layers

CONFIG = PRESETS["default"]


def channels_first(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image.transpose(0, 3, 1, 2))


def micro(image: np.ndarray) -> tuple[Graph, dict[str, np.ndarray]]:
    """The graph, and every tensor as tflite-micro computes it."""
    oracle = pytest.importorskip("tflm_oracle")
    data = tflite_bytes(taps=True)
    graph = tflite_frontend.load(data, "vww.tflite")
    return graph, dict(zip(graph.outputs, oracle.run_all(data, len(graph.outputs), image), strict=True))


def runtime(image: np.ndarray) -> tuple[Graph, dict[str, np.ndarray]]:
    """The graph, and every tensor as ONNX Runtime computes it, in the graph's layout."""
    oracle = pytest.importorskip("oracle")
    data = onnx_bytes(limit=oracle.weight_limit(), taps=True)
    graph = onnx_frontend.load(data, "vww.onnx")
    answers = oracle.run(data, {"image": channels_first(image)})
    names = [value.name for value in onnx.load_model_from_string(data).graph.output]
    tensors = {graph.port(name).name: name for name in graph.outputs}
    return graph, {
        tensors[name]: graph.encode(tensors[name], answer) for name, answer in zip(names, answers, strict=True)
    }


def test_network_is_what_it_claims():
    layers = vww_layers()
    macs = sum(layer.size**2 * layer.weights.size for layer in layers)
    # What is published for this width and image: 7.5 million products, 0.21 million weights.
    assert 7.3e6 < macs < 7.7e6
    assert 0.2e6 < sum(layer.weights.size for layer in layers) < 0.22e6
    assert len(layers) == 28
    assert {layer.y[1] == -128 for layer in layers} == {True, False}
    assert all(not layer.weights.reshape(layer.outputs, -1).any(axis=1).all() for layer in layers[:-1])


@pytest.mark.parametrize("source", [micro, runtime])
def test_reference_equals_the_oracle_in_every_tensor(source):
    for seed in (1, 2):
        image = vww_image(seed)
        graph, expected = source(image)
        values = execute(graph, {graph.inputs[0]: image})
        for name, answer in expected.items():
            assert compare_arrays(seed, name, answer, values[name]) is None
        # Nothing has died on the way: the last convolution still tells pixels apart, and uses most of its range.
        last = next(values[node.outputs[0]] for node in reversed(graph.nodes) if node.op == "conv2d")
        assert len(np.unique(last)) > 100
        assert (last.reshape(9, -1).std(axis=0) > 0).mean() > 0.5


def test_profiles_differ():
    image = vww_image()
    scores = []
    for profile, load, data in (
        (Profile.TFLM, tflite_frontend.load, tflite_bytes()),
        (Profile.ONNX, onnx_frontend.load, onnx_bytes()),
    ):
        graph = load(data, "vww")
        assert graph.profile is profile
        values = execute(graph, {graph.inputs[0]: image})
        scores.append(values[graph.nodes[1].outputs[0]])
    # Of one network: a few values are rounded otherwise, by one.
    difference = np.abs(scores[0].astype(int) - scores[1].astype(int))
    assert 0 < np.count_nonzero(difference) < difference.size // 100
    assert difference.max() == 1


@pytest.mark.cosim
@pytest.mark.slow
@pytest.mark.parametrize("source", [micro, runtime])
def test_every_layer_on_the_system_equals_the_oracle(source):
    image = vww_image()
    graph, expected = source(image)
    single = dataclasses.replace(graph, outputs=(graph.nodes[-1].outputs[0],))
    session = run_model(single, CONFIG, [image if source is micro else channels_first(image)], processes=1)
    assert not session.mismatches
    (inference,) = session.result.inferences
    compared = 0
    for layer in inference.layers:
        if layer.tensor in expected:
            assert (
                compare_arrays(0, layer.name, expected[layer.tensor].reshape(layer.output.shape), layer.output) is None
            )
            compared += 1
    # The output is seen a second time, where it is stored.
    assert compared == sum(node.op != "reshape" for node in graph.nodes) + 1
