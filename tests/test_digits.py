"""The example networks: recognise digits, and mean the same to the reference and to ONNX Runtime."""

import importlib
from pathlib import Path

import numpy as np
import oracle
import pytest
from cimarron_sim.frontend import load
from cimarron_sim.graph import Graph
from cimarron_sim.reference import execute

pytest.importorskip("sklearn", reason="needs scikit-learn: pip install 'cimarron[oracle]'")

FOLDER = Path(__file__).parents[1] / "examples" / "digits"
NETWORKS = ["digits", "digits_conv"]


@pytest.fixture(scope="module")
def digits():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        return importlib.import_module("digits")


def _answer(graph: Graph, device: np.ndarray) -> np.ndarray:
    (source,), (result,) = graph.inputs, graph.outputs
    return graph.decode(result, execute(graph, {source: device})[result])


def test_held_out_digits_are_none_of_the_training(digits):
    images, labels = digits.held_out()
    training, _ = digits.training()
    assert images.shape == (digits.HELD_OUT, 64)
    assert len(training) + len(images) == 1797
    assert set(labels) == set(range(10))
    # Of 1797 scans no two are equal, so none of the held-out ones can have been seen.
    assert len({image.tobytes() for image in (*training, *images)}) == 1797


@pytest.mark.parametrize("name", NETWORKS)
def test_every_answer_equals_onnx_runtime_and_98_percent_are_right(digits, name):
    path = FOLDER / f"{name}.onnx"
    graph, data = load(path), path.read_bytes()
    port = graph.port(graph.inputs[0])
    images, labels = digits.held_out()
    right = 0
    for image, label in zip(images, labels, strict=True):
        image = image.reshape(port.shape)
        expected = oracle.run(data, {port.name: image}, integers=not oracle.saturates())[0]
        assert np.array_equal(_answer(graph, graph.encode(graph.inputs[0], image)), expected)
        right += expected.argmax() == label
    assert right / len(labels) >= 0.98


@pytest.mark.parametrize("name", NETWORKS)
def test_quantised_images_are_what_the_network_computes_with(digits, name):
    graph = load(FOLDER / f"{name}.onnx")
    images, _ = digits.held_out()
    shape = graph.port(graph.inputs[0]).shape
    for image in images[:20]:
        device = graph.encode(graph.inputs[0], image.reshape(shape))
        assert device.tobytes() == digits.quantised(image).tobytes()


def test_layers_do_not_fill_whole_tiles():
    """Sizes that are not multiples of 16 exercise the edges of every macro."""
    graph = load(FOLDER / "digits.onnx")
    sizes = [graph.tensors[node.inputs[1]].shape for node in graph.nodes]
    assert sizes == [(72, 64), (40, 72), (10, 40)]


def test_convolutions_have_strides_and_uneven_padding():
    graph = load(FOLDER / "digits_conv.onnx")
    assert [node.op for node in graph.nodes] == ["conv2d", "conv2d", "reshape", "fully_connected"]
    assert [node.attributes.get("pads") for node in graph.nodes[:2]] == [(1, 1, 1, 1), (0, 0, 1, 1)]
    assert [node.attributes.get("stride") for node in graph.nodes[:2]] == [(1, 1), (2, 2)]
