"""From a board and a configuration to a bitstream."""

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring
from cimarron.board.board import Board
from cimarron.board.part import Part, Resources
from cimarron.board.top import BoardTop, pll_settings
from cimarron.config import SocConfig
from cimarron.isa import FLASH_MAGIC
from cimarron.soc.sources import core_source
from rich.console import Console

from ..firmware import load, load_boot
from ..report.folder import check_place
from ..runner.tools import ToolError
from ..runner.verilog import write_text
from .config_file import config_text
from .congestion import Congestion
from .crossings import ELABORATE, CrossingReport, examine_file
from .fit import check_fit, check_memories, check_sites
from .flow import FLOWS, Flow
from .pairs import lone_flip_flops
from .stage import Stages
from .summary import Summary
from .timing import ClockTiming, CriticalPath, TimingError, read_clocks, read_estimates, read_paths
from .tools import FLOW_TOOLS, require_tools, run_tool

__all__ = ["FLASH_IMAGE", "build_bitstream", "build_top", "flash_image", "require_timing"]

TOP = "board"

#: What a system that boots from the flash wants at `cimarron.isa.FLASH_FIRMWARE` of its flash.
FLASH_IMAGE = "firmware.flash"

#: What nextpnr says while it works: what it has packed, and how far it is.
PROGRESS = r"(?m)^Info:\s+((?:Packing|Placed|at iteration|at initial|iter=|Routing|\d+ \||\w+: +\d+/).{0,60})"


def flash_image(firmware: bytes) -> bytes:
    """Firmware as the boot memory of the small system looks for it."""
    firmware += bytes(-len(firmware) % 4)
    return struct.pack("<III", FLASH_MAGIC, len(firmware), zlib.crc32(firmware)) + firmware


def build_bitstream(
    board: Board, config: SocConfig, folder: Path, *, seed: int = 1, route: bool = True, console: Console
) -> Summary:
    """Build the system with its firmware for a board.

    Parameters
    ----------
    board : Board
    config : SocConfig
    folder : Path
        For the bitstream, ``summary.json``, ``config.toml`` and what the tools read and write. Files of an earlier
        build for the same board are replaced; its bitstream is gone as soon as this one begins.
    seed : int
        Of placement.
    route : bool
        Whether to go on once it is placed. Else there is no bitstream, and clocks are estimates.
    console : Console
        For progress.

    Returns
    -------
    Summary
        Of a build that may be too slow: the bitstream is then named ``*.failed-timing.*``, see `require_timing`.

    Raises
    ------
    ConfigError, PllError, FitError, MissingToolError, FolderError
        If it cannot be built: before any long work, but for what only synthesis knows.
    CrossingError
        If something is sampled that must not be.
    TimingError
        If it is too slow. The bitstream is there for measurements, named ``*.failed-timing.*``.
    ToolError
        If a tool fails.
    """
    flow = FLOWS[board.fpga.family]
    board.check(config)
    pll_settings(board, config.clock_hz, doubled=config.engine.macro.double_pumped)
    check_memories(config, board.fpga)
    require_tools(flow.tools)
    if not board.pins.is_file():
        raise ToolError(f"there is no pin file {board.pins}")
    if board.boots_from_flash(config):
        top = BoardTop(board, config, boot=load_boot())
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FLASH_IMAGE).write_bytes(flash_image(load(config.cpu)))
    else:
        top = BoardTop(board, config, ram_init=load(config.cpu))
    write_text(folder / "config.toml", config_text(config))
    return build_top(
        top, board.name, board.fpga, board.pins, folder,
        clock_hz=config.clock_hz, config_hash=config.engine.hash, sources=[core_source(config)], seed=seed,
        route=route, console=console,
    )  # fmt: skip


def build_top(
    top: wiring.Component,
    name: str,
    part: Part,
    pins: Path,
    folder: Path,
    *,
    clock_hz: int,
    config_hash: int = 0,
    sources: list[Path] | None = None,
    seed: int = 1,
    route: bool = True,
    console: Console,
) -> Summary:
    """Build any top for a part.

    Parameters
    ----------
    top : wiring.Component
        Its members are the ports that the pin file names. Has a net ``reset``, if it is to be listed.
    name : str
        Of the bitstream.
    part : Part
    pins : Path
    folder : Path
    clock_hz : int
        What its clock has to reach, in hertz.
    config_hash : int
        For the summary.
    sources : list of Path
        Verilog of modules that it instantiates.
    seed : int
    route : bool
        See `build_bitstream`.
    console : Console

    Raises
    ------
    FitError, CrossingError, ToolError
        See `build_bitstream`.
    """
    flow = FLOWS[part.family]
    check_place(folder)
    folder.mkdir(parents=True, exist_ok=True)
    bitstream = f"{name}.{flow.suffix}"
    failed = f"{name}.failed-timing.{flow.suffix}"
    for stale in (bitstream, failed, "summary.json"):
        (folder / stale).unlink(missing_ok=True)
    stages = Stages(console)
    with stages.stage("generate"):
        # Yosys takes minutes to read an initialised memory from Verilog, and a second from its own format.
        (folder / "top.il").write_text(rtlil.convert(top, name=TOP, emit_src=False), encoding="utf-8")
        pin_file = f"pins{pins.suffix}"
        shutil.copyfile(pins, folder / pin_file)
        modules = [Path(shutil.copyfile(source, folder / source.name)).name for source in sources or []]
    with stages.stage("elaborate") as say:
        crossings = _elaborate(flow, modules, folder, say)
    crossings.require_good()
    with stages.stage("synthesise") as say:
        needs = _synthesise(flow, folder, say)
    check_fit(needs, part)
    with stages.stage("place and route" if route else "place") as say:
        placed, clocks, paths = _place(flow, part, pin_file, folder, clock_hz, seed, route, say)
    # A flip-flop of an iCE40 has no place of its own.
    uncounted = {name: value for name, value in asdict(needs).items() if name not in flow.sites}
    placed = replace(placed, **uncounted)
    packed = None
    if route:
        packed = bitstream if all(clock.met for clock in clocks) else failed
        with stages.stage("pack"):
            arguments = [text.format(device=part.pack_device, bitstream=packed) for text in flow.pack_arguments]
            run_tool(flow.pack, arguments, folder, "pack.log")
    summary = Summary(
        board=name,
        part=part,
        config_hash=config_hash,
        seed=seed,
        tools={tool: FLOW_TOOLS[tool].version for tool in flow.tools},
        synthesised=needs,
        placed=placed,
        clocks=clocks,
        paths=paths,
        crossings=crossings,
        seconds=stages.seconds,
        bitstream=packed,
    )
    (folder / "summary.json").write_text(json.dumps(summary.record(), indent=2) + "\n", encoding="utf-8")
    return summary


def require_timing(summary: Summary) -> None:
    """Refuse a build that is too slow.

    Raises
    ------
    TimingError
        If a clock is.
    """
    slow = [clock for clock in summary.clocks if not clock.met]
    if slow:
        listed = ", ".join(f"{c.name} reaches {c.achieved_mhz:.2f} of {c.wanted_mhz:.2f} MHz" for c in slow)
        raise TimingError(
            f"timing failed: {listed}: try another --seed, lower clock_hz, or raise engine.macro.pipeline;"
            f" {summary.bitstream} is for measurements only"
        )


def _yosys(script: str, folder: Path, stem: str, say: Callable[[str], None]) -> None:
    (folder / f"{stem}.ys").write_text(script, encoding="utf-8")
    # Standard output is lost after a call of ABC, the log is not.
    run_tool(
        "yosys", ["-q", "-L", f"{stem}.log", f"{stem}.ys"], folder, f"{stem}.log",
        watch=r"(?m)^[\d.]+ (Executing .*?)(?: pass.*)?\.?$", say=say, own_log=True,
    )  # fmt: skip


def _elaborate(flow: Flow, modules: list[str], folder: Path, say: Callable[[str], None]) -> CrossingReport:
    read = "".join(f"read_verilog {module}\n" for module in modules)
    script = f"read_rtlil top.il\n{read}read_verilog -lib {flow.cells}\nhierarchy -check -top {TOP}\n"
    script += "write_rtlil whole.il\n"
    script += "\n".join(ELABORATE.split("; ")) + f"\nselect {TOP}\nwrite_json -selected elaborated.json\n"
    _yosys(script, folder, "elaborate", say)
    say("looking for crossings")
    return examine_file(folder / "elaborated.json", TOP)


def _synthesise(flow: Flow, folder: Path, say: Callable[[str], None]) -> Resources:
    script = f"read_rtlil whole.il\n{flow.synthesise} -top {TOP} -json netlist.json\ntee -q -o cells.json stat -json\n"
    _yosys(script, folder, "synthesise", say)
    design = json.loads((folder / "cells.json").read_text(encoding="utf-8"))["design"]
    needs = flow.takes(design["num_cells_by_type"])
    if flow.paired:
        netlist = json.loads((folder / "netlist.json").read_text(encoding="utf-8"))
        needs = replace(needs, luts=needs.luts + lone_flip_flops(netlist["modules"][TOP]))
    return needs


def _place(
    flow: Flow,
    part: Part,
    pin_file: str,
    folder: Path,
    clock_hz: int,
    seed: int,
    route: bool,
    say: Callable[[str], None],
) -> tuple[Resources, list[ClockTiming], list[CriticalPath]]:
    (folder / "report.json").unlink(missing_ok=True)
    files = [option.format(pins=pin_file) for option in flow.place_files]
    arguments = [
        *part.place_options, "--json", "netlist.json", *files, "--report", "report.json",
        "--freq", f"{clock_hz / 1e6:.6f}", "--seed", str(seed), "--timing-allow-fail",
        *([] if route else ["--no-route"]),
    ]  # fmt: skip
    congestion = Congestion(flow.place)

    def watch(line: str) -> None:
        say(line)
        check_sites(line, part)
        congestion.follow(line)

    run_tool(
        flow.place, arguments, folder, "place.log",
        watch=PROGRESS, say=watch,
    )  # fmt: skip
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    if not route:
        report |= read_estimates((folder / "place.log").read_text(encoding="utf-8", errors="replace"))
    has = flow.used(report["utilization"], "available")
    if has.luts != part.has.luts or has.brams != part.has.brams:
        raise ToolError(f"{flow.place} says {part.name} has {has}, not {part.has}")
    try:
        clocks = read_clocks(report, clock_hz)
    except ValueError as error:
        raise ToolError(f"{flow.place}: {error}, see {folder / 'place.log'}") from None
    return flow.used(report["utilization"], "used"), clocks, read_paths(report)
