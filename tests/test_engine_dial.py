"""The engine around macros at other settings of the dial."""

import pytest
from cimarron.config import load_config
from cimarron.engine.engine import Engine
from cimarron_sim.runner.bench import run_bench
from cimarron_sim.runner.verilog import write_verilog

pytestmark = pytest.mark.cosim


@pytest.mark.parametrize(
    "dial",
    [
        "planes_per_cycle = 2\npipeline = 2",
        "planes_per_cycle = 8\nrow_groups = 2",
        "row_groups = 4\nplane_skipping = true",
        "bitwise = true\nbest_match = true\ncarryless = true\ntransposed = true",
        'write_bits = 32\nwords = 16\nmax_weight_bits = 16\nstorage = "latches"',
        'row_groups = 2\ntarget = "ecp5"\nstorage = "block_ram"',
    ],
    ids=["pipelined", "parallel", "skip", "operations", "narrow_latches", "block_ram"],
)
def test_bench_passes(dial, tmp_path):
    dial = dial if "words" in dial else f"words = 8\n{dial}"
    config = tmp_path / "dial.toml"
    config.write_text(
        "[engine]\nact_buffer_bytes = 4096\nact_port_bytes = 4\nweight_port_bits = 32\npsum_entries = 256\nlanes = 1\n"
        f"queue_jobs = 2\n[engine.macro]\nrows = 16\n{dial}\n"
    )
    verilog = write_verilog(Engine(load_config(str(config)).engine), tmp_path, "engine")
    run_bench(verilog, "engine", "tb_engine", simulator="verilator", env={"CIMARRON_CONFIG": str(config)})
