"""The area bench: it measures what computes, counts cells right, and says what is missing."""

import importlib
import random
from pathlib import Path

import pytest
from amaranth.sim import Simulator
from cimarron.config import MacroConfig

BENCH = Path(__file__).parents[1] / "bench"
NAMES = ["carry_save", "ripple", "counters", "naive"]


@pytest.fixture(scope="module")
def area():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCH)
        return importlib.import_module("area")


@pytest.fixture(scope="module")
def synthesis():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCH)
        return importlib.import_module("benchlib.synthesis")


@pytest.mark.parametrize("adder", NAMES)
def test_the_measured_core_computes_dot_products(area, adder):
    assert sorted(area.TREES) == sorted(NAMES)
    rng = random.Random(5)
    config = MacroConfig(rows=9, words=2)
    core = area.Core(config, area.TREES[adder](rows=9, words=2, bits=4))
    assert core.macs == 9 * 8

    async def testbench(ctx):
        for low, high in ((-128, -128), (127, 127), (-128, 127)):
            weights = [rng.randint(low, high) for _ in range(9)]
            x = [1] * 9 if low == high else [rng.randrange(2) for _ in range(9)]
            stored = 0
            for row, weight in enumerate(weights):
                code = weight + 128
                for bit in range(8):
                    # Words alternate within a plane; the upper four bits are the second word's.
                    stored |= (code >> bit & 1) << (row * 4 + bit % 4) * 2 + bit // 4
            step, first, capture, width, tops = 1 << 0, 1 << 1, 1 << 4, 1 << 5, 0b10 << 6
            ctx.set(core.x, sum(value << row for row, value in enumerate(x)))
            ctx.set(core.w, stored)
            ctx.set(core.control, step | first | capture | width | tops | sum(x) << 8)
            await ctx.tick().repeat(4)
            expected = sum(weight for weight, value in zip(weights, x, strict=True) if value)
            assert ctx.get(core.y[: config.result_bits].as_signed()) == expected

    simulator = Simulator(core)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize(("rows", "bits", "fewest"), [(64, 1, 63), (256, 1, 255), (64, 4, 246), (256, 4, 1012)])
def test_floor_is_the_published_minimum(area, rows, bits, fewest):
    assert area.floor(rows, bits) == fewest


@pytest.mark.parametrize(
    ("target", "cells", "expected"),
    [
        ("ice40", {"SB_LUT4": 7, "SB_CARRY": 3, "SB_DFFSR": 2, "SB_DFFE": 4, "$scopeinfo": 1}, (7, 3, 6)),
        ("ecp5", {"LUT4": 7, "CCU2C": 3, "TRELLIS_FF": 2, "PFUMX": 5}, (13, 3, 2)),
        ("gowin", {"LUT1": 1, "LUT4": 7, "ALU": 3, "DFFR": 2, "VCC": 1, "MUX2_LUT5": 4}, (11, 3, 2)),
    ],
)
def test_cells_are_counted_in_look_up_tables(synthesis, target, cells, expected):
    found = synthesis.counted({"num_cells_by_type": cells}, target)
    assert (found.luts, found.carry, found.ffs) == expected


def test_gates_are_counted_without_flip_flops(synthesis):
    cells = {"$_AND_": 3, "$_XOR_": 2, "$_SDFF_PP0_": 5, "$scopeinfo": 1}
    found = synthesis.counted({"num_cells_by_type": cells, "estimated_num_transistors": "42+"}, "asic")
    assert (found.gates, found.transistors, found.ffs) == (5, 42, 5)


def test_a_missing_tool_ends_with_the_command_that_installs_it(synthesis, capsys):
    with pytest.raises(SystemExit) as stop:
        synthesis.require(["yowasp-no-such-tool"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "yowasp-no-such-tool not found; install with: python -m pip install yowasp-no-such-tool\n"
    )
