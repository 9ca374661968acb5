"""Simulated cycles per second of the whole system: clock driven in C++ against runs driven by cocotb.

All boot the same firmware and load the same program, in the same Verilator. ``cocotb`` is how this project's benches
run, with only the pins of the top module public; ``cocotb as it comes`` is what cocotb's own runner builds, with every
signal public. Seconds are processor time: other work on the machine does not count. Run as
``python bench/simulation.py [CONFIG]``; prints ratios and writes ``build/bench/simulation.json``.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from cimarron.config import SocConfig, load_config
from cimarron.isa import MAILBOX_OFFSET, PROGRAM_OFFSET, HostCommand, Mailbox
from cimarron.soc.cpu import cpu_source
from cimarron.soc.soc import Soc
from cimarron_sim.compiler.compile import compile
from cimarron_sim.compiler.program import Program
from cimarron_sim.firmware import load as load_firmware
from cimarron_sim.frontend import load
from cimarron_sim.runner.bench import run_bench
from cimarron_sim.runner.simulation import Simulation
from cimarron_sim.runner.verilator import WAIVERS, verilator_environment
from cimarron_sim.runner.verilog import write_verilog
from cocotb_tools.runner import VerilatorControlFile, get_runner

ROOT = Path(__file__).parents[1]
OUTPUT = Path("build/bench")


def memory(program: Program) -> bytes:
    """Main memory with firmware, program, and the command to load it."""
    content = bytearray(PROGRAM_OFFSET + len(program.image))
    firmware = load_firmware()
    content[: len(firmware)] = firmware
    command = MAILBOX_OFFSET + Mailbox.COMMAND
    content[command : command + 4] = HostCommand.LOAD.to_bytes(4, "little")
    content[PROGRAM_OFFSET:] = program.image
    return bytes(content)


def speed_in_cpp(config: SocConfig, program: Program) -> dict[str, Any]:
    """Boot, load and one inference."""
    result = Simulation(config).run(program, [bytes(program.input.nbytes)], processes=1)
    return {"cycles": result.simulated_cycles, "seconds": result.cpu_seconds}


def speed_in_cocotb(design: Path) -> dict[str, Any]:
    """Boot and load, as benches run here."""
    record = (OUTPUT / "cocotb_speed.json").resolve()
    record.unlink(missing_ok=True)
    run_bench([design, cpu_source()], "soc", "tb_load", seed=1, env={"SPEED_FILE": str(record)})
    return json.loads(record.read_text())


def speed_in_plain_cocotb(design: Path) -> dict[str, Any]:
    """Boot and load, with cocotb's runner left to its defaults."""
    record = (OUTPUT / "plain_cocotb_speed.json").resolve()
    record.unlink(missing_ok=True)
    build_dir = (OUTPUT / "plain_cocotb").resolve()
    runner = get_runner("verilator")
    with mock.patch.dict(os.environ, verilator_environment(), clear=True):
        runner.build(
            sources=[design.resolve(), cpu_source(), VerilatorControlFile(WAIVERS)],
            hdl_toplevel="soc",
            build_dir=build_dir,
            timescale=("1ns", "1ps"),
            log_file=OUTPUT.resolve() / "plain_cocotb.log",
        )
        runner.test(
            test_module="tb_load",
            hdl_toplevel="soc",
            hdl_toplevel_lang="verilog",
            seed=1,
            extra_env={"SPEED_FILE": str(record)},
            build_dir=build_dir,
            test_dir=build_dir,
            log_file=OUTPUT.resolve() / "plain_cocotb.log",
        )
    return json.loads(record.read_text())


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "default"
    config = load_config(name)
    program = compile(load(ROOT / "examples" / "digits" / "digits.onnx"), config)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(ROOT / "tb"))
    design = write_verilog(Soc(config, ram_init=memory(program)), OUTPUT / "verilog", "soc")
    runs = {
        "C++": speed_in_cpp(config, program),
        "cocotb": speed_in_cocotb(design),
        "cocotb as it comes": speed_in_plain_cocotb(design),
    }
    for run in runs.values():
        run["cycles_per_second"] = run["cycles"] / run["seconds"]
        run["ratio"] = runs["C++"]["cycles"] / runs["C++"]["seconds"] / run["cycles_per_second"]
    record = {"config": name, "simulator": "verilator", "runs": runs}
    (OUTPUT / "simulation.json").write_text(json.dumps(record, indent=2) + "\n")
    print(f"{'':20}{'cycles':>10}{'seconds':>10}{'M cycles/s':>12}{'C++ is faster by':>18}")
    for run, figures in runs.items():
        speed = figures["cycles_per_second"] / 1e6
        print(f"{run:20}{figures['cycles']:>10,}{figures['seconds']:>10.2f}{speed:>12.3f}{figures['ratio']:>18.1f}")


if __name__ == "__main__":
    main()
