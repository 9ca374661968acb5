"""Bench of the macro's self-test: every fault of a list is put in, one after the other, and must be found in its place.

Environment variables: ``FAULTS``, a file with the macro's configuration and the faults; ``FOUND``, a file that gets
what became of each; ``STRIDE``, every how many-th is tried; ``CYCLES``, those that a test of a good macro takes.
"""

import json
import os
from pathlib import Path

import cocotb
from cimarron.config import ADDERS, MacroConfig
from cimarron.macro.ports import WriteLayout
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge, with_timeout

GIVEN = json.loads(Path(os.environ["FAULTS"]).read_text())
CONFIG = MacroConfig(**GIVEN["config"])
STRIDE = int(os.environ.get("STRIDE", "1"))
CYCLES = int(os.environ["CYCLES"])


class Tester:
    """The pins of a macro that tests itself."""

    def __init__(self, dut):
        self.dut = dut

    async def start(self) -> None:
        """Clock and reset."""
        dut = self.dut
        Clock(dut.clk, 10, unit="ns").start()
        dut.test_start.value = dut.fault.value = dut.adder.value = 0
        dut.rst.value = 1
        await ClockCycles(dut.clk, 2)
        await FallingEdge(dut.clk)
        dut.rst.value = 0

    async def test(self, adder: str, fault: int = 0) -> tuple[bool, bool]:
        """One test with one fault, or none; whether march and compute test failed."""
        dut = self.dut
        dut.adder.value = ADDERS.index(adder)
        dut.fault.value = fault
        dut.test_start.value = 1
        await FallingEdge(dut.clk)
        dut.test_start.value = 0
        await with_timeout(RisingEdge(dut.test_done), 20 * CYCLES, "ns")
        await FallingEdge(dut.clk)
        return dut.test_march_failed.value == 1, dut.test_compute_failed.value == 1

    def address(self) -> tuple[int, int, int]:
        """Set, row and column of the first failure."""
        value = int(self.dut.test_failure.value)
        fields = []
        for bits in (WriteLayout(CONFIG)[name].width for name in ("set", "row")):
            fields.append(value & (1 << bits) - 1)
            value >>= bits
        return fields[0], fields[1], value


@cocotb.test()
async def a_good_macro_passes(dut):
    tester = Tester(dut)
    await tester.start()
    for adder in (*ADDERS, *ADDERS):
        assert await tester.test(adder) == (False, False)
        assert tester.address() == (0, 0, 0)


@cocotb.test()
async def faults_are_found_where_they_are(dut):
    tester = Tester(dut)
    await tester.start()
    tried = list(enumerate(GIVEN["faults"], start=1))[::STRIDE]
    escaped, misplaced = [], []
    for number, fault in tried:
        kind = fault["kind"]
        march, compute = await tester.test(fault["adder"], number)
        if not march and not compute:
            escaped.append(fault)
            continue
        weight_set, row, column = tester.address()
        if kind == "cell":
            right = march and (f"set_{weight_set}_row_{row}", column) == (fault["node"], fault["column"])
        elif kind == "tree":
            right = column // CONFIG.group_words == fault["column"] // CONFIG.group_words
            right &= column == fault["column"] if march else (weight_set, row) == (0, 0)
        else:
            # A wrong number of ones spoils the sum of the inputs and, with signed weights, every column.
            right = not march and column in (0, CONFIG.words)
        if not right:
            misplaced.append({**fault, "march": march, "found": [weight_set, row, column]})
    # And none of them leaves anything behind.
    for adder in ADDERS:
        assert await tester.test(adder) == (False, False)
    Path(os.environ["FOUND"]).write_text(json.dumps({"tried": len(tried), "escaped": escaped, "misplaced": misplaced}))
    assert not misplaced
    assert not [fault for fault in escaped if fault["kind"] == "cell"]
