"""The report of a run, as JSON: every other form is made from it."""

import dataclasses
from collections.abc import Sequence
from importlib.metadata import version
from statistics import median_low
from typing import Any

from cimarron.config import SocConfig

from ..compiler.program import Layer, Program
from ..runner.compare import Mismatch
from ..runner.simulation import COUNTERS, RunResult

__all__ = ["FORMAT", "describe_run"]

#: Version of the report's format; what it holds is in ``schema.json``.
FORMAT = 4


def _layer(program_layer: Layer, runs: Sequence[Any], config: SocConfig) -> dict[str, Any]:
    cycles = median_low(run.cycles for run in runs)
    # The figures of one and the same inference, so that they add up.
    run = next(run for run in runs if run.cycles == cycles)
    counters = {name: getattr(run.counters, name) for name in COUNTERS}
    bound = program_layer.bound
    stalls = {name: counters[f"stall_{name}"] for name in ("input", "weights", "output")}
    return {
        "layer": program_layer.name,
        "op": program_layer.op,
        "on": run.on,
        "shape": list(program_layer.output.shape),
        "cycles": cycles,
        "cycles_min": min(run.cycles for run in runs),
        "cycles_max": max(run.cycles for run in runs),
        "macs": program_layer.macs,
        "peak_macs": program_layer.peak_macs,
        "utilisation": program_layer.utilisation(cycles),
        "streamed_bytes": bound.weights * config.engine.port_bytes,
        "bound": bound.cycles,
        "bounds": dataclasses.asdict(bound),
        "operations": counters["operations"],
        "compute": counters["compute"],
        "stalls": {**stalls, "control": max(0, cycles - counters["busy"])},
        "rest": max(0, counters["busy"] - counters["compute"] - sum(stalls.values())),
    }


def _buffer(program: Program, config: SocConfig) -> dict[str, Any]:
    names = {"nbytes": "bytes"}
    return {
        "bytes": config.engine.act_buffer_bytes,
        "tensors": [
            {names.get(name, name): value for name, value in dataclasses.asdict(placement).items()}
            for placement in program.placements
        ],
    }


def _timeline(result: RunResult) -> dict[str, Any] | None:
    """Of the last inference."""
    inference = result.inferences[-1]
    if inference.timeline is None:
        return None
    return {
        "sample": len(result.inferences) - 1,
        "cycles": inference.cycles,
        **dataclasses.asdict(inference.timeline),
    }


def describe_run(
    program: Program, config: SocConfig, result: RunResult, mismatches: Sequence[Mismatch], tensors: int
) -> dict[str, Any]:
    """The record of a run.

    Parameters
    ----------
    program : Program
    config : SocConfig
    result : RunResult
    mismatches : sequence of Mismatch
    tensors : int
        How many tensors were compared with the reference.

    Returns
    -------
    dict
        What ``docs/report.md`` describes and ``schema.json`` demands. Cycles are those of the median inference; of a
        layer, the entry is that of an inference in which it took its median, whose ``compute``, ``stalls`` and ``rest``
        add up to its ``cycles``.
    """
    inferences = result.inferences
    cycles = median_low(inference.cycles for inference in inferences)
    layers = [
        _layer(layer, [inference.layers[index] for inference in inferences], config)
        for index, layer in enumerate(program.layers)
    ]
    macs = sum(layer.macs for layer in program.layers)
    return {
        "format": FORMAT,
        "cimarron": version("cimarron"),
        "model": program.name,
        "model_hash": program.model_hash,
        "profile": program.profile,
        "config": dataclasses.asdict(config),
        "config_hash": f"{config.engine.hash:08x}",
        "port_bytes": config.engine.port_bytes,
        "samples": len(inferences),
        "tensors_compared": tensors,
        "mismatches": len(mismatches),
        "mismatch_list": [str(mismatch) for mismatch in mismatches[:100]],
        "cycles_per_inference": cycles,
        "cycles_per_inference_min": min(inference.cycles for inference in inferences),
        "cycles_per_inference_max": max(inference.cycles for inference in inferences),
        "firmware_cycles_per_inference": median_low(inference.firmware_cycles for inference in inferences),
        "microseconds_per_inference": cycles * 1e6 / config.clock_hz,
        "macs_per_inference": macs,
        "macs_per_cycle": macs / cycles,
        "bound_per_inference": sum(layer["bound"] for layer in layers),
        "simulated_cycles": result.simulated_cycles,
        "simulation_seconds": round(result.seconds, 6),
        "simulation_cpu_seconds": round(result.cpu_seconds, 6),
        "simulated_cycles_per_second": round(result.cycles_per_second, 1),
        "layers": layers,
        "buffer": _buffer(program, config),
        "timeline": _timeline(result),
    }
