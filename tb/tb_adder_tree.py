"""Bench of the adder tree: drives numbers, and judges the sums by the planes seen on the input pins."""

import json
import os
from collections.abc import Iterable
from random import Random

import cocotb
from cocotb.triggers import Timer
from tblib.planes import pack_planes, unpack_planes

SHAPE = json.loads(os.environ.get("TREE", '{"rows": 16, "words": 8, "bits": 4}'))
ROWS, WORDS, BITS = SHAPE["rows"], SHAPE["words"], SHAPE["bits"]
TOP = (1 << BITS) - 1

Numbers = list[list[int]]


class Monitor:
    """Reads numbers and sums off the pins."""

    def __init__(self, dut):
        self.dut = dut

    def numbers(self) -> Numbers:
        """What is being added, ``numbers[row][word]``."""
        return unpack_planes(int(self.dut.i.value), ROWS, WORDS, BITS)

    def sums(self) -> list[int]:
        """What comes out, per word."""
        return unpack_planes(int(self.dut.o.value), 1, WORDS, (ROWS * TOP).bit_length())[0]


def model(numbers: Numbers) -> list[int]:
    """Sum of every word."""
    return [sum(row[word] for row in numbers) for word in range(WORDS)]


async def run(dut, cases: Iterable[Numbers]) -> None:
    """Drive cases and compare each."""
    dut._log.info("seed %d, %s", cocotb.RANDOM_SEED, SHAPE)
    monitor = Monitor(dut)
    compared = 0
    for numbers in cases:
        dut.i.value = pack_planes(numbers, BITS)
        await Timer(1, unit="ns")
        seen = monitor.numbers()
        assert seen == numbers, "the driver and the monitor disagree about the order of planes"
        assert monitor.sums() == model(seen), seen
        compared += 1
    assert compared


@cocotb.test()
async def extremes(dut):
    full = [[[value] * WORDS for _ in range(ROWS)] for value in (0, 1, TOP)]
    one_row = [[[TOP if row == active else 0] * WORDS for row in range(ROWS)] for active in range(ROWS)]
    one_word = [
        [[TOP if word == active else 0 for word in range(WORDS)] for _ in range(ROWS)] for active in range(WORDS)
    ]
    await run(dut, [*full, *one_row, *one_word])


@cocotb.test()
async def random_numbers(dut):
    rng = Random(cocotb.RANDOM_SEED)
    await run(dut, ([[rng.randint(0, TOP) for _ in range(WORDS)] for _ in range(ROWS)] for _ in range(200)))
