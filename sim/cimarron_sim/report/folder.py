"""Result folders that are complete or not there at all."""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["FolderError", "check_file", "check_folder", "check_place", "replaced_folder"]

#: A folder of which every file is named like this was written by us and may be replaced.
_REPORT = re.compile(r"report\.(json|csv|html)|trace\.json|output_\d+\.npy")


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
    # A link stays, and what it points to is replaced.
    target = Path(os.path.realpath(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as place:
        scratch = Path(place, "new")
        scratch.mkdir()
        yield scratch
        check_folder(target)
        while True:
            try:
                os.replace(scratch, target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                # Another run may put its report there in between: the last one stays.
                shutil.rmtree(Path(place, "old"), ignore_errors=True)
                with suppress(FileNotFoundError):
                    os.replace(target, Path(place, "old"))
            else:
                return


def check_folder(target: Path) -> None:
    """Refuse a folder for a report that holds anything but an earlier one, before any work is done.

    Raises
    ------
    FolderError
        If files would be lost, or the folder cannot be written.
    """
    check_place(target)
    if Path.cwd().is_relative_to(os.path.realpath(target)):
        raise FolderError(f"{target} is the current folder or holds it: choose another output folder")
    if target.exists() and not all(_REPORT.fullmatch(path.name) for path in target.iterdir()):
        raise FolderError(f"{target} holds files that are no report: choose another output folder")


def check_place(target: Path, what: str = "output folder") -> None:
    """Refuse what cannot be a folder to write into: nothing is created yet.

    Raises
    ------
    FolderError
        If it is a file, lies below one, or may not be written.
    """
    place = Path(os.path.realpath(target))
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise FolderError(f"{place} is a file: choose another {what}")
    if not os.access(place, os.W_OK | os.X_OK):
        raise FolderError(f"{place} may not be written: choose another {what}")


def check_file(target: Path) -> None:
    """Refuse a file that cannot be written.

    Raises
    ------
    FolderError
        If it is a folder, its folder does not exist, or either may not be written.
    """
    if target.is_dir():
        raise FolderError(f"{target} is a folder: choose another file")
    folder = Path(os.path.realpath(target)).parent
    if not folder.is_dir():
        raise FolderError(f"the folder of {target} does not exist: create it, or choose another file")
    if not os.access(target if target.exists() else folder, os.W_OK):
        raise FolderError(f"{target} may not be written: choose another file")
