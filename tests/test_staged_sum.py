"""Cuts of adder trees: complete, equally deep, and no adder more than without registers."""

from random import Random

import pytest
from amaranth.sim import Simulator
from cimarron.config import MacroConfig
from cimarron.macro.carry_save import Reduction
from cimarron.macro.pipelined_tree import PipelinedTree
from cimarron.macro.staged_sum import adder_stages, fan_ins


@pytest.mark.parametrize("registers", range(5))
@pytest.mark.parametrize(("rows", "bits"), [(1, 4), (2, 1), (3, 4), (9, 2), (16, 1), (64, 1), (64, 4), (144, 2)])
def test_no_stage_has_more_than_its_share_of_adders_in_a_row(rows, bits, registers):
    reduction = Reduction(rows, bits)
    stages = adder_stages(reduction, registers)
    assert len(stages) == len(reduction.adders)
    assert set(stages) <= set(range(registers + 1))
    # Adders in a row up to each plane, in the whole tree and since the last register.
    whole, within, born = ([0] * (rows * bits) for _ in range(3))
    for adder, stage in zip(reduction.adders, stages, strict=True):
        assert all(born[plane] <= stage for plane in adder.inputs), "nothing is used before it is there"
        whole += [1 + max(whole[plane] for plane in adder.inputs)] * 2
        within += [1 + max(within[plane] if born[plane] == stage else 0 for plane in adder.inputs)] * 2
        born += [stage] * 2
    assert max(within) <= -(-max(whole) // (registers + 1))


@pytest.mark.parametrize("registers", range(5))
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 9, 16, 33, 64])
def test_levels_of_trees_add_every_number_once(rows, registers):
    cut = fan_ins(rows, registers)
    assert len(cut) == registers + 1
    for level in cut:
        assert sum(level) == rows
        assert level[-1] <= level[0]
        assert set(level[:-1]) <= {level[0]}
        rows = len(level)
    assert rows == 1


@pytest.mark.parametrize("registers", [1, 2, 3])
@pytest.mark.parametrize("adder", ["carry_save", "ripple", "counters"])
@pytest.mark.parametrize(("rows", "bits"), [(16, 1), (20, 4)])
def test_stages_move_on_their_own(rows, bits, adder, registers):
    """Each register takes what is in front of it when its own enable says so, and only then."""
    words, rng = 3, Random(rows)
    tree = PipelinedTree(MacroConfig(rows=rows, pipeline=registers, adder=adder), words=words, bits=bits)

    async def bench(ctx):
        held = [[0] * words] * registers
        for cycle in range(60):
            numbers = [[rng.randrange(2**bits) for _ in range(words)] for _ in range(rows)]
            enable = rng.getrandbits(registers) if cycle > registers else 2**registers - 1
            planes = [(row[word] >> bit) & 1 for row in numbers for bit in range(bits) for word in range(words)]
            ctx.set(tree.i, sum(value << place for place, value in enumerate(planes)))
            ctx.set(tree.enable, enable)
            await ctx.tick()
            sums = [sum(row[word] for row in numbers) for word in range(words)]
            held = [value if enable >> stage & 1 else held[stage] for stage, value in enumerate([sums, *held[:-1]])]
            if cycle > registers:
                found = ctx.get(tree.o)
                places = range(len(tree.o) // words)
                answers = [sum((found >> (bit * words + word) & 1) << bit for bit in places) for word in range(words)]
                assert answers == held[-1]

    simulator = Simulator(tree)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
