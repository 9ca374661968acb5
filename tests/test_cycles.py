"""The cycle model: against the RTL, and its own short cut."""

from random import Random

import numpy as np
import pytest
from bench_module import bench
from cimarron.config import PRESETS, EngineConfig, MacroConfig, load_config
from cimarron.engine.drain import Drain
from cimarron.engine.gather import Gather
from cimarron.engine.vector import Vector
from cimarron.isa import Opcode
from cimarron_sim.compiler.compile import compile
from cimarron_sim.compiler.cycles import engine
from cimarron_sim.compiler.cycles.macro import Macro
from cimarron_sim.compiler.cycles.vector import VECTOR_LATENCY
from cimarron_sim.compiler.predict import predict
from cimarron_sim.runner.bench import run_bench
from cimarron_sim.runner.simulation import Simulation
from cimarron_sim.runner.verilog import write_verilog
from engine_memory import EngineMemory

#: As `bench/cycles.py` calls them; those that take longer, and other formats of the same.
NETWORKS = ["digits_conv", "KWS", "IC", "AD"]
OTHERS = ["VWW", "VWW-qdq", "KWS-qdq", "KWS-qlinear", "IC-qdq", "IC-qlinear", "AD-qdq", "AD-qlinear"]

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


@pytest.mark.cosim
@pytest.mark.parametrize("name", [*NETWORKS, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_layers_take_the_predicted_cycles_on_the_system(name):
    networks = bench("cycles")
    if name not in networks.names():
        pytest.skip(f"the public model {name} is not here")
    config = PRESETS["default"]
    program = compile(networks.read(name), config)
    rng = np.random.default_rng(0)
    inputs = [rng.bytes(program.input.nbytes) for _ in range(2)]
    expected = predict(program, config.engine)
    for inference in Simulation(config).run(program, inputs, processes=1).inferences:
        assert [run.counters.busy for run in inference.layers] == expected


def test_latencies_are_those_of_the_hardware():
    assert Gather.latency == engine.GATHER_LATENCY
    assert Drain.latency == engine.DRAIN_LATENCY
    assert Vector.latency == VECTOR_LATENCY


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
    config = EngineConfig(macro=MacroConfig(plane_skipping=True))
    with pytest.raises(ValueError, match="give the planes of each operation"):
        engine.EngineCycles(config).execute({"opcode": Opcode.MAC})
