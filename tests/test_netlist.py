"""What synthesis makes of macro and engine: the same answers in the same cycles, and nothing undefined."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from cimarron.config import EngineConfig, MacroConfig, SocConfig
from cimarron.engine.engine import Engine
from cimarron.macro.macro import Macro
from cimarron_sim.runner.bench import BenchError, run_bench
from cimarron_sim.runner.verilog import write_verilog
from cimarron_sim.runner.yosys import Verdict, check_equal, run_yosys
from config_file import soc_toml

pytestmark = pytest.mark.slow

CONFIG = MacroConfig(rows=4, words=4, max_act_bits=4, planes_per_cycle=2)

#: Gates and flip-flops that any library has, as Verilog operators.
GATES = "synth -flatten -top macro\nabc -g AND,OR,XOR,MUX\nopt_clean\nsetundef -undriven -zero\n"

#: The same for an engine. Its memories stay arrays, as those of a foundry would, without their contents, and the
#: registers behind them, which become ports of the memories, without initial values.
ENGINE_GATES = """
hierarchy -top engine
proc
flatten
delete t:$meminit t:$meminit_v2
setattr -unset init w:*
opt
wreduce
alumacc
opt
memory -nomap
opt -fast -full
techmap
opt -fast
abc -g AND,OR,XOR,MUX
opt_clean
setundef -undriven -zero
"""

#: What an FPGA gets, with each cell replaced by what its family's library says it does.
FPGA_CELLS = {
    family: f"synth_{family} -top macro {options}\ntechmap -autoproc -map +/{family}/cells_sim.v\nopt_clean\n"
    for family, options in (("ice40", ""), ("ecp5", "-nowidelut"))
}

#: Nothing has an initial value: what is not reset starts undefined.
NO_INIT = "setattr -unset init w:*\n"

ENGINE = EngineConfig(
    macro=MacroConfig(rows=8, words=4), act_buffer_bytes=1024, act_port_bytes=4, weight_port_bits=32, psum_entries=64,
    lanes=1, queue_jobs=2,
)  # fmt: skip

#: Tests that look at nothing in memories that they did not put there.
ENGINE_TESTS = (
    "registers_answer_on_both_ports", "one_job", "idle_raises_the_interrupt", "bad_accesses_end_in_an_error",
    "the_other_port_sees_an_error_in_the_next_cycle", "a_full_queue_refuses_and_reports",
    "activation_buffer_is_reached_through_the_window", "queued_jobs", "queued_jobs_with_slow_memory_and_bus_traffic",
    "impossible_jobs_end_in_an_error",
)  # fmt: skip


def synthesise(folder: Path, script: str, top: str = "macro") -> Path:
    """The netlist of the macro or the engine."""
    write_verilog(Macro(CONFIG) if top == "macro" else Engine(ENGINE), folder, top)
    run_yosys(f"read_verilog {top}.v\n{script}write_verilog -noattr netlist.v\n", folder, purpose="a synthesis")
    return folder / "netlist.v"


def check_bench(sources: list[Path]) -> None:
    """All but the test that needs the source's hierarchy."""
    environment = {"MACRO": json.dumps(asdict(CONFIG)), "ROUNDS": "2", "NETLIST": "1"}
    assert len(run_bench(sources, "macro", "tb_macro", simulator="icarus", env=environment).passed) == 10


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
@pytest.mark.parametrize("script", [GATES, *FPGA_CELLS.values()], ids=["gates", *FPGA_CELLS])
def test_netlists_pass_the_bench_of_the_macro(tmp_path, script):
    """Answers and cycles are those of the source, and no output is undefined that means something."""
    netlist = synthesise(tmp_path, f"{script}{NO_INIT}")
    assert "initial" not in netlist.read_text()
    check_bench([netlist])


@pytest.mark.cosim
def test_undefined_output_is_noticed(tmp_path):
    """One that the bench itself only counts while it is high."""
    text = synthesise(tmp_path, f"{GATES}{NO_INIT}").read_text()
    spoilt = tmp_path / "spoilt.v"
    spoilt.write_text(re.sub(r"assign write_error = .*;", "assign write_error = 1'bx;", text))
    assert spoilt.read_text() != text
    with pytest.raises(BenchError, match="write_error is X"):
        check_bench([spoilt])


@pytest.mark.cosim
def test_gates_pass_the_bench_of_the_engine(tmp_path):
    """No output is undefined that means something, though no flip-flop and no memory has an initial value."""
    netlist = synthesise(tmp_path, f"{ENGINE_GATES}{NO_INIT}", "engine")
    assert "initial" not in netlist.read_text()
    config = tmp_path / "engine.toml"
    config.write_text(soc_toml(SocConfig(engine=ENGINE, ram_bytes=64 * 1024)))
    environment = {"CIMARRON_CONFIG": str(config), "NETLIST": "1", "COCOTB_TEST_FILTER": "|".join(ENGINE_TESTS)}
    result = run_bench(netlist, "engine", "tb_engine", simulator="icarus", env=environment)
    assert sorted(result.passed) == sorted(ENGINE_TESTS)
