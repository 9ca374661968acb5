"""The public networks, whole: every tensor of every layer, against what tflite-micro and ONNX Runtime computed."""

from pathlib import Path

import numpy as np
import onnx
import oracle
import pytest
from cimarron.config import PRESETS
from cimarron.isa import Profile
from cimarron_sim.compiler import compile
from cimarron_sim.frontend import load
from cimarron_sim.reference import execute
from random_graphs import run_on_model

MODELS = Path(__file__).parents[2] / "shared" / "models"
NETWORKS = {"ad": "ad01_int8", "kws": "kws_ref_model", "ic": "pretrainedResnet_quant"}


def _goldens(network: str) -> list[Path]:
    if not MODELS.is_dir():
        pytest.skip(f"the public models are not at {MODELS}")
    goldens = sorted((MODELS / "golden" / network).glob("*.npz"))
    assert goldens
    return goldens


@pytest.mark.parametrize(("network", "layers"), [("ad", 10), ("kws", 13), ("ic", 16)])
def test_tflite_network_equals_tflite_micro_layer_by_layer(network, layers):
    goldens = _goldens(network)
    graph = load(MODELS / f"{NETWORKS[network]}.tflite")
    assert graph.profile is Profile.TFLM
    for path in goldens:
        golden = np.load(path)
        values = execute(graph, {graph.inputs[0]: golden["input"]})
        names = sorted(name for name in golden.files if name.startswith("op"))
        assert len(names) == len(graph.nodes) == layers
        for node, name in zip(graph.nodes, names, strict=True):
            assert np.array_equal(values[node.outputs[0]], golden[name]), f"{path.name}: {node.name}"
        assert np.array_equal(values[graph.outputs[0]], golden["output"]), path.name


def test_tflite_autoencoder_runs_on_the_engines_model():
    """From the file to the engine's own steps: the answer is tflite-micro's."""
    goldens, config = _goldens("ad"), PRESETS["default"]
    program = compile(load(MODELS / "ad01_int8.tflite"), config)
    for path in goldens:
        golden = np.load(path)
        output, _ = run_on_model(program, config, golden["input"].tobytes())
        assert np.array_equal(program.output.array(output), golden["output"]), path.name


@pytest.mark.parametrize("network", ["ad", "kws", "ic"])
@pytest.mark.parametrize("form", ["qlinear", "qdq"])
def test_onnx_network_equals_onnx_runtime_layer_by_layer(network, form):
    """Both forms name their tensors alike; ONNX Runtime computes the layers of one of them in integers."""
    goldens = _goldens(network)
    graph = load(MODELS / "onnx" / f"{network}_{form}.onnx")
    model = onnx.load(MODELS / "onnx" / f"{network}_qlinear.onnx")
    names = [node.outputs[0] for node in graph.nodes if node.op != "reshape"]
    names = [name for name in names if graph.tensors[name].dtype == np.int8]
    known = {value.name for value in model.graph.output}
    for name in names:
        if name not in known:
            model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT8, None))
    order = [value.name for value in model.graph.output]
    (source,) = graph.inputs
    for path in goldens:
        x = np.load(path)["input"]
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x
        values = execute(graph, {source: graph.encode(source, x)})
        answers = oracle.run(model.SerializeToString(), {graph.port(source).name: x})
        expected = dict(zip(order, answers, strict=True))
        for name in names:
            answer = values[name].transpose(0, 3, 1, 2) if values[name].ndim == 4 else values[name]
            assert np.array_equal(answer, expected[name].reshape(answer.shape)), f"{path.name}: {name}"
