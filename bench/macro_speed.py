"""The generated Verilog in Verilator: lines, seconds to build, simulated cycles per second, by size of the macro.

Run as ``python bench/macro_speed.py [CELLS ...]``; prints a table, writes ``build/bench/macro_speed.json``. The clock
is driven in C++; operations follow one another without a pause, and a row of an idle set is written in every cycle.
Seconds are processor time.
"""

import argparse
import json
import os
import random
import resource
import time
from pathlib import Path
from typing import Any

from cimarron.config import MacroConfig
from cimarron.macro.macro import Macro
from cimarron.macro.ports import OperationLayout, WriteLayout
from cimarron_sim.runner.tools import quiet_run
from cimarron_sim.runner.verilator import WAIVERS, verilator_binary, verilator_environment
from cimarron_sim.runner.verilog import write_verilog

OUTPUT = Path("build/bench")
SOURCE = Path(__file__).with_suffix(".cpp").resolve()

#: Different payloads of each kind, and processor seconds to run for.
PAYLOADS = 64
SECONDS = 2.0


def payloads(config: MacroConfig) -> tuple[list[int], list[int]]:
    """Operations on set 0, and writes of set 1."""
    rng = random.Random(1)
    operations, writes = [], []
    for index in range(PAYLOADS):
        x = [rng.getrandbits(config.max_act_bits) for _ in range(config.rows)]
        fields = {"x": x, "bits": config.max_act_bits, "signed": 1, "set": 0}
        operations.append(OperationLayout(config).const(fields).as_bits())
        fields = {
            "set": 1,
            "row": index % config.rows,
            "width": 1,
            "signed": 1,
            "data": rng.getrandbits(config.row_bits),
        }
        writes.append(WriteLayout(config).const(fields).as_bits())
    return operations, writes


def header(config: MacroConfig) -> str:
    """The payloads as arrays of words of 32 bits for C++."""
    lines = []
    for name, values, bits in (
        ("OPERATION", payloads(config)[0], OperationLayout(config).size),
        ("WRITE", payloads(config)[1], WriteLayout(config).size),
    ):
        # Ports of 33 to 64 bits are one word of 64.
        words = -(-bits // 32)
        rows = [
            "{" + ", ".join(f"{value >> 32 * word & 0xFFFFFFFF:#x}u" for word in range(words)) + "}" for value in values
        ]
        lines.append(f"static const unsigned {name}S[{len(rows)}][{words}] = {{{', '.join(rows)}}};")
        lines.append(f"static const unsigned {name}_COUNT = {len(rows)};")
    return "\n".join(lines) + "\n"


def measure(cells: int) -> dict[str, Any]:
    """Build and run a macro of as many rows as columns of bits."""
    config = MacroConfig(rows=cells, words=cells // 4)
    folder = (OUTPUT / "macro_speed" / f"{cells}").resolve()
    verilog = write_verilog(Macro(config), folder, "macro")
    (folder / "stimulus.h").write_text(header(config), encoding="utf-8")
    command = [verilator_binary(), "--cc", "--exe", "--build", "-j", "1", "-O3", "--x-assign", "fast", "-Wall"]
    command += ["--top-module", "macro", "-CFLAGS", f"-I{folder}", "--Mdir", folder / "built", WAIVERS, verilog, SOURCE]
    environment = verilator_environment()
    # A build from nothing is what is measured.
    quiet_run(["rm", "-rf", str(folder / "built")], purpose="removing an old build")
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    quiet_run([str(part) for part in command], purpose="building the macro", env=environment, cwd=str(folder))
    after, elapsed = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    answer = quiet_run(
        [str(folder / "built" / "Vmacro"), str(SECONDS)], purpose="running the macro", env=dict(os.environ)
    )
    cycles, answered, seconds = answer.split()
    # Eight planes per operation; the pipeline fills first.
    assert int(answered) >= int(cycles) // config.operation_cycles(config.max_act_bits) - 2, answer
    rate = int(cycles) / float(seconds)
    return {
        "cells": f"{cells}x{cells}",
        "lines": verilog.read_text(encoding="utf-8").count("\n"),
        "build_cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "build_s": round(elapsed, 1),
        "kcycles_per_s": round(rate / 1e3, 1),
        "m_1b_macs_per_s": round(rate * config.set_bits / 1e6),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="*", type=int, default=[64, 128, 256], help="sizes (default: 64 128 256)")
    rows = []
    for cells in parser.parse_args().cells:
        rows.append(measure(cells))
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    path = OUTPUT / "macro_speed.json"
    path.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
