"""Runs bare-metal programs on a system's RTL: one Verilator build, memory loaded at run time."""

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

from amaranth.lib import wiring
from cimarron.isa import Event
from cimarron.soc.cpu import cpu_source
from cimarron_sim.runner.lock import locked
from cimarron_sim.runner.tools import quiet_run
from cimarron_sim.runner.verilator import WAIVERS, build_jobs, verilator_binary, verilator_environment
from cimarron_sim.runner.verilog import write_verilog

__all__ = ["BUILD", "ProgramError", "ProgramResult", "ProgramRunner"]

#: Where simulators are kept from one run to the next.
BUILD = Path(__file__).parents[1] / "build" / "programs"

_MAIN = Path(__file__).with_name("riscv") / "main.cpp"


class ProgramError(AssertionError):
    """A program did not come to its end."""


@dataclass(frozen=True, kw_only=True)
class ProgramResult:
    """What a program announced.

    Parameters
    ----------
    events : list of int
        Words written to `SystemRegister.EVENT`, the closing one included.
    cycles : int
        From the start of the simulation to the last event.
    """

    events: list[int]
    cycles: int


class ProgramRunner:
    """A system, built to run programs.

    Parameters
    ----------
    component : wiring.Component
        With the pins of a `Soc` and its memory in ``system.ram``.
    name : str
        Of its top module.
    directory : Path
        The build stays here and is used again while the Verilog is the same.
    core : Path, optional
        Verilog of its core; VexRiscv's by default.

    Raises
    ------
    ToolError
        If Verilator is missing or refuses the design.
    """

    def __init__(self, component: wiring.Component, name: str, directory: Path, *, core: Path | None = None) -> None:
        # Another process may want the same, or a component of the same name that differs.
        with locked(directory / name):
            self.binary = self._build(component, name, directory / name, core or cpu_source(), directory / "runtime")

    @staticmethod
    def _build(component: wiring.Component, name: str, directory: Path, core: Path, objects: Path) -> Path:
        inputs = [write_verilog(component, directory, name), core, _MAIN, Path(__file__)]
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()
        build = directory / digest[:12]
        binary, built = build / "Vsystem", build / "built"
        if built.is_file():
            return binary
        build.mkdir(parents=True, exist_ok=True)
        public = build / "public.vlt"
        public.write_text('`verilator_config\npublic_flat_rw -module "*.ram" -var "memory"\n')
        command = [str(verilator_binary()), "--cc", "--exe", "--build", "-j", str(build_jobs()), "-Wall"]
        command += ["--timescale", "1ns/1ps", "--top-module", name, "--prefix", "Vsystem", "--Mdir", str(build)]
        command += [str(path) for path in (WAIVERS, public, *inputs[:3])]
        quiet_run(command, purpose=f"building the simulator of {name}", env=verilator_environment(objects=objects))
        built.touch()
        return binary

    def run(self, image: bytes, scratch: Path, *, max_cycles: int = 200_000, last: Event = Event.TEST) -> ProgramResult:
        """Run a program from reset until it announces ``last``.

        Raises
        ------
        ProgramError
            If it does not within ``max_cycles``.
        """
        program = scratch / "program.bin"
        program.write_bytes(image)
        command = [str(self.binary), str(program), str(max_cycles), str(int(last))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ProgramError(f"{done.stderr.strip()}; announced {' '.join(done.stdout.split()) or 'nothing'}")
        *events, cycles = done.stdout.splitlines()
        return ProgramResult(events=[int(event, 16) for event in events], cycles=int(cycles.split()[1]))
