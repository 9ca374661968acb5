"""How many cycles each layer of a program will take."""

import struct
from collections.abc import Iterator

from cimarron.config import EngineConfig
from cimarron.isa import JOB_BYTES, JOB_WORDS, Step, unpack_job

from .cycles import EngineCycles
from .program import Program

__all__ = ["jobs_of", "predict"]


def _steps(program: Program) -> Iterator[tuple[Step, tuple[int, ...]]]:
    """Kind and operands of each step."""
    header = program.header
    offset, end = header["steps_offset"], header["steps_offset"] + header["steps_bytes"]
    while offset < end:
        (first,) = struct.unpack_from("<I", program.image, offset)
        words = first >> 16
        yield Step(first & 0xFF), struct.unpack_from(f"<{words - 1}I", program.image, offset + 4)
        offset += 4 * words


def _descriptors(program: Program, first: int, jobs: int) -> Iterator[dict[str, int]]:
    for offset in range(first, first + jobs * JOB_BYTES, JOB_BYTES):
        yield unpack_job(list(struct.unpack_from(f"<{JOB_WORDS}I", program.image, offset)))


def jobs_of(program: Program) -> list[tuple[dict[str, int], ...]]:
    """Fields of the jobs of each layer, in order."""
    events: list[dict[str, int] | None] = []
    for kind, operands in _steps(program):
        if kind == Step.JOBS:
            events += _descriptors(program, *operands)
        elif kind >= Step.COMBINE:
            events.append(None)
    ends = [layer.last_job + 1 for layer in program.layers]
    return [
        tuple(event for event in events[start:end] if event is not None)
        for start, end in zip([0, *ends], ends, strict=False)
    ]


def _events(program: Program, config: EngineConfig) -> Iterator[int]:
    """Cycles of each job, and 0 for each step of the CPU."""
    engine = EngineCycles(config)
    for kind, operands in _steps(program):
        if kind == Step.JOBS:
            first, jobs = operands
            engine.hand_over(jobs)
            for job in _descriptors(program, first, jobs):
                yield engine.execute(job).busy
        elif kind >= Step.COMBINE:
            yield 0


def predict(program: Program, config: EngineConfig) -> list[int]:
    """Cycles that the engine's counter ``BUSY`` counts for each layer of an inference.

    For a layer that follows another one on the engine these are the clock cycles from the end of that one to its own
    end. For the first layer, and one that follows a layer on the CPU, they begin when the CPU has handed the job over.

    Parameters
    ----------
    program : Program
    config : EngineConfig
        That it was compiled for.

    Returns
    -------
    list of int
        0 for a layer on the CPU.

    Raises
    ------
    ValueError
        If the macro skips planes: cycles depend on the data then.
    """
    events = list(_events(program, config))
    ends = [layer.last_job + 1 for layer in program.layers]
    return [sum(events[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
