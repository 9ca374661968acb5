"""Compiler launcher of Verilator's makefiles: its run-time library is compiled once instead of for every design.

A makefile of Verilator starts every compiler behind ``OBJCACHE``, and compiles the library of the package anew in each
folder it builds in: 20 of the 50 seconds that a small bench takes. This program is what runs there, by its path and
without the project, as ``object_cache.py FOLDER COMPILER ARGUMENT...``. An object of the library is found again by
everything that decides about it; other sources go to the compiler as they are.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["main"]

#: Lies beside the sources of the library, and nowhere else.
_MARK = "verilated.mk"


def _key(command: list[str], output: int, source: Path) -> str:
    """What an object depends on, as 16 hexadecimal digits: the compiler, its flags and every file of the library."""
    compiler = shutil.which(command[0]) or command[0]
    digest = hashlib.sha256(repr([*command[:output], *command[output + 1 :]]).encode())
    if os.path.isfile(compiler):
        status = os.stat(compiler)
        digest.update(repr((os.path.realpath(compiler), status.st_size, status.st_mtime_ns)).encode())
    digest.update(repr([os.environ.get(name) for name in ("CPATH", "CPLUS_INCLUDE_PATH", "GCC_EXEC_PREFIX")]).encode())
    for path in [source, *sorted(source.parent.rglob("*.h"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def main(arguments: list[str]) -> int:
    """Compile, or copy what was compiled before.

    Parameters
    ----------
    arguments : list of str
        The folder of the objects, the compiler and its arguments, the source last.

    Returns
    -------
    int
        Exit code of the compiler.
    """
    folder, command = Path(arguments[0]), arguments[1:]
    source = Path(command[-1])
    if "-o" not in command or not (source.parent / _MARK).is_file():
        return subprocess.run(command, check=False).returncode
    output = command.index("-o") + 1
    place = folder / _key(command, output, source)
    place.mkdir(parents=True, exist_ok=True)
    kept = place / f"{source.stem}.o"
    with open(place / ".lock", "w") as lock:
        # Whoever comes second waits for the object instead of compiling it, too.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.is_file():
            with tempfile.TemporaryDirectory(dir=place) as scratch:
                part = Path(scratch, kept.name)
                done = subprocess.run([*command[:output], str(part), *command[output + 1 :]], check=False)
                if done.returncode:
                    return done.returncode
                os.replace(part, kept)
    shutil.copyfile(kept, command[output])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
