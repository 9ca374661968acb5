"""The engine against its model, in RTL."""

import pytest
from cimarron.config import PRESETS
from cimarron.engine.engine import Engine
from cimarron_sim.runner.bench import SIMULATORS, run_bench
from cimarron_sim.runner.verilog import write_verilog

pytestmark = pytest.mark.cosim


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_bench_passes(simulator, tmp_path):
    verilog = write_verilog(Engine(PRESETS["tiny"].engine), tmp_path, "engine")
    run_bench(verilog, "engine", "tb_engine", simulator=simulator, env={"CIMARRON_CONFIG": "tiny"})
