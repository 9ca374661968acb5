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


def control(step: int, first: int, capture: int, width: int, tops: int, negative: int, shift: int) -> int:
    return step | first << 1 | negative << 2 | shift << 3 | capture << 4 | width << 5 | tops << 6


@pytest.fixture(scope="module")
def slices():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCH)
        return importlib.import_module("benchlib.slices")


@pytest.mark.parametrize("way", ["Slice", "WideSlice", "DistributedSlice", "BoothSlice"])
@pytest.mark.parametrize("adder", NAMES)
def test_every_way_that_is_measured_computes_dot_products(area, slices, way, adder):
    """Signed weights of 8 bits in two cells, signed activations of 4 bits, in the second of two sets."""
    rng = random.Random(7)
    rows, act_bits = 8, 4
    planes = 2 if way == "WideSlice" else 1
    config = MacroConfig(rows=rows, words=2, planes_per_cycle=planes)
    tree = area.TREES[adder]
    design = (
        slices.Slice(config, tree(rows=rows, words=2, bits=4)) if way == "Slice" else getattr(slices, way)(config, tree)
    )
    weights = [rng.randint(-128, 127) for _ in range(rows)]
    x = [rng.randint(-8, 7) for _ in range(rows)]

    def spread(low: int, high: int, bits: int) -> int:
        """Two numbers, plane by plane."""
        return sum((low >> bit & 1) << 2 * bit | (high >> bit & 1) << 2 * bit + 1 for bit in range(bits))

    # Offset-binary: 128 more, in cells of four bits.
    cells = [((weight + 128) & 15, (weight + 128) >> 4) for weight in weights]

    def distributed_writes():
        for block in range(rows // 4):
            for index in range(16):
                chosen = [cells[4 * block + row] for row in range(4) if index >> row & 1]
                low, high = (sum(cell[side] for cell in chosen) for side in (0, 1))
                yield 1 << block, index | 1 << 4, spread(low, high, 6)

    def booth_digits():
        """Most significant first: the digit of each row."""
        for position in (1, 0):
            digits = []
            for value in x:
                bits = [value >> bit & 1 if bit >= 0 else 0 for bit in range(2 * position - 1, 2 * position + 2)]
                digits.append(bits[0] + bits[1] - 2 * bits[2])
            yield digits

    async def testbench(ctx):
        if way == "DistributedSlice":
            for line, address, row_data in distributed_writes():
                ctx.set(design.lines, line)
                ctx.set(design.address, address)
                ctx.set(design.data, row_data)
                await ctx.tick()
        else:
            for row, (low, high) in enumerate(cells):
                ctx.set(design.lines, 1 << 2 * row + 1)
                ctx.set(design.data, spread(low, high, 4))
                await ctx.tick()
        ctx.set(design.lines, 0)
        ctx.set(design.set, 1)
        if way == "BoothSlice":
            steps = list(booth_digits())
        else:
            steps = [range(plane, plane + planes) for plane in range(act_bits - planes, -1, -planes)]
        # Counts and inputs are registered with the sums, so control comes a cycle later.
        for index, step in enumerate([*steps, None]):
            command = 0
            if way == "BoothSlice":
                digits = step or [0] * rows
                ctx.set(design.one, sum((abs(digit) == 1) << row for row, digit in enumerate(digits)))
                ctx.set(design.two, sum((abs(digit) == 2) << row for row, digit in enumerate(digits)))
                ctx.set(design.negative, sum((digit < 0) << row for row, digit in enumerate(digits)))
                total, negatives = sum(digits), sum(digit < 0 for digit in digits)
                command |= (index > 0) | (index == 1) << 1 | 1 << 3 | 0b10 << 4
                command |= (total & (1 << design.digit_bits) - 1) << 6 | negatives << 6 + design.digit_bits
            else:
                masks = [
                    sum((value >> plane & 1) << row for row, value in enumerate(x)) for plane in step or [0] * planes
                ]
                ctx.set(design.x, sum(mask << rows * p for p, mask in enumerate(masks)))
                command |= control(index > 0, index == 1, 0, 1, 0b10, index == 1, 1)
                for p, mask in enumerate(masks):
                    command |= mask.bit_count() << 8 + p * config.count_bits
            ctx.set(design.control, command)
            await ctx.tick()
        capture = 1 << 2 | 1 << 3 | 0b10 << 4 if way == "BoothSlice" else control(0, 0, 1, 1, 0b10, 0, 0)
        ctx.set(design.control, capture)
        await ctx.tick()
        expected = sum(weight * value for weight, value in zip(weights, x, strict=True))
        assert ctx.get(design.y[: config.result_bits].as_signed()) == expected

    simulator = Simulator(design)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize(("rows", "bits", "fewest"), [(64, 1, 63), (256, 1, 255), (64, 4, 246), (256, 4, 1012)])
def test_floor_is_the_published_minimum(area, rows, bits, fewest):
    assert area.floor(rows, bits) == fewest


@pytest.mark.parametrize(("target", "size", "per_mac"), [("ecp5", "luts", 0.055), ("asic", "transistors", 0.022)])
def test_an_array_is_what_it_has_once_and_a_slice_per_column_group(area, synthesis, monkeypatch, target, size, per_mac):
    slices = synthesis.Area(luts=25, carry=3, ffs=7, gates=4, transistors=10)
    once = synthesis.Area(luts=24, carry=2, ffs=6, gates=5, transistors=12)
    monkeypatch.setattr(area, "written", lambda design, name: type(design).__name__)
    monkeypatch.setattr(area, "area", lambda verilog, *rest: {"Slice": slices, "Shared": once}[verilog])
    # 64 columns of bits are 16 words of 4, in 8 groups of two.
    array, piece = area.array(64, "ripple", target), area.piece(64, "ripple", target)
    one, shared = getattr(slices, size), getattr(once, size)
    assert (array[size], array["ffs"]) == (shared + 8 * one, 6 + 8 * 7)
    assert array["per_mac"] == round((shared + 8 * one) / 4096, 3) == per_mac
    assert [piece[f"{part}_{name}"] for part in ("slice", "once") for name in ("size", "carry", "ffs")] == [
        one, 3, 7, shared, 2, 6,
    ]  # fmt: skip


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
    assert found.size == found.luts


def test_gates_are_counted_without_flip_flops(synthesis):
    cells = {"$_AND_": 3, "$_XOR_": 2, "$_SDFF_PP0_": 5, "$scopeinfo": 1}
    found = synthesis.counted({"num_cells_by_type": cells, "estimated_num_transistors": "42+"}, "asic")
    assert (found.gates, found.transistors, found.ffs) == (5, 42, 5)
    assert found.size == 5


def test_a_missing_tool_ends_with_the_command_that_installs_it(synthesis, capsys):
    with pytest.raises(SystemExit) as stop:
        synthesis.require(["yowasp-no-such-tool"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "yowasp-no-such-tool not found; install with: python -m pip install yowasp-no-such-tool\n"
    )
