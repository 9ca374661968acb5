"""The engine with AXI ports, in RTL, driven by the AXI models of cocotbext-axi."""

import pytest
from cimarron.config import PRESETS
from cimarron.engine.axi_engine import AxiEngine
from cimarron_sim.runner.bench import SIMULATORS, run_bench
from cimarron_sim.runner.verilog import write_verilog

pytestmark = pytest.mark.cosim


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_bench_passes(simulator, tmp_path):
    verilog = write_verilog(AxiEngine(PRESETS["tiny"].engine), tmp_path, "engine_axi")
    run_bench(verilog, "engine_axi", "tb_axi", simulator=simulator, env={"CIMARRON_CONFIG": "tiny"})
