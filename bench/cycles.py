"""Predicted and measured cycles of every layer of the digits and the MLPerf Tiny networks, on the whole system.

Measured is what the engine's counter ``BUSY`` says, on the RTL, firmware included; layers of the CPU leave it alone.
Neither those nor the time between an inference's layers is predicted: ``predicted`` of a network is the sum over what
the engine computes, and stands beside the cycles that the whole inference took. Networks come in every format that is
here: TFLite, and ONNX with QDQ and QLinear operators. Run as ``python bench/cycles.py [CONFIG [NETWORK ...]]``, a
network being a name such as ``digits``, ``KWS`` (TFLite), ``KWS-qdq`` or ``VWW-qdq``; prints a table per network and
writes ``build/bench/cycles.json``. The exit code is 1 if a prediction is not exact.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchlib import models
from cimarron.config import SocConfig, load_config
from cimarron_sim.compiler.compile import compile
from cimarron_sim.compiler.predict import predict
from cimarron_sim.frontend import load
from cimarron_sim.graph import Graph
from cimarron_sim.runner.simulation import Simulation

OUTPUT = Path("build/bench")
ROOT = Path(__file__).parents[1]

DIGITS = ("digits", "digits_conv")


def names() -> list[str]:
    """Of all networks that are here, in every format."""
    return [*DIGITS, *filter(models.is_present, models.names("qdq", "qlinear"))]


def read(name: str) -> Graph:
    """The graph of one of `names`."""
    if name in DIGITS:
        return load(ROOT / "examples" / "digits" / f"{name}.onnx")
    return models.read(name)


def compare(name: str, graph: Graph, config: SocConfig, simulation: Simulation) -> dict[str, Any]:
    """One inference of a network, of random input.

    Parameters
    ----------
    name : str
    graph : Graph
    config : SocConfig
    simulation : Simulation
        Of that configuration.
    """
    program = compile(graph, config)
    begin = time.perf_counter()
    predicted = predict(program, config.engine)
    seconds = time.perf_counter() - begin
    data = np.random.default_rng(0).bytes(program.input.nbytes)
    (inference,) = simulation.run(program, [data], processes=1).inferences
    return {
        "network": name,
        "prediction_seconds": round(seconds, 4),
        "predicted": sum(predicted),
        "inference": inference.cycles,
        "layers": [
            {
                "layer": run.name,
                "op": layer.op,
                "predicted": cycles,
                "measured": run.counters.busy,
                "difference": run.counters.busy - cycles,
                "bound": layer.bound.cycles,
            }
            for run, layer, cycles in zip(inference.layers, program.layers, predicted, strict=True)
        ],
    }


def main() -> None:
    """Compare all networks that are there, or those that are asked for."""
    config = load_config(sys.argv[1] if len(sys.argv) > 1 else "default")
    chosen = sys.argv[2:] or names()
    if absent := [name for name in chosen if name not in names()]:
        sys.exit(f"not here: {', '.join(absent)}; here are {', '.join(names())}")
    simulation = Simulation(config)
    records = {name: compare(name, read(name), config, simulation) for name in chosen}
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "cycles.json").write_text(json.dumps(records, indent=2) + "\n")
    for name, record in records.items():
        layers = [layer for layer in record["layers"] if layer["bound"]]
        print(
            f"{name}: {len(layers)} layers on the engine, predicted in {1e3 * record['prediction_seconds']:.1f} ms:"
            f" {record['predicted']:,} cycles; the inference, with cold caches, took {record['inference']:,}"
        )
        for layer in layers:
            print(
                f"  {layer['layer'][:30]:30}  predicted {layer['predicted']:8,}  measured {layer['measured']:8,}"
                f"  difference {layer['difference']}"
            )
    if any(layer["difference"] for record in records.values() for layer in record["layers"]):
        sys.exit(1)


if __name__ == "__main__":
    main()
