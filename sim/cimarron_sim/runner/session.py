"""A model on the simulated chip, every layer checked: what ``cimarron run`` and the examples do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cimarron.config import SocConfig

from ..compiler.compile import compile
from ..compiler.program import Program
from ..graph import Graph
from ..reference import execute
from ..report.record import describe_run
from .compare import Mismatch, compare_inference
from .simulation import Progress, RunResult, Simulation

__all__ = ["Session", "run_model"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Session:
    """What a run of a model brought.

    Parameters
    ----------
    program : Program
    result : RunResult
    outputs : tuple of array
        What the hardware answered, each of the shape and dtype of the model's own output.
    mismatches : tuple of Mismatch
        Every tensor that differs from the reference.
    record : dict
        The report, see `cimarron_sim.report.record.describe_run`.
    """

    program: Program
    result: RunResult
    outputs: tuple[np.ndarray, ...]
    mismatches: tuple[Mismatch, ...]
    record: dict[str, Any]


def run_model(
    graph: Graph,
    config: SocConfig,
    arrays: Sequence[np.ndarray],
    *,
    build_dir: Path | str = "build/sim",
    trace: Path | None = None,
    processes: int = 0,
    announce: Callable[[str], None] = lambda text: None,
    progress: Callable[[Progress], None] | None = None,
) -> Session:
    """Compile a model, run it on the simulated chip and compare every layer with the reference.

    Parameters
    ----------
    graph : Graph
    config : SocConfig
    arrays : sequence of array
        Inputs of the shape of the model's own input; floats are quantised as the model says.
    build_dir, trace, processes
        See `Simulation` and `Simulation.run`.
    announce : callable
        Told in words what begins.
    progress : callable, optional
        Called after every inference.

    Returns
    -------
    Session

    Raises
    ------
    CompileError
        If the hardware cannot run the model.
    GraphError
        If an input has another shape or type than the model's.
    SimulationError
        If the simulated chip reports an error or nothing at all.
    ToolError
        If the simulator cannot be built.
    """
    source, target = graph.inputs[0], graph.outputs[0]
    program = compile(graph, config)
    encoded = [graph.encode(source, array) for array in arrays]
    announce("preparing the simulator (the first time takes a minute)")
    simulation = Simulation(config, build_dir, trace=trace)
    announce(f"simulating {len(encoded)} inference{'s' if len(encoded) > 1 else ''}")
    result = simulation.run(program, [array.tobytes() for array in encoded], processes=processes, progress=progress)
    announce("comparing every layer with the reference")
    mismatches: list[Mismatch] = []
    for sample, (array, inference) in enumerate(zip(encoded, result.inferences, strict=True)):
        mismatches += compare_inference(sample, inference, execute(graph, {source: array}), target)
    tensors = sum(len(inference.layers) + 1 for inference in result.inferences)
    return Session(
        program=program,
        result=result,
        outputs=tuple(graph.decode(target, inference.output) for inference in result.inferences),
        mismatches=tuple(mismatches),
        record=describe_run(program, config, result, mismatches, tensors),
    )
