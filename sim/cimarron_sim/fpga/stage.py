"""Stages of a build: how long they take, and what happens in them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

__all__ = ["Stages"]

#: Seconds between two plain lines of one stage.
INTERVAL = 30.0


class Stages:
    """Shows one stage after the other: a spinner on a terminal, plain lines elsewhere.

    Parameters
    ----------
    console : Console

    Attributes
    ----------
    seconds : dict of str to float
        What each stage took, in the order of their ends.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[str], None]]:
        """Yields a function to call with what is happening, as often as one likes."""
        start = time.monotonic()
        if self._console.is_terminal:
            columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
            with Progress(*columns, console=self._console, transient=True) as bar:
                task = bar.add_task(name)
                yield lambda detail: bar.update(task, description=f"{name}  [dim]{_short(detail)}[/dim]")
        else:
            self._line(f"{name} ...")
            last = start

            def say(detail: str) -> None:
                nonlocal last
                now = time.monotonic()
                if now - last >= INTERVAL:
                    last = now
                    self._line(f"{name}: {now - start:.0f} s, {_short(detail)}")

            yield say
        self.seconds[name] = time.monotonic() - start
        self._line(f"{name}: done in {self.seconds[name]:.1f} s")

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
