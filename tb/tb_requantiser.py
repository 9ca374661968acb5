"""Bench of the requantiser: drives values, and judges the output by what was seen on the input pins."""

from collections.abc import Iterable, Iterator
from random import Random

import cocotb
from cimarron.engine.requantiser import Requantiser
from cimarron.isa import Profile
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge
from tblib.requantise import PIN_BITS, edge_pins, expected_value, random_pins


async def drive(dut, cases: Iterable[dict[str, int]], gaps: Iterator[bool]) -> None:
    """Apply a case per cycle, or random pins with ``enable`` low in a gap, and check each output.

    Pins change at the falling edge, and are read back at the next: what the rising edge between them sampled.
    """
    rng = Random(cocotb.RANDOM_SEED)
    dut.rst.value = 0
    dut.enable.value = 0
    Clock(dut.clk, 20, unit="ns").start()
    await FallingEdge(dut.clk)
    seen, checked = [], 0
    cases = list(cases)
    pending = iter([*cases, *cases[: Requantiser.latency]])
    for gap in gaps:
        pins = random_pins(rng) if gap else next(pending, None)
        if pins is None:
            break
        for name, value in pins.items():
            dut[name].value = value
        dut.enable.value = not gap
        await FallingEdge(dut.clk)
        if dut.enable.value == 1:
            seen.append({name: int(dut[name].value) for name in PIN_BITS})
        if len(seen) >= Requantiser.latency:
            pins = seen[len(seen) - Requantiser.latency]
            value = int(dut["value"].value)
            assert value == expected_value(pins), f"got {value} for {pins}"
            checked += not gap
    assert checked > len(cases)


def no_gaps() -> Iterator[bool]:
    while True:
        yield False


@cocotb.test()
async def extremes(dut):
    cases = [*edge_pins(Profile.TFLM), *edge_pins(Profile.ONNX)]
    await drive(dut, cases[::7], no_gaps())


@cocotb.test()
async def random_values(dut):
    rng = Random(cocotb.RANDOM_SEED)
    await drive(dut, [random_pins(rng) for _ in range(1000)], no_gaps())


@cocotb.test()
async def random_values_with_gaps(dut):
    rng = Random(cocotb.RANDOM_SEED + 1)
    gaps = (rng.randrange(3) == 0 for _ in iter(int, 1))
    await drive(dut, [random_pins(rng) for _ in range(500)], gaps)
