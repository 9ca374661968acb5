"""How far a run has come: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar

__all__ = ["State", "reported_progress", "reported_transfer"]

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


class _TransferLines:
    """One line every few seconds, and the last."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._begin: float | None = None
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._begin is None:
            self._begin, self._next, self._first = now, now + INTERVAL, done
        if now < self._next and done < total:
            return
        self._next = now + INTERVAL
        rate = (done - self._first) / max(now - self._begin, 1e-6)
        left = f", {(total - done) / rate:.0f} s left" if rate else ""
        print(f"{self._what} {done:,} of {total:,} bytes, {rate / 1e3:.1f} kB/s{left}", file=sys.stderr, flush=True)


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


@contextmanager
def reported_transfer(what: str) -> Iterator[Callable[[int, int], None]]:
    """A function to call with how many bytes of a transfer are done, and of how many.

    Parameters
    ----------
    what : str
        What is transferred, such as ``"program"``.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _TransferLines(what)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Bar(*columns, console=console, transient=True) as bar:
        tasks = []

        def update(done: int, total: int) -> None:
            # The bar appears with the first byte: before, there may be other things to say.
            if not tasks:
                tasks.append(bar.add_task(what, total=total))
            bar.update(tasks[0], completed=done, visible=done < total)

        yield update
