"""Result folders that are complete or not there at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["FolderError", "replaced_folder"]

#: A folder with this file in it was written by us and may be replaced.
MARKER = "report.json"


class FolderError(ValueError):
    """A place where results cannot go."""


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """A scratch folder that becomes `target` when the block ends well, and vanishes otherwise.

    Parameters
    ----------
    target : Path
        May exist if it is empty or holds an earlier report, which is then replaced.

    Yields
    ------
    Path
        Where to write, on the same file system.

    Raises
    ------
    FolderError
        If `target` holds something else.
    """
    check_folder(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        yield scratch
        scratch.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        os.replace(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def check_folder(target: Path) -> None:
    """Refuse a folder that holds anything but an earlier report, before any work is done.

    Raises
    ------
    FolderError
        See `replaced_folder`.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise FolderError(f"{target} is a file: choose another output folder")
    if any(target.iterdir()) and not (target / MARKER).is_file():
        raise FolderError(f"{target} holds files that are no report: choose another output folder")
