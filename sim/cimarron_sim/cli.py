"""The command line: ``cimarron check``, ``compile``, ``run``, ``report``, ``verilog``, ``bitstream`` and more."""

import errno
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
import numpy as np
from cimarron.board.board import BOARDS, UnknownBoardError, find_board
from cimarron.board.pll_error import PllError
from cimarron.config import PRESETS, ConfigError, SocConfig, load_config
from cimarron.isa import FLASH_FIRMWARE
from cimarron.soc.cpu import CpuSourceError
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from .compiler.check import Place, check
from .compiler.compile import assemble, compile, refuse_heavy
from .compiler.errors import CompileError
from .compiler.explain import Alternative, Movement, explain, movements
from .compiler.image import ProgramError
from .compiler.plan import plan_network
from .compiler.predict import predict
from .fpga.crossings import CrossingError
from .fpga.fit import FitError
from .fpga.timing import TimingError
from .frontend import ModelError, load, survey
from .graph import Graph, GraphError
from .host.device import DeviceError
from .host.port import LinkError
from .host.target import SerialTarget, TargetError, parse_target
from .inputs import InputError, read_inputs
from .integration.kit import write_kit
from .integration.register_files import write_registers
from .listing import list_operators
from .quantize import quantize
from .report.files import ReportError, page_obstacle, read_report, write_report
from .report.folder import FolderError, check_file, check_folder, check_place, replaced_folder
from .report.progress import reported_progress, reported_transfer
from .report.table import print_run
from .runner.board import run_on_board
from .runner.doctor import examine
from .runner.serial_chip import SerialChip
from .runner.session import run_model
from .runner.simulation import SimulationError
from .runner.tools import MissingToolError, ToolError
from .runner.tops import TOPS

__all__ = ["main"]

#: Exit codes: a mismatch or a run that failed; arguments or input that cannot be used.
FAILED, REFUSED = 1, 2

_REFUSALS = (
    ConfigError, ModelError, CompileError, ProgramError, GraphError, InputError, FolderError, ReportError,
    MissingToolError, CpuSourceError, UnknownBoardError, PllError, FitError, TargetError,
)  # fmt: skip
_FAILURES = (ToolError, SimulationError, CrossingError, TimingError, LinkError, DeviceError)

#: What helps when the system refuses to read or write.
_REMEDIES = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there",
    errno.EACCES: "change its permissions, or choose another place",
    errno.EROFS: "choose another place",
}


class _Commands(click.Group):
    """Turns errors with a sentence for the user into that sentence and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except _REFUSALS as error:
            _complain(str(error))
            ctx.exit(REFUSED)
        except _FAILURES as error:
            _complain(str(error))
            ctx.exit(FAILED)
        except OSError as error:
            remedy = _REMEDIES.get(error.errno or 0, "check the path and the disk")
            _complain(f"{error.filename or 'input or output'}: {error.strerror or error}: {remedy}")
            ctx.exit(REFUSED)
        except MemoryError:
            _complain("this machine has too little memory for that: use a smaller model or fewer inputs")
            ctx.exit(REFUSED)


def _complain(sentence: str) -> None:
    click.echo(f"cimarron: {sentence}", err=True)


def _announce(text: str) -> None:
    click.echo(text, err=True)


@contextmanager
def _tidy_end() -> Iterator[None]:
    """Take a request to terminate like Ctrl-C: simulators stop and scratch files go."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _console() -> Console:
    """Standard output; wide enough for a table where nobody looks at it live."""
    return Console(width=None if sys.stdout.isatty() else 120)


def _configuration(ctx: click.Context, parameter: click.Parameter, value: str) -> SocConfig:
    return load_config(value)


_config = click.option(
    "--config",
    default="default",
    metavar="PRESET|FILE",
    callback=_configuration,
    help=f"Hardware: {', '.join(PRESETS)}, or a TOML file.  [default: default]",
)


def _target(ctx: click.Context, parameter: click.Parameter, value: str) -> SerialTarget | None:
    return parse_target(value)


_model = click.argument("model", type=click.Path(path_type=Path))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="cimarron")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Runs quantised networks on a simulated compute-in-memory chip, bit for bit.

    Exit codes: 0 good, 1 a mismatch or a failed run, 2 bad arguments or input.
    """
    ctx.with_resource(_tidy_end())


def _one_input(graph: Graph) -> None:
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise CompileError(
            f"model {graph.name!r} has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs:"
            " only networks with one of each can be run"
        )


def _mapping_table(alternatives: Sequence[Alternative]) -> Table:
    """The chosen mapping of each layer above the next best."""
    table = Table("operator", "mapping", Column("cycles", justify="right"), "why")
    for row in alternatives:
        if row.is_chosen:
            table.add_section()
        table.add_row(row.layer if row.is_chosen else "", row.mapping, f"{row.cycles:,}", row.reason)
    return table


def _movement_table(rows: Sequence[Movement]) -> Table:
    """What layers move whose tensors the activation buffer has no room for."""
    columns = (Column(name, justify="right") for name in ("stripes", "buffer", "loaded", "stored"))
    table = Table("operator", "in main memory", *columns)
    for row in rows:
        numbers = (f"{number:,}" for number in (row.stripes, row.room, row.loaded, row.stored))
        table.add_row(row.layer, "\n".join(row.tensors), *numbers)
    return table


@main.command("check")
@_model
@_config
@click.option(
    "--explain", "explains", is_flag=True, help="Also list how each layer could be cut, its cycles, and stripes."
)
@click.pass_context
def check_command(ctx: click.Context, model: Path, config: SocConfig, explains: bool) -> None:
    """List where every operator of MODEL runs: engine, CPU or host, or why it cannot.

    Operators that cost nothing are marked "-": those that are fused into another one, and views. What holds only
    scales or constants is counted. An operator that is refused does not hide the others.
    """
    alternatives, moved = [], []
    found = survey(model)
    if all(operator.supported for operator in found.operators):
        graph = load(model)
        refuse_heavy(graph, config)
    else:
        graph = found.part
    verdicts = check(graph, config)
    rows = list_operators(found.operators, verdicts, found.absorbed)
    refused = [row for row in rows if row.place == Place.UNSUPPORTED]
    if not refused:
        _one_input(graph)
        pruning, plan = plan_network(graph, config.engine)
        program = assemble(pruning, plan, config)
        rows = list_operators(found.operators, check(graph, config, plan), found.absorbed)
        if explains:
            alternatives, moved = explain(graph, config.engine), movements(program)
    table = Table("operator", "type", "runs on", "why")
    for row in rows:
        table.add_row(escape(row.name), row.op, row.place, escape(row.reason))
    _console().print(table)
    if alternatives:
        _console().print(_mapping_table(alternatives))
    if moved:
        _console().print(_movement_table(moved))
    if refused:
        _complain(f"{len(refused)} operator{'s' if len(refused) > 1 else ''} of {model} cannot be run")
        ctx.exit(REFUSED)


@main.command("quantize")
@_model
@click.option(
    "--calibration",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Real inputs, float32: .npy, .npz, or raw bytes. May be repeated.",
)
@click.option("--per-channel/--per-tensor", default=True, show_default=True, help="Scales of the weights.")
@click.option("--reduce-range", is_flag=True, help="Weights of 7 bits: exact on every x86 processor, too.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Where to write the int8 model.")
def quantize_command(
    model: Path, calibration: Sequence[Path], per_channel: bool, reduce_range: bool, output: Path
) -> None:
    """Make an int8 model of the float32 ONNX file MODEL, with ONNX Runtime's quantiser."""
    check_file(output)
    count = quantize(model, calibration, output, per_channel=per_channel, reduce_range=reduce_range)
    click.echo(f"{output}: {output.stat().st_size} bytes, calibrated with {count} input{'s' if count > 1 else ''}")


@main.command("compile")
@_model
@_config
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the program.")
def compile_command(model: Path, config: SocConfig, output: Path) -> None:
    """Compile MODEL to a program: program.bin for the chip, program.json about it."""
    graph = load(model)
    _one_input(graph)
    check_place(output)
    program = compile(graph, config)
    program.save(output)
    if config.engine_in == "software":
        cycles = "run by software, in as many cycles as that takes"
    elif config.engine.macro.plane_skipping:
        cycles = f"at least {sum(layer.bound.cycles for layer in program.layers):,} cycles"
    else:
        cycles = f"{sum(predict(program, config.engine)):,} cycles on the engine"
    click.echo(f"{output}: {len(program.image)} bytes, {len(program.layers)} layers, {cycles}")


@main.command("run")
@_model
@_config
@click.option(
    "--input",
    "inputs",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    help="Input: .npy, .npz, or raw bytes in the layout of the model's input. May be repeated.",
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for report and outputs.")
@click.option(
    "--target",
    default="simulation",
    metavar="TARGET",
    callback=_target,
    help="Where: simulation, or serial:DEVICE[,baud=N][,timeout=SECONDS][,patience=SECONDS].  [default: simulation]",
)
@click.option("--trace", type=click.Path(path_type=Path), help="Record waveforms in this VCD file (slow).")
@click.option(
    "--build-dir", default="build/sim", type=click.Path(path_type=Path), show_default=True, help="Built simulators."
)
@click.pass_context
def run_command(
    ctx: click.Context,
    model: Path,
    config: SocConfig,
    inputs: Sequence[Path],
    output: Path,
    target: SerialTarget | None,
    trace: Path | None,
    build_dir: Path,
) -> None:
    """Run MODEL on the simulated chip and compare every layer with the reference.

    Leaves output_<n>.npy and the report in the output folder: report.html to look at, report.json, report.csv and, for
    Perfetto, trace.json: what layers, CPU, engine and memory port did, cycle by cycle.

    With --target serial:/dev/ttyUSB0 it runs on a chip behind a serial port, whose configuration --config names, and
    the outputs are compared. The port begins at the configuration's uart_baud; baud=N has both ends change it.
    """
    if target is not None and trace is not None:
        raise TargetError("a chip behind a serial port records no waveforms: leave out --trace, or --target")
    graph = load(model)
    _one_input(graph)
    check_folder(output)
    check_place(build_dir, "build folder")
    if trace is not None:
        check_file(trace)
    arrays = [array for path in inputs for array in read_inputs(path, graph)]
    if target is None:
        with reported_progress("sample") as progress:
            session = run_model(
                graph, config, arrays, build_dir=build_dir, trace=trace, announce=_announce, progress=progress
            )
    else:
        session = run_on_board(
            graph, config, arrays, target, announce=_announce, transfer=reported_transfer, progress=reported_progress
        )
    _announce("writing the report")
    with replaced_folder(output) as folder:
        write_report(folder, session.record)
        for index, array in enumerate(session.outputs):
            np.save(folder / f"output_{index}.npy", array)
    print_run(session.record, _console())
    if obstacle := page_obstacle():
        _complain(obstacle)
    if session.mismatches:
        for mismatch in session.mismatches[:10]:
            _complain(str(mismatch))
        _complain(f"{len(session.mismatches)} of {session.record['tensors_compared']} tensors differ")
        ctx.exit(FAILED)


@contextmanager
def _linked(name: str, link: Path | None) -> Iterator[None]:
    """A symbolic link to a file, while the block runs."""
    if link is None:
        yield
        return
    link.unlink(missing_ok=True)
    link.symlink_to(name)
    try:
        yield
    finally:
        link.unlink(missing_ok=True)


@main.command("simulate")
@_config
@click.option("--link", type=click.Path(path_type=Path), help="Keep a symbolic link to the pseudo-terminal here.")
@click.option(
    "--build-dir", default="build/sim", type=click.Path(path_type=Path), show_default=True, help="Built simulators."
)
def simulate_command(config: SocConfig, link: Path | None, build_dir: Path) -> None:
    """Simulate the chip with its serial port on a pseudo-terminal, until Ctrl-C.

    Prints the name of the pseudo-terminal: what `cimarron run --target serial:NAME`, or a terminal program, can open.
    """
    check_place(build_dir, "build folder")
    if link is not None:
        check_file(link)
        if link.exists() and not link.is_symlink():
            raise FolderError(f"{link} is no symbolic link: choose another name")
    _announce("preparing the simulator (the first time takes a minute)")
    with suppress(KeyboardInterrupt), SerialChip(config, build_dir) as chip, _linked(chip.path, link):
        click.echo(chip.path)
        _announce(f"the chip has booted and talks at {config.uart_baud} baud; its clock is slower than a real one's:")
        _announce(f"--target serial:{link or chip.path},baud={config.clock_hz // 16},timeout=10")
        chip.wait()


@main.command("report")
@click.argument("results", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder to write to.  [default: that of RESULTS]")
@click.pass_context
def report_command(ctx: click.Context, results: Path, output: Path | None) -> None:
    """Show the report in RESULTS, the folder of a run or its report.json, and write all of its files anew."""
    record = read_report(results)
    folder = output or (results if results.is_dir() else results.parent)
    check_place(folder)
    for path in write_report(folder, record):
        _announce(str(path))
    print_run(record, _console())
    if obstacle := page_obstacle():
        _complain(obstacle)
        ctx.exit(REFUSED)


@main.command("verilog")
@_config
@click.option(
    "--top",
    "tops",
    type=click.Choice(TOPS),
    multiple=True,
    default=("soc",),
    show_default=True,
    help="What to write. May be repeated.",
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the Verilog.")
def verilog_command(config: SocConfig, tops: Sequence[str], output: Path) -> None:
    """Write the hardware as Verilog: one file per top, named like its module.

    With each comes <top>_template.v, which instantiates it and says what every port means. waivers.vlt names the
    warnings of Verilator that generated netlists cannot avoid.
    """
    check_place(output)
    for path in dict.fromkeys(path for top in tops for path in write_kit(top, config, output)):
        click.echo(path)


@main.command("registers")
@_config
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the register map.")
def registers_command(config: SocConfig, output: Path) -> None:
    """Write the register map of engine and system: SystemRDL, C headers, and pages in html/."""
    check_place(output)
    for path in write_registers(config, output):
        click.echo(path)


@main.command("bitstream")
@click.option("--board", "name", required=True, metavar="BOARD", help=f"One of {', '.join(BOARDS)}.")
@click.option(
    "--config", "config_name", metavar="PRESET|FILE", help="Hardware.  [default: the preset named after the board]"
)
@click.option("--seed", default=1, show_default=True, type=click.IntRange(min=0), help="Of placement.")
@click.option("--no-route", is_flag=True, help="Place only: what it takes, clocks estimated, and no bitstream.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Folder to build in.  [default: build/bitstream/BOARD]"
)
def bitstream_command(name: str, config_name: str | None, seed: int, no_route: bool, output: Path | None) -> None:
    """Build the system, with its firmware, for an FPGA board: minutes to an hour.

    Leaves the bitstream, summary.json and config.toml, with which programs for it are compiled, in the output folder. A
    design that is too slow for its clock is a failure: its bitstream is named *.failed-timing.*.
    """
    from .fpga.bitstream import FLASH_IMAGE, build_bitstream, require_timing

    board = find_board(name)
    config = load_config(config_name) if config_name else board.config
    folder = output or Path("build", "bitstream", board.name)
    check_place(folder)
    summary = build_bitstream(board, config, folder, seed=seed, route=not no_route, console=Console(stderr=True))
    summary.print(_console())
    if summary.bitstream is None:
        return
    click.echo(folder / summary.bitstream)
    require_timing(summary)
    click.echo(f"load it with: openFPGALoader -b {board.loader} {folder / summary.bitstream}")
    if board.boots_from_flash(config):
        image = folder / FLASH_IMAGE
        click.echo(f"and its firmware: openFPGALoader -b {board.loader} -f -o {FLASH_FIRMWARE:#x} {image}")


@main.command("doctor")
@click.pass_context
def doctor_command(ctx: click.Context) -> None:
    """Show what this machine has, and how to install what is missing."""
    table = Table("", "name", "for", "version", "install with")
    findings = examine()
    for finding in findings:
        mark = "ok" if finding.found else "MISSING" if finding.required else "missing"
        install = "" if finding.found else finding.install
        table.add_row(mark, finding.name, finding.purpose, finding.version or "-", install)
    _console().print(table)
    if missing := [finding.name for finding in findings if finding.required and not finding.found]:
        _complain(f"missing: {', '.join(missing)}")
        ctx.exit(FAILED)
