"""The public networks on the system's RTL: every tensor, against what tflite-micro and ONNX Runtime computed."""

from pathlib import Path

import numpy as np
import onnx
import oracle
import pytest
from cimarron.config import PRESETS
from cimarron_sim.compiler import Place, check, compile
from cimarron_sim.frontend import load
from cimarron_sim.graph import Graph
from cimarron_sim.runner.compare import compare_arrays
from cimarron_sim.runner.simulation import Simulation

MODELS = Path(__file__).parents[2] / "shared" / "models"
TFLITE = {"ad": "ad01_int8", "kws": "kws_ref_model", "ic": "pretrainedResnet_quant"}
NETWORKS = pytest.mark.parametrize("network", list(TFLITE))
SAMPLES = pytest.mark.parametrize("samples", ["first", pytest.param("others", marks=pytest.mark.slow)])
CONFIG = PRESETS["default"]

pytestmark = pytest.mark.skipif(not MODELS.is_dir(), reason=f"the public models are not at {MODELS}")


def goldens(network: str, samples: str) -> list[dict[str, np.ndarray]]:
    """Arrays of the first sample, or of each of the others, by name."""
    paths = sorted((MODELS / "golden" / network).glob("*.npz"))
    assert len(paths) > 1
    return [dict(np.load(path)) for path in (paths[:1] if samples == "first" else paths[1:])]


def assert_exact(graph: Graph, inputs: list[np.ndarray], expected: list[dict[str, np.ndarray]]) -> None:
    """Run the inputs on the RTL and compare every layer, and the output in memory, with the tensor of its name."""
    program = compile(graph, CONFIG)
    result = Simulation(CONFIG).run(program, [x.tobytes() for x in inputs])
    for sample, (inference, tensors) in enumerate(zip(result.inferences, expected, strict=True)):
        outputs = [(layer.name, layer.tensor, layer.output) for layer in inference.layers]
        outputs.append(("output in memory", graph.outputs[0], inference.output))
        compared = 0
        for name, tensor, got in outputs:
            if tensor in tensors:
                assert compare_arrays(sample, name, tensors[tensor].reshape(got.shape), got) is None
                compared += 1
        # What is not compared: sums of 32 bits that ONNX Runtime does not hand out.
        assert compared == sum(got.dtype != np.int32 for _, _, got in outputs)


@NETWORKS
def test_every_operator_is_placed(network):
    for path in (MODELS / f"{TFLITE[network]}.tflite", *sorted((MODELS / "onnx").glob(f"{network}_*.onnx"))):
        assert {verdict.place for verdict in check(load(path), CONFIG)} <= {Place.ENGINE, Place.CPU, Place.HOST}


@pytest.mark.cosim
@SAMPLES
@NETWORKS
def test_tflite_network_equals_tflite_micro_on_the_system(network, samples):
    graph, found = load(MODELS / f"{TFLITE[network]}.tflite"), goldens(network, samples)
    expected = []
    for golden in found:
        names = sorted(name for name in golden if name.startswith("op"))
        tensors = {node.outputs[0]: golden[name] for node, name in zip(graph.nodes, names, strict=True)}
        expected.append({graph.inputs[0]: golden["input"], **tensors})
    assert_exact(graph, [golden["input"] for golden in found], expected)


def channels_first(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array.transpose(0, 3, 1, 2)) if array.ndim == 4 else array


def onnx_runtime(graph: Graph, network: str, arrays: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Tensors of a graph as ONNX Runtime computes them, in the device's layout.

    Both forms name their tensors alike; ONNX Runtime computes the layers of one of them in integers.
    """
    model = onnx.load(MODELS / "onnx" / f"{network}_qlinear.onnx")
    known = {value.name for value in model.graph.output}
    for node in graph.nodes:
        name = node.outputs[0]
        if graph.tensors[name].dtype == np.int8 and name not in known and node.op != "reshape":
            model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT8, None))
    order = [value.name for value in model.graph.output]
    data, source = model.SerializeToString(), graph.inputs[0]
    found = []
    for x in arrays:
        answers = oracle.run(data, {graph.port(source).name: x})
        layout = (answer.transpose(0, 2, 3, 1) if answer.ndim == 4 else answer for answer in answers)
        found.append({source: graph.encode(source, x), **dict(zip(order, layout, strict=True))})
    return found


@pytest.mark.cosim
@SAMPLES
@NETWORKS
@pytest.mark.parametrize("form", ["qlinear", "qdq"])
def test_onnx_network_equals_onnx_runtime_on_the_system(network, form, samples):
    graph = load(MODELS / "onnx" / f"{network}_{form}.onnx")
    arrays = [channels_first(golden["input"]) for golden in goldens(network, samples)]
    expected = onnx_runtime(graph, network, arrays)
    assert_exact(graph, [tensors[graph.inputs[0]] for tensors in expected], expected)
