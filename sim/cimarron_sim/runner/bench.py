"""Runs cocotb benches, and never reports a run as good that proved nothing."""

import hashlib
import os
import random
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock
from xml.etree import ElementTree

from .lock import locked
from .tools import ToolError, require
from .verilator import WAIVERS, build_jobs, verilator_environment
from .verilog import write_text

__all__ = ["BenchError", "BenchResult", "SIMULATORS", "run_bench"]

SIMULATORS = ("verilator", "icarus")


class BenchError(AssertionError):
    """A bench failed, or did not run; the message ends with the command that repeats it."""


@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """Outcome of a bench that passed.

    Parameters
    ----------
    passed : tuple of str
        Names of the tests that ran.
    seed : int
        Seed of every random choice.
    results, log : Path
        JUnit results and everything that was printed.
    waves : Path or None
        Waveforms, if asked for.
    coverage : Path or None
        What Verilator counted in the Verilog, if asked for.
    """

    passed: tuple[str, ...]
    seed: int
    results: Path
    log: Path
    waves: Path | None
    coverage: Path | None = None


def _repeat_command(bench: str, simulator: str, seed: int, testcase: str | None) -> str:
    """What to type to see this run again."""
    if test := os.environ.get("PYTEST_CURRENT_TEST"):
        node = test.rsplit(" (", 1)[0]
        return f"SEED={seed} {shlex.quote(sys.executable)} -m pytest {shlex.quote(node)}"
    case = f" CASE={testcase}" if testcase else ""
    return f"make sim TB={bench.removeprefix('tb_')} SIM={simulator} SEED={seed}{case}"


def _fingerprint(sources: Sequence[Path], *settings: object) -> str:
    """What a built simulator depends on, as 12 hexadecimal digits."""
    versions = [version(package) for package in ("cocotb", "verilator")]
    digest = hashlib.sha256(repr((versions, sys.prefix, settings)).encode())
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


def _build_arguments(simulator: str, toplevel: str, build_dir: Path, coverage: bool) -> tuple[list[str], list[Path]]:
    """Arguments and control files of a simulator's build."""
    if simulator == "icarus":
        return [], []
    # cocotb asks for every signal of every module, which makes the simulator three times slower: a bench sees the pins.
    public = build_dir / "public.vlt"
    write_text(public, f'`verilator_config\npublic_flat_rw -module "{toplevel}" -var "*"\n')
    counted = ["--coverage-line", "--coverage-toggle"] if coverage else []
    return ["--no-public-flat-rw", "-Wall", *counted], [WAIVERS, public]


def _outcome(results: Path) -> tuple[list[str], list[str]]:
    """Names of the tests that passed and that failed, from a JUnit file; skipped ones are neither."""
    passed, failed = [], []
    for case in ElementTree.parse(results).getroot().iter("testcase"):
        name = case.get("name", "?")
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(name)
        elif case.find("skipped") is None:
            passed.append(name)
    return passed, failed


def run_bench(
    sources: Path | Sequence[Path],
    toplevel: str,
    bench: str,
    *,
    simulator: str = "verilator",
    seed: int | None = None,
    waves: bool = False,
    build_dir: Path | str = "build/tb",
    parameters: Mapping[str, object] | None = None,
    env: Mapping[str, str] | None = None,
    testcase: str | None = None,
    coverage: bool = False,
    repeat: str | None = None,
) -> BenchResult:
    """Build a simulator and run a bench in it.

    The simulator is kept under `build_dir` and used again while sources and settings stay the same.

    Parameters
    ----------
    sources : Path or sequence of Path
        Verilog files.
    toplevel : str
        Module under test.
    bench : str
        Importable module with the cocotb tests, ``tb_<noun>``.
    simulator : {"verilator", "icarus"}
    seed : int, optional
        Of every random choice. The environment variable ``SEED`` wins, and without both one is drawn.
    waves : bool
        Record waveforms; also on when the environment variable ``WAVES`` is 1.
    build_dir : Path
    parameters : mapping, optional
        Verilog parameters of the top module.
    env : mapping, optional
        Environment variables for the bench.
    testcase : str, optional
        The one test to run; all by default. The environment variable ``CASE`` wins.
    coverage : bool
        Count lines, branches and toggles of the Verilog; Verilator only.
    repeat : str, optional
        Command that repeats a failure, if it is not this bench's target of the Makefile or the test that pytest runs.

    Returns
    -------
    BenchResult

    Raises
    ------
    BenchError
        If the bench is missing, the build fails, the simulation stops early, a test fails, or none runs.
    ToolError
        If the simulator or a program it needs is missing, or the seed is no number.
    """
    from cocotb_tools import runner as cocotb_runner
    from cocotb_tools.runner import VerilatorControlFile, get_runner

    if simulator not in SIMULATORS:
        raise ToolError(f"simulator must be one of {', '.join(SIMULATORS)}, not {simulator!r}")
    if find_spec(bench) is None:
        raise BenchError(f"there is no bench module {bench!r} on the Python path")
    if simulator == "icarus":
        require("iverilog")
        environment = dict(os.environ)
    else:
        environment = verilator_environment(objects=Path(build_dir).resolve() / "runtime")
    if chosen := os.environ.get("SEED"):
        if not chosen.isdecimal():
            raise ToolError(f"SEED must be a whole number, not {chosen!r}: set it to the seed that was printed")
        seed = int(chosen)
    elif seed is None:
        seed = random.SystemRandom().randrange(2**31)
    testcase = os.environ.get("CASE") or testcase
    waves = waves or os.environ.get("WAVES") == "1"
    environment["WAVES"] = "1" if waves else "0"
    # Under pytest the runner would look for its results elsewhere and end the process; here the file decides.
    environment.pop("PYTEST_CURRENT_TEST", None)

    files = [Path(source).resolve() for source in ([sources] if isinstance(sources, str | Path) else sources)]
    settings: dict[str, Any] = dict(parameters or {})
    if coverage and simulator != "verilator":
        raise ToolError(f"only verilator counts coverage, not {simulator}")
    key = _fingerprint([*files, WAIVERS], simulator, toplevel, waves, coverage, sorted(settings.items()))
    directory = Path(build_dir).resolve() / f"{toplevel}-{simulator}-{key}"
    run = f"{bench}-{testcase or 'all'}-{seed}-{os.getpid()}"
    results, log, build_log = directory / f"{run}.xml", directory / f"{run}.log", directory / "build.log"
    counts = directory / f"{run}.dat"
    repeat = repeat or _repeat_command(bench, simulator, seed, testcase)

    runner = get_runner(simulator)
    runner.log.setLevel("ERROR")
    built = directory / "built"
    with (
        locked(directory),
        mock.patch.dict(os.environ, environment, clear=True),
        mock.patch.object(cocotb_runner, "MAX_PARALLEL_BUILD_JOBS", build_jobs()),
    ):
        if not built.is_file():
            arguments, controls = _build_arguments(simulator, toplevel, directory, coverage)
            try:
                runner.build(
                    sources=[*files, *(VerilatorControlFile(path) for path in controls)],
                    hdl_toplevel=toplevel,
                    build_dir=directory,
                    build_args=arguments,
                    parameters=settings,
                    timescale=("1ns", "1ps"),
                    waves=waves,
                    log_file=build_log,
                )
            except (RuntimeError, SystemExit):
                raise BenchError(
                    f"{simulator} could not build {toplevel} for {bench}:\n{_tail(build_log)}\nrepeat with: {repeat}"
                ) from None
            built.touch()

    status = "0"
    with mock.patch.dict(os.environ, environment, clear=True):
        try:
            runner.test(
                test_module=bench,
                hdl_toplevel=toplevel,
                hdl_toplevel_lang="verilog",
                testcase=testcase,
                seed=seed,
                extra_env=dict(env or {}),
                build_dir=directory,
                test_dir=directory,
                results_xml=str(results),
                timescale=("1ns", "1ps"),
                waves=waves,
                plusargs=[f"+verilator+coverage+file+{counts}"] if coverage else [],
                log_file=log,
            )
        except (RuntimeError, SystemExit) as error:
            status = str(error)

    if not results.is_file():
        reason = "left no results: the simulation stopped early"
    else:
        passed, failed = _outcome(results)
        if failed:
            reason = f"failed {', '.join(failed)}"
        elif not passed:
            reason = f"ran no test{f' named {testcase}' if testcase else ''}"
        elif status != "0":
            reason = f"passed, but the simulator did not end well ({status})"
        else:
            record = directory / ("dump.vcd" if simulator == "verilator" else f"{toplevel}.fst")
            print(f"{bench} on {simulator}: {len(passed)} passed, seed {seed}", *([record] if waves else []))
            return BenchResult(
                passed=tuple(passed),
                seed=seed,
                results=results,
                log=log,
                waves=record if waves else None,
                coverage=counts if coverage else None,
            )
    raise BenchError(f"{bench} on {simulator} {reason} (seed {seed}):\n{_tail(log)}\nrepeat with: {repeat}")


def _tail(path: Path, lines: int = 60) -> str:
    """Last lines of a log, with nothing to say if it does not exist."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.is_file() else "(no output)"
