"""What the default takes on an ECP5-85F, however its trees are built: placed, not routed.

The system with its RISC-V core, the memory that the part has room for, and the engine of ``default`` but for one
setting of its macro's dial each. ``double-pumped``, the one that is placed if none is asked for, takes the cycles of
``default``. Half an hour each. Run as ``python bench/placing.py [NAME ...]``; prints a table and writes
``build/bench/placing.json``.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from cimarron.board.board import BOARDS
from cimarron.config import PRESETS, SocConfig
from cimarron_sim.fpga.bitstream import build_bitstream
from cimarron_sim.fpga.fit import FitError
from rich.console import Console
from rich.table import Column, Table

OUTPUT = Path("build/bench")

BOARD = BOARDS["ulx3s"]

#: The largest power of two that the block RAMs of the part hold beside the activation buffer.
RAM_BYTES = 256 * 1024

#: Settings of the macro's dial, all with the array of ``default``.
SETTINGS: dict[str, dict[str, Any]] = {
    "double-pumped": {"double_pumped": True, "adder": "carry_save", "pipeline": 2},
    "carry-save": {"adder": "carry_save", "pipeline": 1},
    "ripple": {"adder": "ripple", "pipeline": 1},
    "one plane": {"planes_per_cycle": 1, "adder": "ripple", "pipeline": 2},
}


def variant(setting: dict[str, Any]) -> SocConfig:
    """``default`` with a setting, on the board."""
    default = PRESETS["default"]
    macro = replace(default.engine.macro, target="ecp5", gating=False, **setting)
    engine = replace(default.engine, macro=macro)
    return replace(default, engine=engine, ram_bytes=RAM_BYTES, clock_hz=BOARD.oscillator_hz)


def measure(name: str, console: Console) -> dict[str, Any]:
    """One setting: what its netlist takes, and if it fits, what it takes placed and how fast it may become."""
    row: dict[str, Any] = {"setting": name}
    folder = Path("build/placing") / name.replace(" ", "_")
    try:
        summary = build_bitstream(BOARD, variant(SETTINGS[name]), folder, route=False, console=console)
    except FitError as error:
        return row | {"refused": str(error)}
    record = summary.record()
    resources = {kind: record["resources"][kind] for kind in ("luts", "ffs", "brams")}
    return row | resources | {"clocks": record["clocks"]}


def main() -> None:
    """Place the settings that are asked for."""
    names = sys.argv[1:] or ["double-pumped"]
    if unknown := [name for name in names if name not in SETTINGS]:
        sys.exit(f"no setting {', '.join(unknown)}: choose from {', '.join(SETTINGS)}")
    console = Console()
    rows = []
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for name in names:
        rows.append(measure(name, console))
        (OUTPUT / "placing.json").write_text(json.dumps(rows, indent=1) + "\n")
    setting = Column("setting", min_width=max(map(len, SETTINGS)))
    table = Table(setting, "LUTs, netlist", "placed", "part has", "FFs", "block RAMs", "clock, estimated")
    for row in rows:
        if "refused" in row:
            table.add_row(row["setting"], row["refused"])
            continue
        luts = row["luts"]
        counts = [luts["synthesised"], luts["placed"], luts["available"], row["ffs"]["placed"], row["brams"]["placed"]]
        clocks = ", ".join(f"{clock['achieved_mhz']:g} MHz" for clock in row["clocks"])
        table.add_row(row["setting"], *(f"{count:,}" for count in counts), clocks)
    console.print(table)


if __name__ == "__main__":
    main()
