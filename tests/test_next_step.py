"""The next step of an operation: all combinations of pending steps of small operations."""

import pytest
from amaranth.hdl import Const, Module, Signal
from amaranth.sim import Simulator
from cimarron.macro.next_step import NextStep


@pytest.mark.parametrize(("places", "row_groups"), [(1, 1), (5, 1), (1, 3), (3, 3), (2, 5)])
def test_the_next_step_is_the_highest_that_is_pending(places, row_groups):
    steps = places * row_groups
    m = Module()
    pending = Signal(steps)
    upcoming = NextStep(m, pending, row_groups)
    outputs = {
        "step": upcoming.step,
        "place": upcoming.place,
        "of_steps": upcoming.of_steps([Const(100 + step, 8) for step in range(steps)]),
        "of_places": upcoming.of_places([Const(200 + place, 8) for place in range(places)]),
        "number_of_place": upcoming.number_of_place(4),
        "number_of_row_group": upcoming.number_of_row_group(4),
    }

    async def testbench(ctx):
        for bits in range(2**steps):
            ctx.set(pending, bits)
            await ctx.delay(1e-9)
            found = {name: ctx.get(value) for name, value in outputs.items()}
            if bits == 0:
                assert not any(found.values())
                continue
            highest = bits.bit_length() - 1
            place, row_group = divmod(highest, row_groups)
            assert found == {
                "step": 1 << highest,
                "place": 1 << place,
                "of_steps": 100 + highest,
                "of_places": 200 + place,
                "number_of_place": place,
                "number_of_row_group": row_group,
            }, f"{bits:b}"

    simulator = Simulator(m)
    simulator.add_testbench(testbench)
    simulator.run()
