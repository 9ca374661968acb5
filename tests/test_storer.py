"""STORE jobs, in RTL."""

import pytest
from cimarron.config import PRESETS
from cimarron.engine.engine import Engine
from cimarron_sim.runner.bench import SIMULATORS, run_bench
from cimarron_sim.runner.verilog import write_verilog

pytestmark = pytest.mark.cosim


@pytest.mark.parametrize(
    ("preset", "simulator"), [*(("tiny", simulator) for simulator in SIMULATORS), ("default", "verilator")]
)
def test_bench_passes(preset, simulator, tmp_path):
    verilog = write_verilog(Engine(PRESETS[preset].engine), tmp_path, "engine")
    run_bench(verilog, "engine", "tb_storer", simulator=simulator, env={"CIMARRON_CONFIG": preset})
