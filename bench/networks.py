"""Cycles of the MLPerf Tiny networks on the whole system, against the best published figures and our own bounds.

The TFLite files run on the RTL of the default configuration, firmware included, and every layer is compared with the
reference. Three files are the public ones. That of visual wake words is made on the fly: the benchmark's layers with
weights of our own, a sixteenth of whose channels are dead (of the public model's, a third). Run as
``python bench/networks.py [CONFIG [NETWORK ...]]``; prints a table and writes ``build/bench/networks.json``.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from cimarron.config import SocConfig, load_config
from cimarron_sim.frontend import load
from cimarron_sim.graph import Graph
from cimarron_sim.runner.session import run_model

OUTPUT = Path("build/bench")
ROOT = Path(__file__).parents[1]
MODELS = ROOT.parent / "shared" / "models"

#: File, folder of recorded inputs, and the fewest cycles per inference in closed-division results of MLPerf Tiny v1.0:
#: Syntiant NDP120 (keyword spotting, visual wake words), GreenWaves GAP9 (the others).
NETWORKS = {
    "KWS": ("kws_ref_model.tflite", "kws", 134_000),
    "IC": ("pretrainedResnet_quant.tflite", "ic", 228_000),
    "AD": ("ad01_int8.tflite", "ad", 65_000),
    "VWW": ("", "", 391_000),
}


def network(name: str) -> tuple[Graph, list[np.ndarray]]:
    """The graph of one network, and two inputs."""
    file, folder, _ = NETWORKS[name]
    if file:
        inputs = [np.load(path)["input"] for path in sorted((MODELS / "golden" / folder).glob("*.npz"))[:2]]
        return load(MODELS / file), inputs
    sys.path.insert(0, str(ROOT / "tests"))
    from vww_model import tflite_bytes, vww_image

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "vww.tflite")
        path.write_bytes(tflite_bytes())
        return load(path), [vww_image(seed) for seed in (1, 2)]


def measure(name: str, config: SocConfig) -> dict[str, Any]:
    """One network: cycles of an inference whose caches the one before has filled.

    Parameters
    ----------
    name : str
        Key of `NETWORKS`.
    config : SocConfig
    """
    graph, inputs = network(name)
    published = NETWORKS[name][2]
    session = run_model(graph, config, inputs, processes=1)
    inference, layers = session.result.inferences[-1], session.program.layers
    on_cpu = [run.cycles for run, layer in zip(inference.layers, layers, strict=True) if layer.bound.cycles == 0]
    bound = sum(layer.bound.cycles for layer in layers)
    return {
        "network": name,
        "cycles": inference.cycles,
        "published": published,
        "published_ratio": round(published / inference.cycles, 3),
        "bound": bound,
        "bound_ratio": round(inference.cycles / bound, 3),
        "cpu_cycles": sum(on_cpu),
        "mismatches": len(session.mismatches),
        "layers": [
            {"layer": run.name, "op": layer.op, "cycles": run.cycles, "bound": layer.bound.cycles}
            for run, layer in zip(inference.layers, layers, strict=True)
        ],
    }


def main() -> None:
    """Measure all networks, or those that are asked for."""
    config = load_config(sys.argv[1] if len(sys.argv) > 1 else "default")
    names = sys.argv[2:] or list(NETWORKS)
    if not MODELS.is_dir():
        print(f"skipped: the public models are not at {MODELS}")
        names = [name for name in names if not NETWORKS[name][0]]
    records = [measure(name, config) for name in names]
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "networks.json").write_text(json.dumps(records, indent=2) + "\n")
    print("network    cycles  published  times faster  sum of bounds  times the bounds  on the CPU  mismatches")
    for record in records:
        print(
            f"{record['network']:7}  {record['cycles']:8,}  {record['published']:9,}  {record['published_ratio']:12.2f}"
            f"  {record['bound']:13,}  {record['bound_ratio']:16.3f}  {record['cpu_cycles']:10,}"
            f"  {record['mismatches']:10}"
        )
    if any(record["mismatches"] for record in records):
        sys.exit(1)


if __name__ == "__main__":
    main()
