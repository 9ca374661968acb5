"""The cycle model: against the RTL, and its own short cut."""

from random import Random

import pytest
from cimarron.config import MacroConfig, load_config
from cimarron.engine.drain import Drain
from cimarron.engine.gather import Gather
from cimarron_sim.compiler.cycles import engine
from cimarron_sim.compiler.cycles.macro import Macro
from cimarron_sim.runner.bench import run_bench
from cimarron_sim.runner.verilog import write_verilog
from engine_memory import EngineMemory

#: Tiny engines around macros at other settings of the dial.
DIALS = {
    "pipelined": "planes_per_cycle = 2\npipeline = 2",
    "parallel": "planes_per_cycle = 8",
    "deep": "planes_per_cycle = 4\npipeline = 3\nweight_sets = 1",
    "grouped": "planes_per_cycle = 8\nrow_groups = 2\nweight_sets = 3",
    "skip": "row_groups = 4\nplane_skipping = true",
    "skip_pipelined": "planes_per_cycle = 2\npipeline = 2\nplane_skipping = true",
}


@pytest.mark.cosim
@pytest.mark.parametrize("name", ["tiny", "default", *DIALS])
def test_jobs_retire_when_predicted(name, tmp_path):
    config = name
    if name in DIALS:
        path = tmp_path / "dial.toml"
        path.write_text(
            "ram_bytes = 131072\n[engine]\nact_buffer_bytes = 4096\nact_port_bytes = 4\nweight_port_bits = 32\n"
            f"psum_entries = 256\nlanes = 1\nqueue_jobs = 2\n[engine.macro]\nrows = 16\nwords = 8\n{DIALS[name]}\n"
        )
        config = str(path)
    verilog = write_verilog(EngineMemory(load_config(config)), tmp_path, "engine_memory")
    run_bench(verilog, "engine_memory", "tb_cycles", env={"CIMARRON_CONFIG": config})


def test_latencies_are_those_of_the_hardware():
    assert Gather.latency == engine.GATHER_LATENCY
    assert Drain.latency == engine.DRAIN_LATENCY


@pytest.mark.parametrize("seed", range(40))
def test_steady_state_is_skipped_exactly(seed):
    rng = Random(seed)
    config = MacroConfig(pipeline=rng.randrange(5))
    skipped, stepped = Macro(config), Macro(config)
    for macro in (skipped, stepped):
        macro.start(10, 14)
    ready = 20
    for _ in range(8):
        count, slowest = rng.randrange(1, 400), rng.choice((3, 12, 40))
        tile = {name: rng.randrange(1, slowest) for name in ("pieces", "planes", "beats")}
        ready += rng.randrange(2000)
        skipped.operate(ready=ready, **tile)
        skipped.repeat(count, **tile)
        for _ in range(count + 1):
            stepped.operate(ready=ready, **tile)
        assert vars(skipped) == vars(stepped), (count, tile)


def test_skipped_planes_must_be_given():
    config = load_config("tiny").engine
    macro = MacroConfig(rows=16, words=8, plane_skipping=True)
    with pytest.raises(ValueError, match="give the planes of each operation"):
        engine.EngineCycles(type(config)(macro=macro)).execute({"opcode": 2})
