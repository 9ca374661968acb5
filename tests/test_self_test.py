"""The macro's self-test: it passes, in its declared cycles, and finds faults that are put into cells and adders."""

import cimarron.macro.carry_save as carry_save
import pytest
from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.sim import Simulator
from cimarron.config import MacroConfig
from cimarron.macro.array import BitCellArray
from cimarron.macro.self_test import SelfTestedMacro
from cimarron.macro.storage import STORAGE

SMALL = MacroConfig(rows=4, words=2, cell_bits=2, max_weight_bits=4, weight_sets=2, max_act_bits=2)


async def run_test(ctx, dut: SelfTestedMacro) -> int:
    """Runs one test and returns its cycles."""
    ctx.set(dut.test_start, 1)
    await ctx.tick()
    ctx.set(dut.test_start, 0)
    cycles = 1
    while not ctx.get(dut.test_done):
        await ctx.tick()
        cycles += 1
        assert cycles < 100_000
    return cycles


def simulate(dut: SelfTestedMacro, testbench) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        MacroConfig(rows=5, words=4, cell_bits=1, max_weight_bits=4, weight_sets=3, write_bits=1, max_act_bits=3),
        MacroConfig(rows=6, words=2, row_groups=3, planes_per_cycle=2, target="ecp5", storage="block_ram"),
        MacroConfig(rows=40, words=4, max_weight_bits=16, weight_sets=1, pipeline=1),
    ],
    ids=["small", "beats", "block_ram", "wide"],
)
def test_a_good_macro_passes_in_the_declared_cycles(config):
    dut = SelfTestedMacro(config)

    async def testbench(ctx):
        for _ in range(2):
            assert await run_test(ctx, dut) == dut.cycles
            assert not ctx.get(dut.test_march_failed)
            assert not ctx.get(dut.test_compute_failed)

    simulate(dut, testbench)


def stuck(m: Module, node, places: list[tuple[str, int, bool]], select: Signal, name: str):
    """A node of which each bit can be stuck at either value; fault n is place n - 1."""
    faults = []
    for bit in range(len(node)):
        at_0, at_1 = len(places) + 1, len(places) + 2
        places += [(name, bit, False), (name, bit, True)]
        faults.append((node[bit] & (select != at_0)) | (select == at_1))
    result = Signal(len(node), name=f"{name}_stuck")
    m.d.comb += result.eq(Cat(faults))
    return result


def test_every_stuck_cell_is_found_at_its_address(monkeypatch):
    places: list = []
    select = Signal(16)

    class Faulty(BitCellArray):
        def cells(self, m, name, write):
            return stuck(m, super().cells(m, name, write), places, select, name)

    monkeypatch.setitem(STORAGE, "flip_flops", Faulty)
    dut = SelfTestedMacro(SMALL)
    words = SMALL.words

    async def testbench(ctx):
        await run_test(ctx, dut)
        assert not ctx.get(dut.test_march_failed)
        for number, (name, bit, _) in enumerate(places, start=1):
            ctx.set(select, number)
            await run_test(ctx, dut)
            assert ctx.get(dut.test_march_failed), places[number - 1]
            failure = ctx.get(dut.test_failure)
            assert f"set_{failure.set}_row_{failure.row}" == name
            assert failure.column == bit % words

    simulate(dut, testbench)
    assert len(places) == 2 * SMALL.weight_sets * SMALL.set_bits


def test_stuck_adder_nodes_are_found(monkeypatch):
    """Both adders' outputs, their halves and carries, stuck at either value, in the trees of a small macro."""
    places: list = []
    select = Signal(16)

    def reduce_planes(m, reduction, planes, prefix=""):
        planes = list(planes)
        for adder in reduction.adders:
            a, b, *late = (planes[plane] for plane in adder.inputs)
            half = stuck(m, a ^ b, places, select, f"{prefix}half_{adder.sum}")
            c = late[0] if late else Const(0, len(half))
            total = stuck(m, half ^ c, places, select, f"{prefix}sum_{adder.sum}")
            carry = stuck(m, (a & b) | (half & c), places, select, f"{prefix}carry_{adder.sum}")
            planes += [total, carry]
        return [planes[plane] for plane in reduction.outputs]

    monkeypatch.setattr(carry_save, "reduce_planes", reduce_planes)
    dut = SelfTestedMacro(SMALL)
    escapes = []

    async def testbench(ctx):
        for number, place in enumerate(places, start=1):
            ctx.set(select, number)
            await run_test(ctx, dut)
            if not (ctx.get(dut.test_march_failed) or ctx.get(dut.test_compute_failed)):
                escapes.append(place)

    simulate(dut, testbench)
    print(f"{len(places)} faults, escapes: {escapes}")
    assert len(places) == 90
    assert len(escapes) <= 0.05 * len(places)


def test_operations_in_flight_are_answered_before_the_test():
    dut = SelfTestedMacro(SMALL)

    async def testbench(ctx):
        ctx.set(dut.o_stream.ready, 0)
        ctx.set(dut.i_stream.valid, 1)
        ctx.set(dut.i_stream.payload.bits, 1)
        while not ctx.get(dut.i_stream.ready):
            await ctx.tick()
        await ctx.tick()
        ctx.set(dut.i_stream.valid, 0)
        ctx.set(dut.test_start, 1)
        await ctx.tick()
        ctx.set(dut.test_start, 0)
        for _ in range(50):
            await ctx.tick()
            assert not ctx.get(dut.i_stream.ready)
            assert not ctx.get(dut.write.ready)
        assert ctx.get(dut.o_stream.valid)
        ctx.set(dut.o_stream.ready, 1)
        await ctx.tick()
        for _ in range(dut.cycles):
            assert not ctx.get(dut.o_stream.valid)
            await ctx.tick()
        assert ctx.get(dut.test_done)
        assert not ctx.get(dut.test_running)
        assert ctx.get(dut.i_stream.ready)

    simulate(dut, testbench)
