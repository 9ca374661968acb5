"""What whole systems give on an FPGA: GOPS at the clock they are routed for, and per thousand look-up tables.

The boards' presets with firmware, memory and RISC-V core, as ``cimarron bitstream`` builds them; builds that are in
``build/bitstream`` already are taken, others take minutes to an hour. ``macro`` is the macro of the ULX3S alone with
each of the adder back-ends, between registers (`Ring`) on the same FPGA, asked for 70 MHz. A GOPS is 10**9
multiplications and additions of 8-bit numbers per second with every cell in use, the peak: `networks.py` measures how
much of it networks use. Run as ``python bench/fabric.py [BOARD|macro ...]``; prints a table and writes
``build/bench/fabric.json``.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchlib.core import Ring
from benchlib.synthesis import fmax
from cimarron.board.board import BOARDS
from cimarron.config import EngineConfig
from cimarron.macro.back_ends import BACK_ENDS
from cimarron.macro.macro import Macro
from cimarron_sim.compiler.bound import peak_macs
from cimarron_sim.fpga.bitstream import build_bitstream
from cimarron_sim.fpga.config_file import config_text
from cimarron_sim.runner.verilog import write_verilog
from rich.console import Console
from rich.table import Column, Table

OUTPUT = Path("build/bench")

#: Million one-bit multiply-accumulates per second and look-up table of the densest open design that was measured with
#: the same tools (ECP5-85F-6, DSP blocks off): the systolic array of CFU-Playground's hps_accel. The array alone, where
#: the figures here are those of whole systems.
OPEN_DENSITY = 19.1


def built(name: str, console: Console) -> dict[str, Any]:
    """The record of a board's build, made now if there is none of its preset."""
    board = BOARDS[name]
    folder = Path("build/bitstream") / name
    record, config = folder / "summary.json", folder / "config.toml"
    if record.is_file() and config.read_text(encoding="utf-8") == config_text(board.config):
        return json.loads(record.read_text(encoding="utf-8"))
    return build_bitstream(board, board.config, folder, console=console).record()


def measure(name: str, console: Console) -> dict[str, Any]:
    """One board: size, speed, and what follows from them."""
    build = built(name, console)
    config = BOARDS[name].config
    wanted = config.clock_hz / 1e6
    reached = min(clock["achieved_mhz"] / clock["wanted_mhz"] for clock in build["clocks"]) * wanted
    met = build["timing_met"]
    luts = build["resources"]["luts"]["placed"]
    row = {"what": name, "part": build["part"], "timing_met": met, "reaches_mhz": round(reached, 2)}
    return row | gives(config.engine, luts, wanted if met else reached)


def measure_macro(adder: str) -> dict[str, Any]:
    """The macro of the ULX3S alone, with an adder back-end, at the clock that it reaches."""
    board = BOARDS["ulx3s"]
    engine = replace(board.config.engine, macro=replace(board.config.engine.macro, adder=adder))
    found = fmax(
        write_verilog(Ring(Macro(engine.macro)), OUTPUT / "fabric", f"macro_{adder}"), mhz=70, router="router2"
    )
    row = {"what": f"macro, {adder}", "part": board.part, "timing_met": True, "reaches_mhz": round(found["mhz"], 2)}
    return row | gives(engine, int(found["cells"]), found["mhz"])


def gives(engine: EngineConfig, luts: int, mhz: float) -> dict[str, Any]:
    """What follows from a size and a clock."""
    macs = peak_macs(engine, 8, 8)
    ones = 64 * macs
    gops = 2 * macs * mhz / 1e3
    return {
        "luts": luts,
        "clock_mhz": round(mhz, 2),
        "macs_per_cycle": macs,
        "gops": round(gops, 2),
        "gops_per_kluts": round(gops / luts * 1e3, 3),
        "density": round(ones * mhz / luts, 2),
        "density_ratio": round(ones * mhz / luts / OPEN_DENSITY, 3),
    }


def main() -> None:
    """Measure what is asked for, or all boards whose engine is hardware, and the macro."""
    gates = [name for name, board in BOARDS.items() if board.config.engine_in == "gates"]
    names = sys.argv[1:] or [*gates, "macro"]
    if unknown := [name for name in names if name not in {*BOARDS, "macro"}]:
        sys.exit(f"no board {', '.join(unknown)}: choose from {', '.join(BOARDS)}, macro")
    console = Console()
    rows = []
    for name in names:
        rows += [measure_macro(adder) for adder in BACK_ENDS] if name == "macro" else [measure(name, console)]
    table = Table(
        Column("", no_wrap=True), "LUTs", "clock", "MAC/cycle", "GOPS", "GOPS/kLUT", "M 1b-MAC/s/LUT", "ratio",
    )  # fmt: skip
    for row in rows:
        clock = f"{row['clock_mhz']:g} MHz" if row["timing_met"] else f"{row['clock_mhz']:g} MHz, too slow"
        figures = [row["macs_per_cycle"], row["gops"], row["gops_per_kluts"], row["density"], row["density_ratio"]]
        table.add_row(row["what"], f"{row['luts']:,}", clock, *(f"{figure:g}" for figure in figures))
    console.print(table)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "fabric.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
