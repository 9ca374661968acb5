"""Cycles of the MLPerf Tiny networks on the whole system, against the best published figures and our own bounds.

The TFLite files, and the same networks as ONNX files (``-qdq``), run on the RTL of the default configuration, firmware
included, and every layer is compared with the reference. Three networks are the public ones. That of visual wake words
is made on the fly: the benchmark's layers with weights of our own, a sixteenth of whose channels are dead (of the
public model's, a third). Bounds are those of `cimarron_sim.compiler.bound`, added up over the layers, with and without
the reads of the activation buffer. Run as ``python bench/networks.py [CONFIG [NETWORK ...]]``; prints a table and
writes ``build/bench/networks.json``. The exit code is 1 if a value differs from the reference or, in preset
``default``, a network takes more cycles than its target or than `ALLOWANCE` times the sum of its layers' bounds. The
last column is the simulator's speed: cycles of boot, loading and inferences per second of processor time, so other work
on the machine hardly counts.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchlib import models
from cimarron.config import SocConfig, load_config
from cimarron_sim.runner.session import run_model

OUTPUT = Path("build/bench")

#: The fewest cycles per inference in closed-division results of MLPerf Tiny v1.0: Syntiant NDP120 (keyword spotting,
#: visual wake words), GreenWaves GAP9 (the others).
PUBLISHED = {"KWS": 134_000, "IC": 228_000, "AD": 65_000, "VWW": 391_000}

#: Cycles per inference that preset ``default`` may take: a third of `PUBLISHED`, in thousands, rounded to the nearest.
TARGETS = {"KWS": 45_000, "IC": 76_000, "AD": 22_000, "VWW": 130_000}

#: What preset ``default`` may take of the sum of the layers' bounds: filling, hand-over and the CPU's share included.
ALLOWANCE = 1.10


def measure(name: str, config: SocConfig) -> dict[str, Any]:
    """One network: cycles of an inference whose caches the one before has filled.

    Parameters
    ----------
    name : str
        Of `benchlib.models.names`.
    config : SocConfig
    """
    key = models.network(name)
    published, target = PUBLISHED[key], TARGETS[key]
    session = run_model(models.read(name), config, models.inputs(name), processes=1)
    inference, layers = session.result.inferences[-1], session.program.layers
    on_cpu = [run.cycles for run, layer in zip(inference.layers, layers, strict=True) if layer.bound.cycles == 0]
    bound = sum(layer.bound.cycles for layer in layers)
    without_reads = sum(layer.bound.cycles_without_reads for layer in layers)
    return {
        "network": name,
        "cycles": inference.cycles,
        "published": published,
        "published_ratio": round(published / inference.cycles, 3),
        "target": target,
        "target_ratio": round(inference.cycles / target, 3),
        "bound": bound,
        "bound_ratio": round(inference.cycles / bound, 3),
        "bound_without_reads": without_reads,
        "bound_without_reads_ratio": round(inference.cycles / without_reads, 3),
        "cpu_cycles": sum(on_cpu),
        "mismatches": len(session.mismatches),
        "simulated_cycles": session.result.simulated_cycles,
        "simulation_cpu_seconds": round(session.result.cpu_seconds, 3),
        "layers": [
            {
                "layer": run.name,
                "op": layer.op,
                "cycles": run.cycles,
                "bound": layer.bound.cycles,
                "bound_without_reads": layer.bound.cycles_without_reads,
            }
            for run, layer in zip(inference.layers, layers, strict=True)
        ],
    }


def failures(record: Mapping[str, Any], config: str) -> list[str]:
    """What is wrong with a network's figures, a sentence each.

    Parameters
    ----------
    record : dict
        ``network``, ``cycles``, ``target``, ``bound`` and ``mismatches`` of `measure`.
    config : str
        Of the hardware, as it was asked for; targets are those of preset ``default`` alone.
    """
    name, cycles, wrong = record["network"], record["cycles"], []
    if record["mismatches"]:
        wrong.append(f"{name}: {record['mismatches']} tensors differ from the reference")
    if config != "default":
        return wrong
    if cycles > record["target"]:
        wrong.append(f"{name}: {cycles:,} cycles, more than the target of {record['target']:,}")
    if cycles > ALLOWANCE * record["bound"]:
        wrong.append(f"{name}: {cycles:,} cycles, more than {ALLOWANCE:.2f} times the bounds' {record['bound']:,}")
    return wrong


def main() -> None:
    """Measure all networks, or those that are asked for."""
    config_name = sys.argv[1] if len(sys.argv) > 1 else "default"
    config = load_config(config_name)
    names = sys.argv[2:] or models.names("qdq")
    absent = [name for name in names if not models.is_present(name)]
    if absent:
        print(f"skipped, since the public models are not here: {', '.join(absent)}")
    records = [measure(name, config) for name in names if name not in absent]
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "networks.json").write_text(json.dumps(records, indent=2) + "\n")
    print(f"{'sum of bounds':>80}          without reads of the buffer")
    print(
        "network    cycles  published  times faster     target  times these     bounds  times these"
        "     bounds  times these  on the CPU  mismatches  simulated per second"
    )
    for record in records:
        print(
            f"{record['network']:8} {record['cycles']:8,}  {record['published']:9,}  {record['published_ratio']:12.2f}"
            f"  {record['target']:9,}  {record['target_ratio']:11.3f}"
            f"  {record['bound']:9,}  {record['bound_ratio']:11.3f}"
            f"  {record['bound_without_reads']:9,}  {record['bound_without_reads_ratio']:11.3f}"
            f"  {record['cpu_cycles']:10,}  {record['mismatches']:10}"
            f"  {record['simulated_cycles'] / record['simulation_cpu_seconds']:20,.0f}"
        )
    wrong = [sentence for record in records for sentence in failures(record, config_name)]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    if wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
