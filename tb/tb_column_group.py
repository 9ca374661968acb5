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


@dataclass(frozen=True)
class Plane:
    """What goes into the group with one step."""

    first: int
    negative: int
    sums: tuple[int, ...]
    count: int
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
        for place, plane in enumerate(reversed(self.planes)):
            weight = -(2**place) if plane.negative else 2**place
            for column in COLUMNS:
                excess = plane.count * 2 ** (CONFIG.cell_bits - 1) if plane.tops >> column & 1 else 0
                totals[column] += weight * (plane.sums[column] - excess)
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
        for pin in (dut.first, dut.negative, dut.count, dut.tops, dut.width, *(dut[f"sums__{c}"] for c in COLUMNS)):
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
            for name in ("first", "negative", "count", "tops"):
                dut[name].value = getattr(plane, name)
            for column in COLUMNS:
                dut[f"sums__{column}"].value = plane.sums[column]
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
                names = ("first", "negative", "count", "tops")
                pins = {name: int(dut[name].value) for name in names}
                self.model.step(Plane(sums=tuple(int(dut[f"sums__{column}"].value) for column in COLUMNS), **pins))


def operation(rng: Random, width: int, bits: int, *, extreme: bool) -> list[Plane]:
    """Planes of one operation whose sums are possible: at most ``count`` rows of full cells."""
    signed_x, signed_w = rng.randrange(2), rng.randrange(2)
    tops = sum(1 << column for column in COLUMNS if signed_w and (column + 1) % 2**width == 0)
    planes = []
    for index in range(bits):
        count = CONFIG.rows if extreme else rng.randint(0, CONFIG.rows)
        largest = count * (2**CONFIG.cell_bits - 1)
        sums = tuple(rng.choice((0, largest)) if extreme else rng.randint(0, largest) for _ in COLUMNS)
        planes.append(Plane(index == 0, index == 0 and signed_x, sums, count, tops))
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
