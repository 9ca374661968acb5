"""Inferences on the simulated system, and what they cost."""

import bisect
import dataclasses
import itertools
import json
import os
import queue
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from amaranth.lib import wiring
from cimarron.config import SocConfig
from cimarron.isa import EngineError, RunStatus

from ..firmware import load as load_firmware
from .activity import activities
from .soc import build_simulator
from .timeline import Span, Timeline

if TYPE_CHECKING:
    from ..compiler.program import Program

__all__ = ["Counters", "Inference", "LayerRun", "Progress", "RunResult", "Simulation", "SimulationError"]

#: Clock cycles without a sign from the firmware after which a run is given up.
DEFAULT_LIMIT = 50_000_000


class SimulationError(RuntimeError):
    """The simulated system did not do what was asked; the message says what it reported instead."""


@dataclass(frozen=True, kw_only=True)
class Counters:
    """Cycles the engine spent; the counters of `cimarron.isa.Register`, as differences.

    Parameters
    ----------
    busy, compute, stall_input, stall_weights, stall_output : int
        In clock cycles.
    operations : int
        Macro operations.
    """

    busy: int = 0
    compute: int = 0
    stall_input: int = 0
    stall_weights: int = 0
    stall_output: int = 0
    operations: int = 0

    def __sub__(self, other: "Counters") -> "Counters":
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Counters(**dict(zip(COUNTERS, (a - b for a, b in pairs), strict=True)))


COUNTERS = tuple(field.name for field in dataclasses.fields(Counters))


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerRun:
    """One layer of one inference.

    Parameters
    ----------
    name : str
    tensor : str
        Name of its output tensor.
    on : str
        ``engine`` or ``cpu``: where it ended.
    cycles : int
        Clock cycles from the end of the previous layer (or the host's command) to the end of this one.
    counters : Counters
        What the engine did in them.
    output : array
        The layer's output tensor as it stood in the activation buffer, or, if it lies there, in main memory.
    """

    name: str
    tensor: str
    on: str
    cycles: int
    counters: Counters
    output: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Inference:
    """One run of the program.

    Parameters
    ----------
    output : array
        The output tensor the firmware left in memory.
    layers : tuple of LayerRun
    cycles : int
        Clock cycles from the host's command to the firmware's answer, counted outside the chip.
    firmware_cycles : int
        Clock cycles the firmware measured itself.
    timeline : Timeline or None
        Only of the last inference of each process.
    """

    output: np.ndarray
    layers: tuple[LayerRun, ...]
    cycles: int
    firmware_cycles: int
    timeline: Timeline | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class RunResult:
    """All inferences of a run.

    Parameters
    ----------
    inferences : tuple of Inference
        In the order of the inputs.
    simulated_cycles : int
        Clock cycles of everything, boot and loading included.
    seconds : float
        Wall-clock time the simulation took.
    cpu_seconds : float
        Time the processes spent computing, summed: unlike `seconds`, no matter what else the machine does.
    uart : str
        What the chip printed.
    """

    inferences: tuple[Inference, ...]
    simulated_cycles: int
    seconds: float
    cpu_seconds: float
    uart: str

    @property
    def cycles_per_second(self) -> float:
        """Simulated clock cycles per second of wall-clock time."""
        return self.simulated_cycles / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run is.

    Parameters
    ----------
    done, samples : int
        Inferences finished and asked for.
    cycles : int
        Clock cycles simulated so far, by all processes.
    seconds : float
        Wall-clock time since the simulation began.
    """

    done: int
    samples: int
    cycles: int
    seconds: float


def _describe(line: dict[str, Any]) -> str:
    """The status in a line of the harness, in words."""
    status = RunStatus(line["status"])
    if status is RunStatus.ENGINE_ERROR:
        return f"{status.name}: {EngineError(line['info']).name}, info 0x{line['address']:x}, step {line['step']}"
    return f"{status.name}, info 0x{line['info']:x}, address 0x{line['address']:x}, step {line['step']}"


def _counters(line: dict[str, Any]) -> Counters:
    return Counters(**{name: line[name] for name in COUNTERS})


class Simulation:
    """The simulated system, ready to run programs.

    Parameters
    ----------
    config : SocConfig
    build_dir : Path
        Where simulators are built and found again.
    trace : Path, optional
        Record the waveforms of every signal in this VCD file, from the first inference on: boot and loading are left
        out. Takes a build of its own, and one process.
    top : callable, optional
        Makes the hardware from the configuration: ``cimarron.soc.soc.Soc`` unless a test needs another.

    Raises
    ------
    ToolError
        If the simulator cannot be built.
    """

    def __init__(
        self,
        config: SocConfig,
        build_dir: Path | str = "build/sim",
        *,
        trace: Path | None = None,
        top: Callable[[SocConfig], wiring.Component] | None = None,
    ) -> None:
        self.config = config
        self._trace = trace
        options: dict[str, Any] = {"trace": trace is not None}
        if top is not None:
            options["top"] = top
        self._simulator = build_simulator(config, build_dir, **options)

    def run(
        self,
        program: "Program",
        inputs: Sequence[bytes],
        *,
        processes: int = 0,
        limit: int = DEFAULT_LIMIT,
        firmware: bytes | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> RunResult:
        """Run one inference per input.

        Each process boots its own system and takes a contiguous share of the inputs. An inference costs the same cycles
        however many processes there are, except for the first of each, which finds cold caches.

        Parameters
        ----------
        program : Program
        inputs : sequence of bytes
            The input tensor of each inference, as the device reads it.
        processes : int
            0 for one per core of this machine, at most 4.
        limit : int
            Clock cycles without a sign from the firmware after which the run is given up.
        firmware : bytes, optional
            Image for the start of the memory; the prebuilt one by default.
        progress : callable, optional
            Called after every inference.

        Returns
        -------
        RunResult

        Raises
        ------
        SimulationError
            If the firmware refuses the program, the engine reports an error, or nothing happens for `limit` cycles.
        ValueError
            If an input has another size than the program's input tensor.
        """
        if not inputs:
            raise ValueError("there is no input to run")
        for index, data in enumerate(inputs):
            if len(data) != program.input.nbytes:
                raise ValueError(f"input {index} has {len(data)} bytes, the program takes {program.input.nbytes}")
        if firmware is None:
            firmware = load_firmware(self.config.cpu)
        if self._trace:
            processes = 1
        processes = min(len(inputs), processes or min(4, os.cpu_count() or 1))
        bounds = [len(inputs) * part // processes for part in range(processes + 1)]
        shares = [inputs[low:high] for low, high in itertools.pairwise(bounds)]
        requests = [self._request(program, firmware, share, limit) for share in shares]

        begin = time.monotonic()
        lines: list[list[dict[str, Any]]] = [[] for _ in shares]
        done = 0
        for part, line in self._lines(requests):
            lines[part].append(line)
            if line["kind"] == "done":
                done += 1
                if progress is not None:
                    cycles = sum(part_lines[-1].get("cycle", 0) for part_lines in lines if part_lines)
                    progress(Progress(done=done, samples=len(inputs), cycles=cycles, seconds=time.monotonic() - begin))
        seconds = time.monotonic() - begin
        inferences = [inference for part in lines for inference in self._inferences(program, part)]
        if len(inferences) != len(inputs):
            raise SimulationError(f"{len(inferences)} of {len(inputs)} inferences came back")
        ends = [part[-1] for part in lines]
        return RunResult(
            inferences=tuple(inferences),
            simulated_cycles=sum(end["cycle"] for end in ends),
            seconds=seconds,
            cpu_seconds=sum(end["cpu_seconds"] for end in ends),
            uart=bytes.fromhex(ends[0]["uart"]).decode("ascii", "replace"),
        )

    def _request(self, program: "Program", firmware: bytes, inputs: Sequence[bytes], limit: int) -> bytes:
        """What the harness reads; the layout is that of its ``Request``."""
        header = struct.pack(
            "<10I",
            limit,
            self.config.clock_hz // self.config.uart_baud,
            program.input_offset,
            program.input.nbytes,
            program.output_offset,
            program.output.nbytes,
            len(inputs),
            len(program.layers),
            len(firmware),
            len(program.image),
        )
        outputs = [(layer.last_job, layer.output) for layer in program.layers]
        dumps = b"".join(
            struct.pack("<4I", last_job, output.address, output.nbytes, output.is_spilled)
            for last_job, output in outputs
        )
        return b"".join((header, dumps, firmware, program.image, *inputs))

    def _lines(self, requests: Sequence[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Run one simulator per request; every line of every one, as it comes."""
        arrived: queue.SimpleQueue[tuple[int, str | None]] = queue.SimpleQueue()

        def forward(part: int, process: subprocess.Popen[str]) -> None:
            assert process.stdout is not None
            for text in process.stdout:
                arrived.put((part, text))
            arrived.put((part, None))

        with tempfile.TemporaryDirectory(prefix="cimarron-") as scratch:
            running: list[subprocess.Popen[str]] = []
            threads: list[threading.Thread] = []
            try:
                for part, request in enumerate(requests):
                    path = Path(scratch, f"request{part}")
                    path.write_bytes(request)
                    command = [str(self._simulator), str(path), *([str(self._trace)] if self._trace else [])]
                    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
                    running.append(subprocess.Popen(command, **pipes))
                    threads.append(threading.Thread(target=forward, args=(part, running[-1]), daemon=True))
                    threads[-1].start()
                open_parts = len(requests)
                while open_parts:
                    part, text = arrived.get()
                    if text is None:
                        open_parts -= 1
                    else:
                        yield part, json.loads(text)
                for process in running:
                    _, message = process.communicate()
                    if process.returncode:
                        raise SimulationError(
                            f"the simulator ended with code {process.returncode}: {message.strip() or 'no message'}"
                        )
            finally:
                for process in running:
                    if process.poll() is None:
                        process.kill()
                for thread in threads:
                    thread.join()
                for process in running:
                    process.communicate()

    def _inferences(self, program: "Program", lines: Sequence[dict[str, Any]]) -> Iterator[Inference]:
        """Put the lines of one process together."""
        jobs: dict[int, tuple[dict[str, Any], Counters]] = {}
        origin = (0, Counters())
        total = Counters()
        base = Counters()
        for line in lines:
            match line["kind"]:
                case "boot" | "load" | "done" if line["status"] != RunStatus.OK:
                    raise SimulationError(f"the firmware answered {line['kind']} with {_describe(line)}")
                case "timeout":
                    raise SimulationError(
                        f"no answer from the firmware to {line['waiting']} at cycle {line['cycle']}"
                        f" (step {line['step']}): raise the limit, or look at the waveforms"
                    )
                case "start":
                    jobs.clear()
                    base = total = _counters(line)
                    origin = (line["cycle"], Counters())
                case "clear":
                    base = Counters()
                case "job":
                    total = _counters(line) - base
                    jobs[line["job"]] = (line, total)
                case "done":
                    layers = tuple(self._layers(program, jobs, origin))
                    output = program.output.array(bytes.fromhex(line["output"]))
                    yield Inference(
                        output=output,
                        layers=layers,
                        cycles=line["cycle"] - origin[0],
                        firmware_cycles=line["firmware_cycles"],
                        timeline=self._timeline(program, line, [job for job, _ in jobs.values()], origin[0]),
                    )

    @staticmethod
    def _timeline(
        program: "Program", done: dict[str, Any], jobs: Sequence[dict[str, Any]], origin: int
    ) -> Timeline | None:
        """What the harness recorded, with cycles counted from the host's command."""
        if "timeline" not in done:
            return None
        last_jobs = [layer.last_job for layer in program.layers]
        spans: list[Span] = []
        for line in jobs:
            # A step that follows another finds the engine at rest.
            begin = max(line["begin"] - origin, spans[-1].end if spans else 0)
            layer = bisect.bisect_left(last_jobs, line["job"])
            spans.append(Span(layer=layer, on=line["on"], begin=begin, end=line["cycle"] - origin))
        cpu = activities(done["cpu"], program.steps, last_jobs)
        return Timeline(**done["timeline"], spans=tuple(spans), cpu=tuple(cpu))

    @staticmethod
    def _layers(
        program: "Program", jobs: dict[int, tuple[dict[str, Any], Counters]], origin: tuple[int, Counters]
    ) -> Iterator[LayerRun]:
        """Differences from layer to layer."""
        before = origin
        for layer in program.layers:
            if layer.last_job not in jobs:
                raise SimulationError(f"job {layer.last_job} of layer {layer.name!r} never retired")
            line, counters = jobs[layer.last_job]
            yield LayerRun(
                name=layer.name,
                tensor=layer.output.tensor,
                on=line["on"],
                cycles=line["cycle"] - before[0],
                counters=counters - before[1],
                output=layer.output.array(bytes.fromhex(line["dump"])),
            )
            before = (line["cycle"], counters)
