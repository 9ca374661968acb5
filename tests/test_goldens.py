"""The public networks, whole: every tensor of every layer, against what tflite-micro and ONNX Runtime computed."""

from pathlib import Path

import numpy as np
import pytest
from cimarron.isa import Profile
from cimarron_sim.frontend import load
from cimarron_sim.reference import execute

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
