"""Folders that several processes build in, one after the other."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["locked"]


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep other processes that ask for the same folder waiting until this one is done with it.

    Parameters
    ----------
    directory : Path
        Created if absent; holds the lock, ``.lock``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
