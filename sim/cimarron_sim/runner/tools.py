"""External programs: where they are, and what to do when they are not."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["SYSTEM_TOOLS", "MissingToolError", "SystemTool", "ToolError", "quiet_run", "require"]


class ToolError(RuntimeError):
    """An external program is missing or failed; the message says which and what to do."""


class MissingToolError(ToolError):
    """An external program is not installed; the message has the command that installs it."""


@dataclass(frozen=True, kw_only=True)
class SystemTool:
    """A program the operating system provides.

    Parameters
    ----------
    name : str
        What is looked for on PATH.
    purpose : str
        What the project needs it for.
    install : str
        The command that installs it on Debian and Ubuntu.
    required : bool
        Whether the main path needs it.
    """

    name: str
    purpose: str
    install: str
    required: bool = True


SYSTEM_TOOLS = {
    tool.name: tool
    for tool in (
        SystemTool(name="g++", purpose="compiles the simulator", install="sudo apt-get install g++"),
        SystemTool(name="make", purpose="compiles the simulator", install="sudo apt-get install make"),
        SystemTool(name="perl", purpose="starts Verilator", install="sudo apt-get install perl"),
        SystemTool(
            name="iverilog", purpose="the second simulator", install="sudo apt-get install iverilog", required=False
        ),
    )
}


def require(*names: str) -> None:
    """Check that programs of `SYSTEM_TOOLS` are on PATH.

    Raises
    ------
    MissingToolError
        If one is missing: names it and the command that installs it.
    """
    for name in names:
        if shutil.which(name) is None:
            tool = SYSTEM_TOOLS[name]
            raise MissingToolError(f"{name} is not installed ({tool.purpose}): run `{tool.install}`")


def quiet_run(
    command: Sequence[str], *, purpose: str, env: dict[str, str] | None = None, cwd: str | None = None
) -> str:
    """Run a program to its end, and show its output only if it fails.

    Parameters
    ----------
    command : sequence of str
    purpose : str
        What it does, for the error message.
    env, cwd
        As in `subprocess.run`.

    Returns
    -------
    str
        Standard output and standard error, interleaved.

    Raises
    ------
    ToolError
        If it cannot be started, or ends with anything but 0: with the last 40 lines of its output.
    """
    try:
        done = subprocess.run(
            command, env=env, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
    except OSError as error:
        raise ToolError(f"{purpose} could not start {os.fspath(command[0])}: {error.strerror}") from None
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-40:])
        raise ToolError(f"{purpose} failed with exit code {done.returncode}:\n{tail}")
    return done.stdout
