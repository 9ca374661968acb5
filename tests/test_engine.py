"""The engine against its model, in RTL."""

import pytest
from cimarron_sim.runner.bench import SIMULATORS, run_bench
from engine_verilog import engine_verilog

pytestmark = pytest.mark.cosim


@pytest.mark.parametrize(
    ("preset", "simulator"), [*(("tiny", simulator) for simulator in SIMULATORS), ("default", "verilator")]
)
def test_bench_passes(preset, simulator):
    run_bench(engine_verilog(preset), "engine", "tb_engine", simulator=simulator, env={"CIMARRON_CONFIG": preset})
