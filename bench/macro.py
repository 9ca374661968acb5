"""What the macro costs and how fast it is: lines of Verilog, adders against their floor, cycles per operation.

Run as ``python bench/macro.py``; prints the tables and writes each as ``build/bench/macro_<table>.json``. Ends with
exit status 1 unless random macros take exactly the cycles of their bound.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.sim import Simulator
from cimarron.config import PRESETS, MacroConfig
from cimarron.macro.carry_save import Reduction
from cimarron.macro.macro import Macro
from cimarron.macro.ports import OperationLayout
from cimarron_sim.runner.verilog import write_verilog

ROOT = Path(__file__).parents[1]
OUTPUT = Path("build/bench")

#: Operations whose answers are timed, after the pipeline has filled.
OPERATIONS = 20

#: Random macros whose cycles are held against the bound.
CONFIGURATIONS = 50
BOUND_CELLS = 384


def verilog_cost(preset: str) -> dict[str, Any]:
    """Lines of generated Verilog, and the seconds it took."""
    start = time.perf_counter()
    path = write_verilog(Macro(PRESETS[preset].engine.macro), OUTPUT / "verilog", f"macro_{preset}")
    seconds = time.perf_counter() - start
    return {"preset": preset, "lines": path.read_text().count("\n"), "seconds": round(seconds, 1)}


def adder_cost(rows: int, bits: int) -> dict[str, Any]:
    """Adders of a tree, one column wide, against the fewest that can do.

    For one-bit rows the floor is ``rows - popcount(rows)`` full and half adders; for wider ones the full adders that
    bring ``rows * bits`` planes down to the planes of the sum.
    """
    reduction = Reduction(rows, bits)
    adders = reduction.full_adders + reduction.half_adders
    floor = rows - rows.bit_count() if bits == 1 else rows * bits - (rows * (2**bits - 1)).bit_length()
    return {
        "rows": rows,
        "bits": bits,
        "full_adders": reduction.full_adders,
        "half_adders": reduction.half_adders,
        "floor": floor,
        "ratio": round(adders / floor, 4),
        "depth_gates": reduction.depth,
    }


def measured_cycles(config: MacroConfig, act_bits: int) -> dict[str, Any]:
    """Cycles between results in steady state, and from an operation to its result, in the Amaranth simulator."""
    dut = Macro(config)
    rng = np.random.default_rng(act_bits)
    taken: list[int] = []
    answered: list[int] = []

    async def testbench(ctx):
        ctx.set(dut.o_stream.ready, 1)
        ctx.set(dut.i_stream.valid, 1)
        cycle = 0
        while len(answered) < OPERATIONS + 1:
            x = rng.integers(2**act_bits, size=config.rows).tolist()
            ctx.set(dut.i_stream.payload, {"x": x, "bits": act_bits, "signed": 0, "set": 0})
            if ctx.get(dut.i_stream.ready):
                taken.append(cycle)
            if ctx.get(dut.o_stream.valid):
                answered.append(cycle)
            await ctx.tick()
            cycle += 1

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    cycles = (answered[-1] - answered[0]) / OPERATIONS
    return {"act_bits": act_bits, "cycles": cycles, "ratio": cycles / act_bits, "latency": answered[0] - taken[0]}


def against_bound(index: int, config: MacroConfig) -> dict[str, Any]:
    """Cycles of operations of every width, back to back, against the fewest the configuration allows.

    The bound follows from the numbers alone: groups of planes times row groups, without those that contribute nothing
    if planes are skipped.
    """
    from tblib.macro import occupied_cycles, operation_payload, random_integers

    dut = Macro(config)
    rng = np.random.default_rng(index)
    payloads, bound = [], 0
    for number in range(OPERATIONS + 1):
        bits, signed = int(rng.integers(1, config.max_act_bits + 1)), bool(rng.integers(2))
        x = random_integers(rng, bits, signed, config.rows) >> int(rng.integers(bits))
        payloads.append(operation_payload(config, 0, x, bits, signed))
        bound += occupied_cycles(config, x, bits, signed) if number < OPERATIONS else 0
    taken: list[int] = []

    async def testbench(ctx):
        ctx.set(dut.o_stream.ready, 1)
        ctx.set(dut.i_stream.valid, 1)
        cycle = 0
        for payload in payloads:
            ctx.set(dut.i_stream.payload, OperationLayout(config).from_bits(payload))
            while not ctx.get(dut.i_stream.ready):
                await ctx.tick()
                cycle += 1
            taken.append(cycle)
            await ctx.tick()
            cycle += 1

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    cycles = taken[-1] - taken[0]
    names = (
        "rows",
        "words",
        "cell_bits",
        "max_act_bits",
        "planes_per_cycle",
        "row_groups",
        "plane_skipping",
        "pipeline",
    )
    row = {name: getattr(config, name) for name in names}
    return row | {"cycles": cycles, "bound": bound, "ratio": cycles / bound}


def main() -> None:
    """Measure, print, write."""
    sys.path.insert(0, str(ROOT / "tb"))
    from tblib.random_configs import random_configs

    config = PRESETS["tiny"].engine.macro
    report = {
        "verilog": [verilog_cost(preset) for preset in ("default", "cells256")],
        "adders": [adder_cost(rows, bits) for rows in (64, 256) for bits in (1, 4)],
        "cycles": [measured_cycles(config, act_bits) for act_bits in range(1, config.max_act_bits + 1)],
        "bound": [
            against_bound(index, config)
            for index, config in enumerate(random_configs(1, CONFIGURATIONS, cells=BOUND_CELLS))
        ],
    }
    for title, rows in report.items():
        print(title)
        print("  " + "".join(f"{key:>18}" for key in rows[0]))
        for row in rows:
            print("  " + "".join(f"{value!s:>18}" for value in row.values()))
        path = OUTPUT / f"macro_{title}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
        print(f"written to {path}")
    missed = [row for row in report["bound"] if row["cycles"] != row["bound"]]
    print(f"{CONFIGURATIONS} random configurations: {CONFIGURATIONS - len(missed)} take the cycles of the bound")
    if missed:
        sys.exit(f"these do not: {missed}")


if __name__ == "__main__":
    main()
