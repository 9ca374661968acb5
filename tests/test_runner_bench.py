"""The bench runner must report what happened, and never a success that proved nothing."""

import subprocess
import sys
from pathlib import Path

import pytest
from cimarron_sim.runner import tools, verilator
from cimarron_sim.runner.bench import SIMULATORS, BenchError, run_bench
from cimarron_sim.runner.tools import ToolError

COUNTER = """
module counter #(parameter STEP = 1) (input clk, input rst, output reg [7:0] count);
    always @(posedge clk) count <= rst ? 8'd0 : count + STEP[7:0];
endmodule
"""

BENCH = """
import os, random
import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge

async def counted(dut, cycles):
    Clock(dut.clk, 10, unit="ns").start()
    dut.rst.value = 1
    await ClockCycles(dut.clk, 2)
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    await ClockCycles(dut.clk, cycles)
    await FallingEdge(dut.clk)
    return dut.count.value.to_unsigned()

@cocotb.test()
async def counts(dut):
    assert await counted(dut, 5) == 5 * int(os.environ.get("EXPECTED_STEP", "1"))

@cocotb.test()
async def fails_for_odd_seeds(dut):
    assert cocotb.RANDOM_SEED % 2 == 0
"""


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A counter and its bench, and a function that runs it."""
    (tmp_path / "counter.v").write_text(COUNTER)
    (tmp_path / "tb_example.py").write_text(BENCH)
    monkeypatch.syspath_prepend(tmp_path)
    for variable in ("SEED", "CASE", "WAVES"):
        monkeypatch.delenv(variable, raising=False)
    # Each test builds in a folder of its own, from the library that other benches have compiled.
    launcher = verilator.verilator_environment(objects=Path("build/tb/runtime"))["OBJCACHE"]
    monkeypatch.setenv("OBJCACHE", launcher)

    def run(**options):
        module = options.pop("module", "tb_example")
        return run_bench(tmp_path / "counter.v", "counter", module, build_dir=tmp_path / "build", **options)

    return run


@pytest.mark.cosim
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_results_name_the_tests_that_ran(bench, simulator):
    result = bench(simulator=simulator, seed=2)
    assert result.passed == ("counts", "fails_for_odd_seeds")
    assert result.seed == 2
    assert result.results.is_file()
    with pytest.raises(BenchError, match=r"failed fails_for_odd_seeds \(seed 3\)[\s\S]*repeat with: SEED=3 .*pytest"):
        bench(simulator=simulator, seed=3)
    with pytest.raises(BenchError, match="ran no test named absent"):
        bench(simulator=simulator, seed=2, testcase="absent")
    assert bench(simulator=simulator, seed=3, testcase="counts").passed == ("counts",)


@pytest.mark.cosim
def test_parameters_and_environment_reach_the_bench(bench):
    options = {"simulator": "icarus", "parameters": {"STEP": 3}, "testcase": "counts"}
    assert bench(env={"EXPECTED_STEP": "3"}, **options).passed == ("counts",)
    with pytest.raises(BenchError, match="failed counts"):
        bench(env={"EXPECTED_STEP": "2"}, **options)


@pytest.mark.cosim
def test_the_environment_chooses_seed_test_and_waves(bench, monkeypatch):
    for variable, value in {"SEED": "13", "CASE": "counts", "WAVES": "1"}.items():
        monkeypatch.setenv(variable, value)
    result = bench(simulator="icarus", seed=3)
    assert result.seed == 13
    assert result.passed == ("counts",)
    assert result.waves is not None


@pytest.mark.cosim
def test_waves_are_recorded_on_request(bench):
    waves = bench(simulator="icarus", seed=2, waves=True).waves
    assert waves is not None
    assert waves.stat().st_size > 0


@pytest.mark.cosim
def test_a_simulation_that_dies_is_an_error(bench, tmp_path):
    (tmp_path / "tb_dies.py").write_text(
        "import os, cocotb\n@cocotb.test()\nasync def dies(dut):\n    os._exit(0)\n", encoding="utf-8"
    )
    with pytest.raises(BenchError, match="left no results"):
        bench(module="tb_dies", simulator="icarus", seed=1)


@pytest.mark.cosim
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_verilog_that_does_not_compile_is_an_error(bench, tmp_path, simulator):
    (tmp_path / "counter.v").write_text(COUNTER.replace("endmodule", "oops"))
    with pytest.raises(BenchError, match=f"{simulator} could not build counter for tb_example"):
        bench(simulator=simulator)


def test_a_missing_bench_is_an_error(bench):
    with pytest.raises(BenchError, match="no bench module 'tb_absent'"):
        bench(module="tb_absent")


def test_an_unknown_simulator_is_an_error(bench):
    with pytest.raises(ToolError, match="simulator must be one of verilator, icarus, not 'xcelium'"):
        bench(simulator="xcelium")


def test_a_missing_program_is_named_with_its_remedy(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r"iverilog is not installed .*: run `sudo apt-get install iverilog`"):
        tools.require("iverilog")
    with pytest.raises(ToolError, match=r"perl is not installed .*: run `sudo apt-get install perl`"):
        verilator.verilator_binary()


def test_a_failing_program_shows_its_output():
    program = [sys.executable, "-c", "print('the cause'); raise SystemExit(3)"]
    with pytest.raises(ToolError, match="the attempt failed with exit code 3:\nthe cause"):
        tools.quiet_run(program, purpose="the attempt")
    with pytest.raises(ToolError, match="the attempt could not start /absent"):
        tools.quiet_run(["/absent"], purpose="the attempt")


@pytest.mark.cosim
def test_the_packaged_verilator_wins_over_any_other(tmp_path, monkeypatch):
    impostor = tmp_path / "verilator"
    impostor.write_text("#!/bin/sh\necho impostor\n")
    impostor.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    environment = verilator.verilator_environment()
    shown = subprocess.run(["verilator", "--version"], env=environment, text=True, capture_output=True, check=True)
    assert "impostor" not in shown.stdout
    assert Path(environment["PATH"].split(":")[0]) == verilator.verilator_binary().parent
