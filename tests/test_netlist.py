"""What synthesis makes of the macro: the same answers in the same cycles, and nothing undefined."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from cimarron.config import MacroConfig
from cimarron.macro.macro import Macro
from cimarron_sim.runner.bench import run_bench
from cimarron_sim.runner.verilog import write_verilog
from cimarron_sim.runner.yosys import Verdict, check_equal, run_yosys

pytestmark = pytest.mark.slow

CONFIG = MacroConfig(rows=4, words=4, max_act_bits=4, planes_per_cycle=2)

#: Gates and flip-flops that any library has, as Verilog operators.
GATES = "synth -flatten -top macro\nabc -g AND,OR,XOR,MUX\nopt_clean\nsetundef -undriven -zero\n"


def synthesise(folder: Path, script: str) -> Path:
    """The macro's netlist."""
    write_verilog(Macro(CONFIG), folder, "macro")
    run_yosys(f"read_verilog macro.v\n{script}write_verilog -noattr netlist.v\n", folder, purpose="a synthesis")
    return folder / "netlist.v"


def check_bench(sources: list[Path]) -> None:
    """All but the test that needs the source's hierarchy."""
    environment = {"MACRO": json.dumps(asdict(CONFIG)), "ROUNDS": "2", "NETLIST": "1"}
    assert len(run_bench(sources, "macro", "tb_macro", simulator="icarus", env=environment).passed) == 9


@pytest.mark.formal
def test_gates_equal_the_source(tmp_path):
    """Proven from reset on; and a netlist with one other gate is told apart."""
    text = synthesise(tmp_path, GATES).read_text()
    assert text.count(" ^ ") > 10
    (tmp_path / "other.v").write_text(text.replace(" ^ ", " | ", 1))
    gold = "read_verilog macro.v"
    assert check_equal(gold, "read_verilog other.v", "macro", tmp_path) is Verdict.REFUTED
    assert check_equal(gold, "read_verilog netlist.v", "macro", tmp_path) is Verdict.PROVED


@pytest.mark.cosim
def test_gates_pass_the_bench_of_the_macro(tmp_path):
    """Answers and cycles are those of the source. Nothing has an initial value: what is not reset starts undefined."""
    netlist = synthesise(tmp_path, f"{GATES}setattr -unset init w:*\n")
    assert "initial" not in netlist.read_text()
    check_bench([netlist])
