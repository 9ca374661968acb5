"""The self-test behind the engine's registers, in RTL."""

import json
from unittest.mock import patch

import pytest
from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect, flipped
from cimarron.config import EngineConfig, load_config
from cimarron.engine.engine import Engine
from cimarron.macro.array import BitCellArray
from cimarron.macro.storage import STORAGE
from cimarron_sim.runner.bench import SIMULATORS, run_bench
from cimarron_sim.runner.verilog import write_verilog

pytestmark = pytest.mark.cosim

CONFIGURATION = """
[engine]
act_buffer_bytes = 1024
act_port_bytes = 4
weight_port_bits = 32
psum_entries = 256
lanes = 1
queue_jobs = 2
[engine.macro]
rows = 8
words = 8
planes_per_cycle = 2
self_test = true
"""
STUCK = {"set": 1, "row": 5, "column": 6, "bit": 2}


class FaultyEngine(wiring.Component):
    """An engine in whose macro a cell sticks at 1 while ``fault`` is."""

    def __init__(self, config: EngineConfig):
        self.engine = Engine(config)
        self.words = config.macro.words
        super().__init__({**dict(self.engine.signature.members.items()), "fault": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.engine = self.engine
        for name, member in self.engine.signature.members.items():
            if member.is_signature:
                connect(m, flipped(getattr(self, name)), getattr(self.engine, name))
            else:
                m.d.comb += getattr(self, name).eq(getattr(self.engine, name))
        return m

    def array(self) -> type[BitCellArray]:
        """What the engine's macro must store its weights in."""
        fault, place = self.fault, STUCK["bit"] * self.words + STUCK["column"]

        class Faulty(BitCellArray):
            def cells(self, m: Module, name: str, write: Value) -> Signal:
                cells = super().cells(m, name, write)
                if name != f"set_{STUCK['set']}_row_{STUCK['row']}":
                    return cells
                stuck = Signal.like(cells, name=f"{name}_stuck")
                m.d.comb += stuck.eq(cells | Mux(fault, 1 << place, 0))
                return stuck

        return Faulty


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_bench_passes(simulator, tmp_path):
    path = tmp_path / "tested.toml"
    path.write_text(CONFIGURATION)
    top = FaultyEngine(load_config(str(path)).engine)
    with patch.dict(STORAGE, {"flip_flops": top.array()}):
        verilog = write_verilog(top, tmp_path, "faulty_engine")
    environment = {"CIMARRON_CONFIG": str(path), "STUCK": json.dumps(STUCK)}
    result = run_bench(verilog, "faulty_engine", "tb_engine_self_test", simulator=simulator, env=environment)
    assert len(result.passed) == 5
