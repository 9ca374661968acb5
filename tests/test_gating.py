"""What an operation does not use stands still, and what it uses is as without gating."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from cimarron.config import PRESETS, EngineConfig, MacroConfig
from cimarron.engine.feeder import Feeder
from tblib.macro import operation_payload, random_integers, row_payloads
from tblib.toggles import PARTS, Toggles, simulate_toggles
from test_macro import simulate

CONFIG = MacroConfig(rows=16, words=8, weight_sets=2)
#: Operations before those that are looked at, so that the pipeline holds nothing else, and those.
BEFORE, OPERATIONS = 8, 12


def run(tmp_path, config: MacroConfig, idle: int, rows: int, sets: int = 1) -> Toggles:
    """Changes of operations on random numbers in the lowest ``rows`` rows, in formats and sets that alternate."""
    rng = np.random.default_rng(41)
    writes, operations = [], []
    for weight_set in range(config.weight_sets):
        for row in range(config.rows):
            bits, signed = config.weight_widths[weight_set % len(config.weight_widths)], bool(weight_set)
            weights = random_integers(rng, bits, signed, config.outputs(bits))
            writes += row_payloads(config, weight_set, row, bits, signed, weights)
    for number in range(BEFORE + OPERATIONS):
        x = random_integers(rng, 8, True, config.rows)
        x[rows:] = 0
        operations.append(operation_payload(config, number % sets, x, 8, bool(number & 2), idle=idle))
    return simulate_toggles(config, writes, operations, BEFORE, tmp_path)


@pytest.mark.parametrize(
    "dial",
    [
        {},
        {"adder": "ripple"},
        {"adder": "counters", "planes_per_cycle": 2},
        {"row_groups": 2, "plane_skipping": True},
        {"pipeline": 1},
        {"row_groups": 2, "target": "ecp5", "storage": "block_ram"},
        {"bitwise": True, "carryless": True, "transposed": True},
    ],
    ids=str,
)
def test_idle_column_groups_do_not_change_a_bit(dial, tmp_path):
    config = MacroConfig(rows=16, words=8, **dial)
    idle = 0b1010
    found = run(tmp_path, config, idle, config.rows, sets=2).by_group()
    for part in PARTS:
        for group, count in enumerate(found[part]):
            assert (count == 0) == bool(idle >> group & 1), (part, group, count)


def test_without_gating_they_do(tmp_path):
    """The bench sees what gating prevents."""
    config = MacroConfig(rows=16, words=8, gating=False)
    found = run(tmp_path, config, 0b1010, config.rows).by_group()
    assert all(count > 0 for part in PARTS for count in found[part])


@pytest.mark.parametrize("gating", [False, True])
def test_unused_blocks_of_rows_keep_their_cells(gating, tmp_path):
    """Where sets take turns, so do the cells that a row looks at, but not in blocks of rows without a one."""
    config = MacroConfig(rows=16, words=8, gating=gating)
    toggles = run(tmp_path, config, 0, 8, sets=2)
    changes = [0] * config.rows
    products = [0] * config.rows
    for (path, _), count in toggles.bits.items():
        scope, _, name = path.partition(".")
        if scope == "array" and name.startswith("cells_"):
            changes[int(name.removeprefix("cells_"))] += count
        if scope == "array" and name.startswith("plane_"):
            products[int(name.rpartition("_")[2])] += count
    assert all(changes[:8])
    assert all(products[:8])
    assert not any(products[8:])
    assert [count > 0 for count in changes[8:]] == [not gating] * 8


def test_idle_elements_keep_the_last_result_that_used_them():
    config = MacroConfig(rows=2, words=4, max_weight_bits=4)
    results = []

    async def script(session):
        session.write(0, np.array([[1, 2, 3, 4], [0, 0, 0, 0]]), 4, False)
        session.write(1, np.array([[7, 7, 7, 7], [0, 0, 0, 0]]), 4, False)
        await session.drain()
        for weight_set, x, idle in ((0, 1, 0b1100), (0, 2, 0b0011), (1, 1, 0b0101), (0, 9, 0b1111), (0, 3, 0)):
            session.operate(weight_set, [x, 0], 4, False, idle=idle)
            while not session.ctx.get(session.dut.o_stream.valid):
                await session.cycle()
            results.append([session.ctx.get(y) for y in session.dut.o_stream.payload.y])
            await session.drain()

    simulate(config, script)
    assert results == [[1, 2, 0, 0], [1, 2, 6, 8], [1, 7, 6, 7], [1, 7, 6, 7], [3, 6, 9, 12]]


def test_an_impossible_operation_answers_zeros_in_idle_groups_too():
    config = MacroConfig(rows=2, words=4)

    async def script(session):
        session.write(0, np.full((2, 2), 100), 8, False)
        await session.drain()
        session.operate(0, [1, 1], 8, False)
        session.operate(0, [1, 1], 9, False, idle=0b11)
        session.operate(0, [1, 1], 8, False, idle=0b01)

    simulate(config, script)


@pytest.mark.parametrize("preset", ["tiny", "default"])
def test_the_engine_leaves_column_groups_beyond_a_tiles_outputs_alone(preset):
    config: EngineConfig = PRESETS[preset].engine
    macro = config.macro
    dut = Feeder(config)

    async def testbench(ctx):
        for width in macro.weight_widths:
            for outputs in range(1, macro.outputs(width) + 1):
                used = -(-outputs * width // macro.max_weight_bits)
                for last in (0, 1):
                    ctx.set(dut.job.weight_bits, width)
                    ctx.set(dut.job.last_words, outputs if last else 1)
                    ctx.set(dut.job.tile_words, 1 if last else outputs)
                    ctx.set(dut.i_stream.payload.last_words, last)
                    await ctx.delay(1e-9)
                    idle = ctx.get(dut.o_stream.payload.idle)
                    assert idle == (1 << macro.groups) - (1 << used), (width, outputs)

    simulator = Simulator(dut)
    simulator.add_testbench(testbench)
    simulator.run()
