"""Simulated cycles per second of the whole system: clock driven in C++ against a run driven by cocotb.

Both boot the same firmware and load the same program, in the same Verilator. Seconds are processor time: other work on
the machine does not count. Run as ``python bench/simulation.py [CONFIG]``; prints the ratio and writes
``build/bench/simulation.json``.
"""

import json
import sys
from pathlib import Path
from typing import Any

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
from cimarron_sim.runner.verilog import write_verilog

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


def speed_in_cocotb(config: SocConfig, program: Program) -> dict[str, Any]:
    """Boot and load."""
    sys.path.insert(0, str(ROOT / "tb"))
    design = write_verilog(Soc(config, ram_init=memory(program)), OUTPUT / "verilog", "soc")
    record = (OUTPUT / "cocotb_speed.json").resolve()
    record.unlink(missing_ok=True)
    run_bench([design, cpu_source()], "soc", "tb_load", seed=1, env={"SPEED_FILE": str(record)})
    return json.loads(record.read_text())


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "default"
    config = load_config(name)
    program = compile(load(ROOT / "examples" / "digits" / "digits.onnx"), config)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    runs = {"cpp": speed_in_cpp(config, program), "cocotb": speed_in_cocotb(config, program)}
    for run in runs.values():
        run["cycles_per_second"] = run["cycles"] / run["seconds"]
    ratio = runs["cpp"]["cycles_per_second"] / runs["cocotb"]["cycles_per_second"]
    record = {"config": name, "simulator": "verilator", **runs, "ratio": ratio}
    (OUTPUT / "simulation.json").write_text(json.dumps(record, indent=2) + "\n")
    for run, figures in runs.items():
        print(
            f"{run:8}{figures['cycles']:>10,} cycles in {figures['seconds']:6.2f} s: "
            f"{figures['cycles_per_second'] / 1e6:.3f} M cycles/s"
        )
    print(f"ratio   {ratio:10.1f}")


if __name__ == "__main__":
    main()
