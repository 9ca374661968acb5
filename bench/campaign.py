"""Random macros under random traffic, in two simulators: what was met, what was not, and whether all was right.

Run as ``python bench/campaign.py``; configurations come from a seed, evenly spread over the dial. Every bench of the
macro runs on each. Prints and writes, below ``build/coverage``:

- ``functional.json``: precision x sign x weight set x dial x back-pressure, with every combination that was never met,
  said as shortly as possible (see ``tb/tblib/macro_coverage.py``);
- ``code.json``: lines, branches and toggles of the generated Verilog per module, and which were never met (Verilator);
- ``campaign.json``: the configurations and what became of them.

A failure prints the command that repeats it, and makes the exit status 1. With ``--minutes``, no run begins later than
that, and what was not begun is counted and left out.
"""

import argparse
import json
import os
import re
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchlib.code_coverage import KINDS, CodeCoverage
from cimarron.config import MacroConfig
from cimarron.macro.self_test import macro_of
from cimarron_sim.runner.bench import SIMULATORS, BenchError, run_bench
from cimarron_sim.runner.tools import ToolError
from cimarron_sim.runner.verilog import write_verilog

ROOT = Path(__file__).parents[1]
OUTPUT = Path("build/coverage")

#: Holes that the terminal shows of each kind; the files have all.
SHOWN = 25


def run(case: dict[str, Any]) -> dict[str, Any]:
    """Run one of the macro's benches on one configuration in one simulator, unless it is too late to begin."""
    if case["until"] and time.time() > case["until"]:
        return {**case, "late": True}
    config = MacroConfig(**case["config"])
    folder = OUTPUT / "runs" / case["name"]
    source = write_verilog(macro_of(config), folder, "macro")
    met = (folder / f"{case['bench']}-{case['simulator']}.json").resolve()
    met.unlink(missing_ok=True)
    environment = {"MACRO": json.dumps(case["config"]), "MACRO_COVERAGE": str(met), "ROUNDS": str(case["rounds"])}
    counting = case["code"] and case["simulator"] == "verilator"
    try:
        result = run_bench(
            source,
            "macro",
            case["bench"],
            simulator=case["simulator"],
            seed=case["seed"],
            env=environment,
            build_dir=OUTPUT / "built",
            coverage=counting,
            repeat=case["repeat"],
        )
    except BenchError as error:
        return {**case, "failure": str(error)}
    return {**case, "tests": len(result.passed), "met": str(met), "counts": str(result.coverage or "")}


def cases(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Every configuration in every simulator that was asked for."""
    from tblib.random_configs import random_configs

    configs = random_configs(arguments.seed, max(arguments.configs, (arguments.only or 0) + 1), cells=arguments.cells)
    chosen = range(arguments.configs) if arguments.only is None else [arguments.only]
    return [
        {
            "name": f"{arguments.seed}-{index}",
            "simulator": simulator,
            "bench": bench,
            "config": asdict(configs[index]),
            "seed": arguments.seed * 10_000 + index,
            "rounds": arguments.rounds,
            "code": arguments.code,
            "until": time.time() + 60 * arguments.minutes if arguments.minutes else None,
            "repeat": f"python bench/campaign.py --seed {arguments.seed} --cells {arguments.cells}"
            f" --rounds {arguments.rounds} --only {index} --simulators {simulator}",
        }
        for index in chosen
        for simulator in arguments.simulators
        for bench in ("tb_macro", *(["tb_operations"] if configs[index].beyond_mac else []))
    ]


def report_functional(done: list[dict[str, Any]]) -> dict[str, Any]:
    """Print and return what was met and what was not."""
    from tblib.macro_coverage import macro_coverage

    coverage = macro_coverage()
    for each in done:
        coverage.add(Path(each["met"]))
    report = {}
    for name, cross in coverage.crosses.items():
        holes = cross.holes()
        bins = len(cross.bins)
        report[name] = {"met": cross.covered, "of": bins, "samples": cross.hits.total(), "holes": holes}
        print(f"{name}: {cross.covered} of {bins} met ({cross.covered / bins:.1%}), {cross.hits.total()} samples")
        for hole in holes[:SHOWN]:
            print("    never: " + ", ".join(f"{key} {value}" for key, value in hole.items()))
        if len(holes) > SHOWN:
            print(f"    and {len(holes) - SHOWN} more, see {OUTPUT / 'functional.json'}")
    return report


def report_code(done: list[dict[str, Any]]) -> dict[str, Any]:
    """Print and return lines, branches and toggles per module."""
    coverage = CodeCoverage()
    for each in done:
        if each["counts"]:
            coverage.add(each["name"], Path(each["counts"]))
    rows = coverage.rows()
    print("".join(f"{key:>{28 if key == 'module' else 16}}" for key in rows[0]))
    for row in rows:
        print("".join(f"{value:>{28 if key == 'module' else 16}}" for key, value in row.items()))
    print(
        "met: " + ", ".join(f"{coverage.share(kind):.2%} of {kind}s" for kind in KINDS).replace("branchs", "branches")
    )
    # Where, whatever the copy, the bit and the configuration.
    grouped = Counter(
        (point.kind, re.sub(r"_\d+", "", point.module), re.sub(r"_*\d+|\[.*|:.*", "", point.what) or point.text)
        if point.kind == "toggle"
        else (point.kind, re.sub(r"_\d+", "", point.module), point.text)
        for _, point in coverage.holes
    )
    holes = [
        {"kind": kind, "module": module, "what": what, "points": count}
        for (kind, module, what), count in grouped.most_common()
    ]
    for hole in holes[:SHOWN]:
        print(f"    never: {hole['kind']} in {hole['module']}, {hole['what']} ({hole['points']})")
    return {"modules": rows, **{kind: coverage.share(kind) for kind in KINDS}, "holes": holes}


def main() -> int:
    """Run, merge, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", type=int, default=8, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of configurations and traffic (default: %(default)s)")
    parser.add_argument("--only", type=int, help="just the one with this number")
    parser.add_argument("--simulators", nargs="+", choices=SIMULATORS, default=SIMULATORS, help="both by default")
    # 8 planes a cycle, registers in the trees, two row groups, two sets and weights of 8 bits take 1024.
    parser.add_argument("--cells", type=int, default=1024, help="largest macro (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=12, help="weight matrices per test (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="simulators at a time (default: %(default)s)")
    parser.add_argument("--minutes", type=float, help="begin no run later than this (default: run all)")
    parser.add_argument("--no-code", dest="code", action="store_false", help="do not count in the Verilog")
    arguments = parser.parse_args()
    todo = cases(arguments)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    try:
        with ProcessPoolExecutor(arguments.jobs) as pool:
            results = list(pool.map(run, todo))
    except ToolError as error:
        print(error, file=sys.stderr)
        return 2
    late = sum("late" in each for each in results)
    results = [each for each in results if "late" not in each]
    done = [each for each in results if "failure" not in each]
    failed = [each for each in results if "failure" in each]
    reports: dict[str, Any] = {"campaign": results}
    if done:
        reports["functional"] = report_functional(done)
    if any(each["counts"] for each in done):
        reports["code"] = report_code(done)
    for name, report in reports.items():
        (OUTPUT / f"{name}.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"written to {OUTPUT}")
    for each in failed:
        print(f"\nFAILED: {each['config']}\n{each['failure']}", file=sys.stderr)
    print(f"{len(done)} of {len(results)} runs passed, {sum(each['tests'] for each in done)} tests")
    if late:
        print(f"{late} runs were not begun: the time was up")
    return 0 if done and not failed else 1


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tb"))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tb"), *filter(None, [os.environ.get("PYTHONPATH")])])
    sys.exit(main())
