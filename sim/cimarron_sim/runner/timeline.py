"""What happened when, cycle by cycle, in one inference."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .activity import Activity

__all__ = ["PHASES", "PORT", "Span", "Timeline", "runs"]

#: Letters of `Timeline.phases`: what the engine did. Each cycle has one of them, the first that is true in this order:
#: a bit plane entered the array; the macro waited for weights, for activations, for room behind it; there was a job.
PHASES: Mapping[str, str] = {
    "c": "compute",
    "w": "stall_weights",
    "a": "stall_input",
    "o": "stall_output",
    "f": "rest",
    "i": "idle",
}

#: Letters of `Timeline.port`: whether a word arrived or was written over the memory port.
PORT: Mapping[str, str] = {"b": "beat", "i": "idle"}


@dataclass(frozen=True, kw_only=True)
class Span:
    """A job of the engine, or a step of the CPU.

    Parameters
    ----------
    layer : int
        Index of its layer in the program.
    on : str
        ``engine`` or ``cpu``.
    begin, end : int
        In clock cycles since the host's command; `end` is the first cycle behind it. A job begins with the engine's
        first busy cycle behind the job before, a step when the engine has come to rest.
    """

    layer: int
    on: str
    begin: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """One inference over time.

    Parameters
    ----------
    resolution : int
        Clock cycles per window. Within a window, runs are sorted by letter: their lengths are exact, their order is
        not. 1 unless there are more than 2**18 cycles or 2**15 runs.
    phases : str
        Runs of `PHASES`, such as ``i4w20c8``; their lengths add up to the inference.
    port : str
        Runs of `PORT`.
    spans : tuple of Span
        In the order in which they ended; none overlaps another.
    cpu : tuple of Activity
        One behind the other, without gaps; they fill the inference. Their cycles are exact, whatever the resolution.
    """

    resolution: int
    phases: str
    port: str
    spans: tuple[Span, ...]
    cpu: tuple[Activity, ...]


def runs(text: str) -> Iterator[tuple[str, int, int]]:
    """Letter, first cycle and length in cycles of every run."""
    begin = 0
    for letter, digits in re.findall(r"([a-z])(\d+)", text):
        length = int(digits)
        yield letter, begin, length
        begin += length
