"""What the CPU did when, in one inference."""

import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cimarron.isa import Step

__all__ = ["Activity", "activities"]


@dataclass(frozen=True, kw_only=True)
class Activity:
    """What the CPU did for a while, read off the core's buses and off the engine's answers to it.

    Parameters
    ----------
    step : int or None
        Index of the program's step that the firmware was at: the last one that it had written to the mailbox since the
        host's command. None before the first.
    kind : str
        Of that step, as `cimarron.isa.Step` calls it, in small letters; ``command`` if there is none.
    layer : int or None
        Index of the layer that the step computes, if it computes one.
    waits : bool
        Whether the CPU waited for the engine: from the cycle in which the engine answers a look at its status with "not
        yet" to the one in which it does not. Otherwise it executed.
    begin, end : int
        In clock cycles since the host's command; `end` is the first cycle behind it.
    instructions : int
        How many were completed.
    bus : int
        Clock cycles with a request on the instruction or the data bus.
    """

    step: int | None
    kind: str
    layer: int | None
    waits: bool
    begin: int
    end: int
    instructions: int
    bus: int


def activities(
    lines: Iterable[dict[str, Any]], steps: Iterable[tuple[Step, int]], last_jobs: Sequence[int]
) -> Iterator[Activity]:
    """What the harness saw, with the names that the program gives it.

    Parameters
    ----------
    lines : iterable of dict
        The harness's: ``step``, -1 before the first, ``waits``, ``begin``, ``end``, ``instructions``, ``bus``.
    steps : iterable of (Step, int)
        The program's, see `cimarron_sim.compiler.program.Program.steps`.
    last_jobs : sequence of int
        Of each layer, its last job.
    """
    names: list[tuple[str, int | None]] = []
    job = 0
    for kind, jobs in steps:
        layer = bisect.bisect_left(last_jobs, job) if jobs and kind is not Step.JOBS else None
        names.append((kind.name.lower(), layer))
        job += jobs
    for line in lines:
        step = None if line["step"] < 0 else line["step"]
        kind, layer = ("command", None) if step is None else names[step]
        yield Activity(**{**line, "step": step}, kind=kind, layer=layer)
