"""Bits that change per operation in a macro with and without gating, by part, as ratios to a macro without.

Run as ``python bench/toggles.py``; prints a table and writes ``build/bench/toggles.json``. Icarus plays operations of 8
bits on random numbers to the macro's Verilog; nets are counted once per bit and change, without glitches. What is used
of the macro differs: all of it; half of the column groups; half of the rows; an eighth of both, as the last tiles of a
layer leave it. Where sets take turns, each operation meets other weights than the one before.

``lines`` are the nets of divided word lines, which only a macro with gating has: in the Verilog one per cell, of which
synthesis leaves one per row and column group. ``merged_ratio`` is that of all nets with so many of them.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from cimarron.config import MacroConfig
from cimarron_sim.runner.tools import require

ROOT = Path(__file__).parents[1]
OUTPUT = Path("build/bench/toggles.json")

GEOMETRY: dict[str, Any] = dict(rows=32, words=16)
#: Rows, column groups, and sets in use.
CASES = [(32, 8, 1), (32, 4, 1), (16, 8, 1), (4, 1, 1), (32, 8, 2), (32, 4, 2), (16, 8, 2), (4, 1, 2)]
#: Operations before those that are counted, and those.
BEFORE, OPERATIONS = 8, 24

Row = dict[str, Any]


def changes(gating: bool, rows: int, groups: int, sets: int) -> dict[str, int]:
    """Changes by part while so much of a macro is in use."""
    from tblib.macro import operation_payload, random_integers, row_payloads
    from tblib.toggles import simulate_toggles

    config = MacroConfig(**GEOMETRY, gating=gating)
    rng = np.random.default_rng(1)
    writes, operations = [], []
    for weight_set in range(config.weight_sets):
        for row in range(config.rows):
            weights = random_integers(rng, 8, True, config.groups)
            writes += row_payloads(config, weight_set, row, 8, True, weights)
    idle = (1 << config.groups) - (1 << groups)
    for number in range(BEFORE + OPERATIONS):
        x = random_integers(rng, 8, True, config.rows)
        x[rows:] = 0
        operations.append(operation_payload(config, number % sets, x, 8, True, idle=idle))
    folder = OUTPUT.parent / "toggles" / f"{'gated' if gating else 'open'}_{rows}_{groups}_{sets}"
    toggles = simulate_toggles(config, writes, operations, BEFORE, folder)
    parts = {part: sum(counts) for part, counts in toggles.by_group().items()}
    cells = sum(count for (path, _), count in toggles.bits.items() if path.startswith("array.cells_"))
    # They have no names: nothing else in the array is a net of an expression.
    lines = sum(count for (path, _), count in toggles.bits.items() if re.fullmatch(r"array\.\$\d+", path))
    return {"cells": cells, **parts, "lines": lines, "all": sum(toggles.bits.values())}


def main() -> None:
    """Measure, print, write."""
    sys.path.insert(0, str(ROOT / "tb"))
    require("iverilog")
    rows: list[Row] = []
    for used in CASES:
        without, gated = (changes(gating, *used) for gating in (False, True))
        row: Row = dict(zip(("rows", "groups", "sets"), used, strict=True))
        lines = gated.pop("lines")
        assert without.pop("lines") == 0, "only gating divides word lines"
        for part, count in without.items():
            row[part] = round(count / OPERATIONS)
            row[f"{part}_ratio"] = round(gated[part] / count, 3) if count else 1.0
        row["lines"] = round(lines / OPERATIONS)
        config = MacroConfig(**GEOMETRY)
        merged = gated["all"] - lines + lines * config.groups / config.row_bits
        row["merged_ratio"] = round(merged / without["all"], 3)
        rows.append(row)
        if len(rows) == 1:
            print("".join(f"{key:>19}" for key in row))
        print("".join(f"{value:>19}" for value in row.values()), flush=True)
    OUTPUT.write_text(json.dumps({"geometry": GEOMETRY, "rows": rows}, indent=2) + "\n", encoding="utf-8")
    print(f"written to {OUTPUT}")


if __name__ == "__main__":
    main()
