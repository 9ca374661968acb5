"""Bench of a column group: random plane sums and gaps; the model steps with what was seen on the pins."""

import json
import os
from collections import deque
from dataclasses import dataclass, field
from random import Random

import cocotb
from cimarron.config import PRESETS, MacroConfig
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

CONFIG = MacroConfig(**json.loads(os.environ["MACRO"])) if "MACRO" in os.environ else PRESETS["tiny"].engine.macro
COLUMNS = range(CONFIG.group_words)
PLANES = range(CONFIG.planes_per_cycle)


@dataclass(frozen=True)
class Plane:
    """What goes into the group with one step: planes side by side, of one row group."""

    first: int
    negative: int
    shift: int
    place: int
    sums: tuple[tuple[int, ...], ...]
    counts: tuple[int, ...]
    tops: int


@dataclass
class Model:
    """The group in integers: planes are kept and summed when they are captured."""

    planes: list[Plane] = field(default_factory=list)

    def step(self, plane: Plane) -> None:
        """Take a plane."""
        self.planes = [plane] if plane.first else [*self.planes, plane]

    def fuse(self, width: int) -> list[int]:
        """Results of the planes so far, by place value instead of Horner's rule."""
        totals = [0 for _ in COLUMNS]
        shifts = 0
        for plane in reversed(self.planes):
            place = plane.place if CONFIG.plane_skipping else shifts
            shifts += plane.shift
            for p in PLANES:
                weight = 2 ** (place * CONFIG.planes_per_cycle + p)
                if plane.negative and p == PLANES[-1]:
                    weight = -weight
                for column in COLUMNS:
                    excess = plane.counts[p] * 2 ** (CONFIG.cell_bits - 1) if plane.tops >> column & 1 else 0
                    totals[column] += weight * (plane.sums[p][column] - excess)
        reach = 2**width
        return [
            sum(totals[column + high] << high * CONFIG.cell_bits for high in range(reach)) if column % reach == 0 else 0
            for column in COLUMNS
        ]


class Driver:
    """Sends operations of random planes with random gaps; captures each when its last plane is in."""

    def __init__(self, dut, rng: Random, stall: float):
        self.dut = dut
        self.rng = rng
        self.stall = stall

    def _idle(self) -> None:
        dut, rng = self.dut, self.rng
        dut.step.value = dut.capture.value = 0
        counts = [dut[f"count__{p}"] for p in PLANES]
        sums = [dut[f"sums__{p}__{column}"] for p in PLANES for column in COLUMNS]
        for pin in (dut.first, dut.negative, dut.shift, dut.tops, dut.width, dut.place, *counts, *sums):
            pin.value = rng.getrandbits(len(pin))

    async def _gap(self) -> None:
        while self.rng.random() < self.stall:
            self._idle()
            await RisingEdge(self.dut.clk)

    async def send(self, planes: list[Plane], previous: int | None) -> None:
        """One operation; the first plane may enter while the ``previous`` result, of that width, is captured."""
        dut = self.dut
        for index, plane in enumerate(planes):
            await self._gap()
            self._idle()
            for name in ("first", "negative", "shift", "place", "tops"):
                dut[name].value = getattr(plane, name)
            for p in PLANES:
                dut[f"count__{p}"].value = plane.counts[p]
                for column in COLUMNS:
                    dut[f"sums__{p}__{column}"].value = plane.sums[p][column]
            dut.step.value = 1
            if index == 0 and previous is not None:
                dut.capture.value = 1
                dut.width.value = previous
            await RisingEdge(dut.clk)
        self._idle()

    async def capture(self, width: int) -> None:
        """Capture the last result."""
        await self._gap()
        self._idle()
        self.dut.capture.value = 1
        self.dut.width.value = width
        await RisingEdge(self.dut.clk)
        self._idle()


class Checker:
    """Samples the pins at every edge: results must be the model's, and stand until the next capture."""

    def __init__(self, dut):
        self.dut = dut
        self.model = Model()
        self.expected: deque[list[int]] = deque(maxlen=1)
        self.captured = 0

    async def run(self) -> None:
        """Check forever."""
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            if self.expected:
                got = [dut[f"y__{column}"].value.to_signed() for column in COLUMNS]
                assert got == self.expected[0], f"result {self.captured}: expected {self.expected[0]}, got {got}"
            if dut.capture.value == 1:
                self.expected.append(self.model.fuse(int(dut.width.value)))
                self.captured += 1
            if dut.step.value == 1:
                pins = {name: int(dut[name].value) for name in ("first", "negative", "shift", "place", "tops")}
                sums = tuple(tuple(int(dut[f"sums__{p}__{column}"].value) for column in COLUMNS) for p in PLANES)
                counts = tuple(int(dut[f"count__{p}"].value) for p in PLANES)
                self.model.step(Plane(sums=sums, counts=counts, **pins))


def operation(rng: Random, width: int, bits: int, *, extreme: bool) -> list[Plane]:
    """Planes of one operation whose sums are possible: at most as many rows of full cells as there are ones.

    With plane skipping, some are missing and the others come in any order.
    """
    signed_x, signed_w = rng.randrange(2), rng.randrange(2)
    tops = sum(1 << column for column in COLUMNS if signed_w and (column + 1) % 2**width == 0)
    top = -(-bits // CONFIG.planes_per_cycle) - 1
    steps = [(place, group) for place in range(top, -1, -1) for group in range(CONFIG.row_groups)]
    if CONFIG.plane_skipping:
        steps = rng.sample(steps, rng.randint(1, len(steps)))
    planes = []
    for index, (place, group) in enumerate(steps):
        counts = [CONFIG.group_rows if extreme else rng.randint(0, CONFIG.group_rows) for _ in PLANES]
        largest = [count * (2**CONFIG.cell_bits - 1) for count in counts]
        sums = tuple(tuple(rng.choice((0, n)) if extreme else rng.randint(0, n) for _ in COLUMNS) for n in largest)
        pin = place if CONFIG.plane_skipping else rng.randrange(2)
        negative = place == top and signed_x
        planes.append(Plane(index == 0, negative, group == 0, pin, sums, tuple(counts), tops))
    return planes


async def drive(dut, stall: float, *, extreme: bool) -> None:
    """Operations of every length and width."""
    dut._log.info("seed %d, stall %s, %s", cocotb.RANDOM_SEED, stall, CONFIG)
    rng = Random(cocotb.RANDOM_SEED)
    driver, checker = Driver(dut, rng, stall), Checker(dut)
    dut.rst.value = 1
    dut.step.value = dut.capture.value = 0
    Clock(dut.clk, 10, unit="ns").start()
    for _ in range(2):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    cocotb.start_soon(checker.run())
    previous, sent = None, 0
    for bits in range(1, CONFIG.max_act_bits + 1):
        for width in range(len(CONFIG.weight_widths)):
            for _ in range(6):
                await driver.send(operation(rng, width, bits, extreme=extreme), previous)
                previous = width
                sent += 1
    await driver.capture(len(CONFIG.weight_widths) - 1)
    for _ in range(3):
        await RisingEdge(dut.clk)
    assert checker.captured == sent


@cocotb.test()
async def extreme_sums(dut):
    await drive(dut, 0.0, extreme=True)


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.5])
async def random_sums(dut, stall):
    await drive(dut, stall, extreme=False)
