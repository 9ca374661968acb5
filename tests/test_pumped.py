"""A double-pumped macro in the whole system: the same bits in the same cycles as one that is not."""

from dataclasses import replace

import numpy as np
import pytest
from cimarron.config import EngineConfig, MacroConfig, SocConfig
from cimarron_sim.compiler import compile
from cimarron_sim.reference.execute import execute
from cimarron_sim.runner.simulation import Simulation
from random_graphs import Builder

MACRO = MacroConfig(rows=16, words=8, planes_per_cycle=2, pipeline=1, double_pumped=True)
PUMPED = SocConfig(
    engine=EngineConfig(
        macro=MACRO, act_buffer_bytes=4096, act_port_bytes=4, weight_port_bits=32, psum_entries=256, lanes=1
    ),
    ram_bytes=128 * 1024,
)


@pytest.mark.cosim
def test_the_system_takes_the_same_cycles_for_the_same_bits():
    builder = Builder((1, 6, 6, 4), seed=3).conv2d(8, (3, 3)).depthwise_conv2d(1, (3, 3)).conv2d(5, (1, 1))
    graph = builder.graph()
    x = builder.input()
    cycles = []
    for macro in (MACRO, replace(MACRO, double_pumped=False)):
        config = replace(PUMPED, engine=replace(PUMPED.engine, macro=macro))
        result = Simulation(config).run(compile(graph, config), [x.tobytes()] * 2)
        for inference in result.inferences:
            np.testing.assert_array_equal(inference.output, execute(graph, {"x": x})[graph.outputs[0]])
        cycles.append([[layer.cycles for layer in inference.layers] for inference in result.inferences])
    assert cycles[0] == cycles[1]
