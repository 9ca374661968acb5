"""A model on a chip at the other end of a serial port, its outputs checked: ``cimarron run --target serial:...``."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import astuple, replace

import numpy as np
from cimarron.config import SocConfig

from ..compiler.bound import Bound
from ..compiler.compile import compile
from ..compiler.program import Layer, Program
from ..graph import Graph
from ..host.device import Device, Result, open_device
from ..host.target import SerialTarget
from ..reference import execute
from ..report.record import describe_run
from .compare import compare_arrays
from .session import Session
from .simulation import Counters, Inference, LayerRun, Progress, RunResult

__all__ = ["run_on_board"]

#: What stands in the report for all layers: nothing outside the chip sees where one ends.
_WHOLE = "whole network"


def _whole(program: Program) -> Program:
    """The program as if it were one layer. Its bounds hold by the sum of each resource, see `compiler.bound`."""
    layers = program.layers
    macs = sum(layer.macs for layer in layers)
    at_peak = sum(layer.macs / layer.peak_macs for layer in layers if layer.macs)
    sums = (sum(column) for column in zip(*(astuple(layer.bound) for layer in layers), strict=True))
    layer = Layer(
        name=_WHOLE,
        op="network",
        last_job=0,
        output=program.output,
        macs=macs,
        peak_macs=macs / at_peak if macs else 0.0,
        bound=Bound(*sums),
    )
    return replace(program, layers=(layer,), placements=())


def _inference(program: Program, content: bytes, result: Result) -> Inference:
    output = program.output.array(content)
    counters = Counters(
        busy=result.busy,
        compute=result.compute,
        stall_input=result.stall_input,
        stall_weights=result.stall_weights,
        stall_output=result.stall_output,
        operations=result.operations,
    )
    run = LayerRun(
        name=_WHOLE,
        tensor=program.output.tensor,
        on="engine",
        cycles=result.cycles,
        counters=counters,
        output=output,
    )
    return Inference(output=output, layers=(run,), cycles=result.cycles, firmware_cycles=result.cycles)


@contextmanager
def _untold(what: str) -> Iterator[Callable[..., None]]:
    """For callers that do not want to know how far it is."""
    yield lambda *state: None


def _set_rate(device: Device, target: SerialTarget, announce: Callable[[str], None]) -> None:
    if target.baud and not device.set_baud(target.baud):
        announce(f"nothing comes through at {target.baud} baud: staying at {device.link.baud}")


def run_on_board(
    graph: Graph,
    config: SocConfig,
    arrays: Sequence[np.ndarray],
    target: SerialTarget,
    *,
    announce: Callable[[str], None] = lambda text: None,
    transfer: Callable[[str], AbstractContextManager[Callable[[int, int], None]]] = _untold,
    progress: Callable[[str], AbstractContextManager[Callable[[Progress], None]]] = _untold,
) -> Session:
    """Compile a model, run it on a chip behind a serial port and compare its outputs with the reference.

    Parameters
    ----------
    graph : Graph
    config : SocConfig
        That of the chip; its ``uart_baud`` is the rate after reset.
    arrays : sequence of array
        Inputs of the shape of the model's own input; floats are quantised as the model says.
    target : SerialTarget
    announce : callable
        Told in words what begins.
    transfer : callable
        Makes, as a context, what is told how many bytes of the program have arrived, and of how many.
    progress : callable
        Makes, as a context, what is called after every inference.

    Returns
    -------
    Session
        Cycles are those that the firmware measured. The report knows one layer, the whole network, and neither a
        timeline nor what is said about simulations.

    Raises
    ------
    CompileError
        If the hardware cannot run the model.
    GraphError
        If an input has another shape or type than the model's.
    TargetError
        If the port cannot be opened, or the chip is another one.
    LinkError
        If the chip does not answer.
    DeviceError
        If the chip refuses the program or an inference fails.
    """
    source, end = graph.inputs[0], graph.outputs[0]
    program = compile(graph, config)
    encoded = [graph.encode(source, array) for array in arrays]
    inferences: list[Inference] = []
    announce(f"connecting to {target.device} at {config.uart_baud} baud")
    with open_device(target, config) as device:
        device.check(program, config)
        _set_rate(device, target, announce)
        size = len(program.image)
        announce(f"loading {size} bytes at {device.link.baud} baud")
        with transfer("program") as tell:
            device.load(program, lambda done: tell(done, size))
        announce(f"running {len(encoded)} inference{'s' if len(encoded) > 1 else ''}")
        begin = time.monotonic()
        with progress("sample") as count:
            for array in encoded:
                inferences.append(_inference(program, *device.run(program, array.tobytes())))
                cycles = sum(inference.cycles for inference in inferences)
                seconds = time.monotonic() - begin
                count(Progress(done=len(inferences), samples=len(encoded), cycles=cycles, seconds=seconds))
        seconds = time.monotonic() - begin
    announce("comparing every output with the reference")
    found = [
        compare_arrays(sample, "output in memory", execute(graph, {source: array})[end], inference.output)
        for sample, (array, inference) in enumerate(zip(encoded, inferences, strict=True))
    ]
    mismatches = tuple(mismatch for mismatch in found if mismatch is not None)
    result = RunResult(inferences=tuple(inferences), simulated_cycles=0, seconds=seconds, cpu_seconds=0.0, uart="")
    record = describe_run(_whole(program), config, result, mismatches, len(inferences))
    simulation = ("simulated_cycles", "simulation_seconds", "simulation_cpu_seconds", "simulated_cycles_per_second")
    return Session(
        program=program,
        result=result,
        outputs=tuple(graph.decode(end, inference.output) for inference in inferences),
        mismatches=mismatches,
        record={**record, **dict.fromkeys(simulation)},
    )
