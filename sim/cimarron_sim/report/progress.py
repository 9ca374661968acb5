"""How far a run has come: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

__all__ = ["State", "reported_progress"]

#: Seconds between two plain lines.
INTERVAL = 5.0


class State(Protocol):
    """What a run tells about itself, see `cimarron_sim.runner.simulation.Progress`."""

    @property
    def done(self) -> int: ...
    @property
    def samples(self) -> int: ...
    @property
    def cycles(self) -> int: ...
    @property
    def seconds(self) -> float: ...


class _Lines:
    """One line at the start, then one every few seconds, and the last."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._next = 0.0

    def __call__(self, state: State) -> None:
        now = time.monotonic()
        if now < self._next and state.done < state.samples:
            return
        self._next = now + INTERVAL
        left = state.seconds / state.done * (state.samples - state.done)
        print(
            f"{self._what} {state.done} of {state.samples}, {_speed(state)}, {left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )


def _speed(state: State) -> str:
    return f"{state.cycles / max(state.seconds, 1e-6) / 1e6:.2f} M cycles/s"


@contextmanager
def reported_progress(what: str) -> Iterator:
    """A function to call with each new state of a run.

    Parameters
    ----------
    what : str
        What is counted, such as ``"sample"``.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(what)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None, speed="")

        def update(state: State) -> None:
            bar.update(task, completed=state.done, total=state.samples, speed=_speed(state))

        yield update
