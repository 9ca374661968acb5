"""The macro's self-test: it passes, in its declared cycles, and finds faults that are put into cells and adders."""

import json
from collections import Counter
from dataclasses import asdict

import pytest
from amaranth.sim import Simulator
from cimarron.config import ADDERS, MacroConfig
from cimarron.macro.self_test import SelfTestedMacro
from cimarron_sim.runner.bench import SIMULATORS, run_bench
from cimarron_sim.runner.verilog import write_verilog
from faulty_macro import FaultyMacros

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


#: Small enough for all faults.
SIZES = {
    "small": SMALL,
    "binary": MacroConfig(rows=8, words=3, cell_bits=1, max_weight_bits=1, weight_sets=1, max_act_bits=2),
    "row-groups": MacroConfig(rows=8, words=2, cell_bits=1, max_weight_bits=2, row_groups=2, max_act_bits=2),
}


@pytest.mark.cosim
@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("size", SIZES)
def test_stuck_cells_and_adder_nodes_are_found_where_they_are(size, simulator, tmp_path):
    """With every adder; in Verilator all faults of small macros and hundreds of larger ones, in Icarus fewer."""
    config = SIZES[size]
    macros = FaultyMacros(config)
    with macros.present():
        source = write_verilog(macros, tmp_path, "faulty")
    given, found = tmp_path / "faults.json", tmp_path / "found.json"
    given.write_text(json.dumps({"config": asdict(config), "faults": macros.as_dicts()}))
    counts = Counter((fault.adder, fault.kind) for fault in macros.faults)
    assert [counts[adder, "cell"] for adder in ADDERS] == [2 * config.weight_sets * config.set_bits] * len(ADDERS)
    # Odd, because faults come in pairs: stuck at 0 and at 1.
    stride = len(macros.faults) // (400 if simulator == "verilator" else 48) | 1
    environment = {
        "FAULTS": str(given),
        "FOUND": str(found),
        "STRIDE": str(stride),
        "CYCLES": str(macros.cycles),
    }
    run_bench(source, "faulty", "tb_self_test", simulator=simulator, env=environment)
    report = json.loads(found.read_text())
    assert report["tried"] == len(range(0, len(macros.faults), stride))
    print(f"{size}, {simulator}: {report['tried']} of {dict(counts)} tried, escaped:")
    for fault in report["escaped"]:
        print("  {adder} {kind} {node}[{bit}] at {value}".format(**fault))
    assert not report["escaped"]


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
