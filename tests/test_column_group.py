"""Shift accumulators and the fusion of columns."""

import json
from dataclasses import asdict
from random import Random

import pytest
from amaranth.sim import Simulator
from cimarron.config import MacroConfig
from cimarron.macro.column_group import ColumnGroup
from cimarron.macro.format import top_columns
from cimarron.macro.shift_accumulator import ShiftAccumulator
from cimarron_sim.runner.bench import SIMULATORS, run_bench
from cimarron_sim.runner.verilog import write_verilog


def accumulate(
    config: MacroConfig, operations: list[tuple[list[list[int]], list[int], bool, int, int]]
) -> list[list[int]]:
    """Results of operations, each (sums per plane and column, count per plane, sign plane, tops, width)."""
    dut = ColumnGroup(config)
    results = []

    async def testbench(ctx):
        for sums, counts, negative, tops, width in operations:
            for index, (plane, count) in enumerate(zip(sums, counts, strict=True)):
                ctx.set(dut.step, 1)
                ctx.set(dut.first, index == 0)
                ctx.set(dut.negative, index == 0 and negative)
                ctx.set(dut.shift, 1)
                ctx.set(dut.count[0], count)
                ctx.set(dut.tops, tops)
                for column, value in enumerate(plane):
                    ctx.set(dut.sums[0][column], value)
                await ctx.tick()
            ctx.set(dut.step, 0)
            ctx.set(dut.capture, 1)
            ctx.set(dut.width, width)
            await ctx.tick()
            ctx.set(dut.capture, 0)
            results.append([ctx.get(y) for y in dut.y])

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    return results


@pytest.mark.parametrize("cell_bits", [1, 2, 4])
@pytest.mark.parametrize("max_weight_bits", [4, 8, 16])
def test_one_cell_times_one_row_is_the_product(cell_bits, max_weight_bits):
    """With one active row the sums are the cells themselves, so the result is a product of two plain integers."""
    config = MacroConfig(rows=2, words=16, cell_bits=cell_bits, max_weight_bits=max_weight_bits)
    rng = Random(cell_bits * max_weight_bits)
    operations, expected = [], []
    for width, bits in enumerate(config.weight_widths):
        for signed_w in (False, True):
            low_w, high_w = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed_w else (0, (1 << bits) - 1)
            for x, x_bits, signed_x in [(-128, 8, True), (127, 8, True), (255, 8, False), (1, 1, False), (-1, 1, True)]:
                choices = {low_w, high_w, -1 if signed_w else 0, rng.randint(low_w, high_w)}
                weights = [rng.choice(sorted(choices)) for _ in range(max_weight_bits // bits)]
                # Offset-binary is two's complement with the top bit inverted.
                code = sum((w + (1 << bits - 1) * signed_w) << index * bits for index, w in enumerate(weights))
                cells = [code >> column * cell_bits & (1 << cell_bits) - 1 for column in range(config.group_words)]
                planes = [x >> bit & 1 for bit in reversed(range(x_bits))]
                sums = [[cell * plane for cell in cells] for plane in planes]
                tops = top_columns(width, config.group_words) if signed_w else 0
                operations.append((sums, planes, signed_x, tops, width))
                slots = [0] * config.group_words
                slots[:: bits // cell_bits] = [x * w for w in weights]
                expected.append(slots)
    assert accumulate(config, operations) == expected


def test_the_widest_sums_do_not_wrap():
    config = MacroConfig(rows=64, words=4, max_weight_bits=16)
    full = [[64 * 15] * 4] * 8
    for negative, factor in ((False, 255), (True, -1)):
        assert accumulate(config, [(full, [64] * 8, negative, 0, 2)]) == [[64 * factor * 65535, 0, 0, 0]]


def test_top_columns_hold_the_last_cell_of_each_weight():
    assert [top_columns(width, 8) for width in range(4)] == [0b1111_1111, 0b1010_1010, 0b1000_1000, 0b1000_0000]


def test_latency_adds_up():
    assert ShiftAccumulator.latency == 1
    assert ColumnGroup.latency == ShiftAccumulator.latency + 1


@pytest.mark.cosim
@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize(
    "config",
    [
        MacroConfig(rows=64, words=8),
        MacroConfig(rows=9, words=16, cell_bits=1, max_weight_bits=16),
        MacroConfig(rows=64, words=8, planes_per_cycle=4, row_groups=2, max_act_bits=8),
        MacroConfig(rows=64, words=8, planes_per_cycle=2, row_groups=2, plane_skipping=True),
    ],
    ids=["4b-to-8b", "1b-to-16b", "dial", "skip"],
)
def test_column_group_bench(config, simulator, tmp_path):
    source = write_verilog(ColumnGroup(config), tmp_path, "column_group")
    env = {"MACRO": json.dumps(asdict(config))}
    result = run_bench(source, "column_group", "tb_column_group", simulator=simulator, env=env)
    assert len(result.passed) == 3
