"""The requantiser against the reference: in the Amaranth simulator, then in Verilog."""

from collections.abc import Iterable
from random import Random

import pytest
from amaranth.sim import Simulator
from cimarron.engine.multiplier import Multiplier
from cimarron.engine.requantiser import Requantiser
from cimarron.isa import Profile
from cimarron_sim.runner.bench import SIMULATORS, run_bench
from cimarron_sim.runner.verilog import write_verilog
from tblib.requantise import edge_pins, expected_value, random_pins, tie_pins


def requantised(cases: Iterable[dict[str, int]], *, gaps: Random | None = None) -> list[int]:
    """Raw outputs of the hardware, one case per cycle; ``gaps`` stops the pipeline at random."""
    dut = Requantiser()
    cases = list(cases)
    results = []

    async def testbench(ctx):
        for index in range(len(cases) + dut.latency):
            if index >= dut.latency:
                results.append(ctx.get(dut.value))
            # What is on the pins while the pipeline stands must leave no trace.
            while gaps and gaps.randrange(2):
                ctx.set(dut.enable, 0)
                for name, value in random_pins(gaps).items():
                    ctx.set(getattr(dut, name), value)
                await ctx.tick()
                if index >= dut.latency:
                    assert ctx.get(dut.value) == results[-1]
            ctx.set(dut.enable, 1)
            for name, value in cases[index % len(cases)].items():
                ctx.set(getattr(dut, name), value)
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(20e-9)
    simulator.add_testbench(testbench)
    simulator.run()
    return results


def check(cases: list[dict[str, int]], **options: Random) -> set[int]:
    """Compare every result, and say which ones occurred."""
    results = requantised(cases, **options)
    for pins, value in zip(cases, results, strict=True):
        assert value == expected_value(pins), pins
    return set(results)


def test_latency_adds_up():
    assert Multiplier.latency == 2
    assert Requantiser.latency == 3 + Multiplier.latency + 3


@pytest.mark.parametrize("profile", Profile)
def test_extremes_at_every_shift(profile):
    assert {0, 1, 0x7F, 0x80, 0xFF} <= check(list(edge_pins(profile)))


@pytest.mark.parametrize("profile", Profile)
def test_products_that_end_in_a_half(profile):
    check(list(tie_pins(profile)))


@pytest.mark.parametrize("seed", range(3))
def test_values_close_to_a_half(seed):
    rng = Random(seed)
    assert len(check([random_pins(rng) for _ in range(3000)])) > 250


def test_nothing_moves_while_disabled():
    rng = Random(7)
    check([random_pins(rng) for _ in range(300)], gaps=rng)


@pytest.mark.parametrize(("acc", "expected"), [(1, 100), (-1, 7), (2**31 - 1, 100), (-(2**31), 7), (0, 9)])
def test_products_beyond_float32_saturate(acc, expected):
    pins = {
        "acc": acc,
        "multiplier": 2**24 - 1,
        "shift": 127,
        "profile": Profile.ONNX,
        "out_unsigned": 1,
        "zero_point": 9,
        "clamp_min": 7,
        "clamp_max": 100,
    }
    assert requantised([pins]) == [expected]


@pytest.mark.parametrize(
    ("profile", "acc", "multiplier", "shift", "expected"),
    [
        # -3 / 2: half up in the multiplication, half to even in floats.
        (Profile.TFLM, -3, 2**30, 0, -1),
        (Profile.ONNX, -3, 2**23, -24, -2),
        # -6 / 4: half away from zero in the division.
        (Profile.TFLM, -6, 2**30, -1, -2),
        (Profile.ONNX, -10, 2**23, -25, -2),
        # 5 / 8 rounds up twice to 1; 2**24 + 1 is not a float.
        (Profile.TFLM, 5, 2**30, -2, 1),
        (Profile.ONNX, 2**24 + 1, 2**23, -48, 0),
        (Profile.ONNX, 2**24 + 3, 2**23, -48, 1),
        # A left shift wraps: 3 * 2**30 is -2**30.
        (Profile.TFLM, 3, 2**30, 30, -128),
        (Profile.TFLM, 2**28, 2**30, 4, 0),
    ],
)
def test_examples_worked_by_hand(profile, acc, multiplier, shift, expected):
    pins = {
        "acc": acc,
        "multiplier": multiplier,
        "shift": shift,
        "profile": profile,
        "out_unsigned": 0,
        "zero_point": 0,
        "clamp_min": -128,
        "clamp_max": 127,
    }
    assert requantised([pins]) == [expected & 0xFF]


def test_products_are_exact():
    dut = Multiplier()
    rng = Random(3)
    edges = (0, 1, 2**16 - 1, 2**16, 2**31, 2**32 - 1)
    factors = [(a, b) for a in edges for b in edges] + [(rng.getrandbits(32), rng.getrandbits(32)) for _ in range(200)]

    async def testbench(ctx):
        for index in range(len(factors) + dut.latency):
            if index >= dut.latency:
                a, b = factors[index - dut.latency]
                assert ctx.get(dut.product) == a * b
            a, b = factors[index % len(factors)]
            ctx.set(dut.a, a)
            ctx.set(dut.b, b)
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(20e-9)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.cosim
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_bench_passes(simulator, tmp_path):
    verilog = write_verilog(Requantiser(), tmp_path, "requantiser")
    result = run_bench(verilog, "requantiser", "tb_requantiser", simulator=simulator)
    assert result.passed == ("extremes", "random_values", "random_values_with_gaps")
