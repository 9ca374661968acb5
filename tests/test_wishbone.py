"""Wishbone ports, in RTL, driven by cocotbext-wishbone."""

import pytest
from cimarron.config import PRESETS
from cimarron.engine.engine import Engine
from cimarron_sim.runner.bench import SIMULATORS, run_bench
from cimarron_sim.runner.verilog import write_verilog

pytestmark = pytest.mark.cosim


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_engine_answers_an_initiator_that_is_not_ours(simulator, tmp_path):
    verilog = write_verilog(Engine(PRESETS["tiny"].engine), tmp_path, "engine")
    run_bench(verilog, "engine", "tb_wishbone", simulator=simulator, env={"CIMARRON_CONFIG": "tiny"})
