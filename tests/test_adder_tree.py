# amaranth: UnusedElaboratable=no
"""The adder tree: its sums, and how many adders they cost."""

import json
from itertools import pairwise
from random import Random

import pytest
from amaranth.sim import Simulator
from cimarron.config import ADDERS, TARGETS, MacroConfig
from cimarron.macro.adder_tree import AdderTree
from cimarron.macro.back_ends import BACK_ENDS, adder_tree
from cimarron.macro.carry_save import CarrySaveTree, Reduction
from cimarron.macro.ripple import RippleTree
from cimarron_sim.runner.bench import SIMULATORS, run_bench
from cimarron_sim.runner.verilog import write_verilog
from tblib.planes import pack_planes, unpack_planes


def check(tree: AdderTree, cases: list[list[list[int]]]) -> None:
    """Compare the sums of cases, each ``numbers[row][word]``."""

    async def testbench(ctx):
        for numbers in cases:
            ctx.set(tree.i, pack_planes(numbers, tree.bits))
            await ctx.delay(1e-9)
            [sums] = unpack_planes(ctx.get(tree.o), 1, tree.words, tree.out_bits)
            assert sums == [sum(row[word] for row in numbers) for word in range(tree.words)], numbers

    simulator = Simulator(tree)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize("adder", ADDERS)
@pytest.mark.parametrize(
    ("rows", "bits"), [*((rows, 1) for rows in range(1, 11)), (2, 2), (3, 2), (5, 2), (2, 4), (3, 3)]
)
def test_every_combination_sums_exactly(adder, rows, bits):
    words = 4
    patterns = [[(code >> row * bits) & (1 << bits) - 1 for row in range(rows)] for code in range(1 << rows * bits)]
    patterns += patterns[: -len(patterns) % words]
    # Neighbouring words hold different combinations, so that a leak between words shows.
    cases = [[list(row) for row in zip(*patterns[i : i + words], strict=True)] for i in range(0, len(patterns), words)]
    check(BACK_ENDS[adder](rows=rows, words=words, bits=bits), cases)


@pytest.mark.parametrize("adder", ADDERS)
@pytest.mark.parametrize(("rows", "words", "bits"), [(64, 3, 4), (100, 2, 1), (33, 5, 2)])
def test_large_trees_sum_extremes_and_random_numbers(adder, rows, words, bits):
    rng = Random(rows)
    top = (1 << bits) - 1
    one_word = [[top] + [0] * (words - 1) for _ in range(rows)]
    one_row = [[top if row == rows - 1 else 0] * words for row in range(rows)]
    extremes = [[[value] * words for _ in range(rows)] for value in (0, 1, top)]
    randoms = [[[rng.randrange(top + 1) for _ in range(words)] for _ in range(rows)] for _ in range(20)]
    check(BACK_ENDS[adder](rows=rows, words=words, bits=bits), [*extremes, one_word, one_row, *randoms])


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7, 8, 15, 16, 64, 100, 255, 256, 1024])
def test_one_bit_rows_cost_the_proven_minimum(rows):
    reduction = Reduction(rows, 1)
    assert reduction.full_adders + reduction.half_adders == rows - rows.bit_count()


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("rows", [2, 5, 16, 64, 100, 256])
def test_full_adders_are_the_planes_that_must_go(rows, bits):
    reduction = Reduction(rows, bits)
    out_bits = (rows * (2**bits - 1)).bit_length()
    assert len(reduction.outputs) == out_bits
    assert reduction.full_adders == rows * bits - out_bits
    # Position k holds floor(rows * (2**min(k + 1, bits) - 1) / 2**k) planes: its own and the carries from below.
    held = [rows * (2 ** min(k + 1, bits) - 1) // 2**k for k in range(out_bits)]
    assert reduction.half_adders == sum(planes % 2 == 0 for planes in held)


def test_auto_chooses_by_target_and_bits():
    for bits in (1, 2, 4):
        assert MacroConfig(target="asic").adder_for(bits) == "carry_save"
    for target, wide in (("ecp5", "carry_save"), ("ice40", "ripple"), ("gowin", "ripple")):
        assert [MacroConfig(target=target).adder_for(bits) for bits in (1, 2, 4)] == ["counters", "counters", wide]


@pytest.mark.parametrize(("adder", "tree"), [("carry_save", CarrySaveTree), ("ripple", RippleTree)])
def test_a_named_back_end_is_taken_whatever_the_target(adder, tree):
    for target in TARGETS:
        config = MacroConfig(rows=5, adder=adder, target=target)
        assert [config.adder_for(bits) for bits in (1, 2, 4)] == [adder] * 3
    made = adder_tree(config, rows=config.rows, words=3, bits=2)
    assert type(made) is tree
    assert (made.rows, made.words, made.bits) == (5, 3, 2)
    check(made, [[[3, 2, 1]] * 5])


@pytest.mark.parametrize("adder", ["ripple", "counters"])
def test_every_sum_on_a_chain_is_kept(adder, tmp_path):
    rows, words = 20, 3
    path = write_verilog(BACK_ENDS[adder](rows=rows, words=words, bits=2), tmp_path, "kept")
    lines = path.read_text().splitlines()
    kept = [after for before, after in pairwise(lines) if "keep" in before and "wire" in after]
    leaves = -(-rows // {"ripple": 1, "counters": 7}[adder])
    assert sum("_sum_" in line for line in kept) == words * (leaves - 1)


def test_parameters_must_be_positive_integers():
    with pytest.raises(ValueError, match="AdderTree rows must be a positive integer, not 0"):
        AdderTree(rows=0, words=1, bits=1)
    with pytest.raises(ValueError, match="AdderTree bits must be a positive integer, not False"):
        AdderTree(rows=1, words=1, bits=False)


@pytest.mark.cosim
@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("shape", [{"rows": 16, "words": 8, "bits": 4}, {"rows": 37, "words": 1, "bits": 1}], ids=str)
@pytest.mark.parametrize("adder", ADDERS)
def test_adder_tree_bench(adder, shape, simulator, tmp_path):
    source = write_verilog(BACK_ENDS[adder](**shape), tmp_path, "adder_tree")
    result = run_bench(source, "adder_tree", "tb_adder_tree", simulator=simulator, env={"TREE": json.dumps(shape)})
    assert set(result.passed) == {"extremes", "random_numbers"}
