# amaranth: UnusedElaboratable=no
"""A clock is made exactly, within the limits of the part, or refused."""

import math
import re

import pytest
from cimarron.board.board import BOARDS
from cimarron.board.ecp5_pll import Ecp5PllSettings
from cimarron.board.gowin_pll import GowinPllSettings
from cimarron.board.ice40_pll import Ice40PllSettings
from cimarron.board.pll_error import PllError
from cimarron.board.top import pll_settings

#: Limits in MHz. ECP5: FPGA-DS-02012. Gowin: DS226, C8/I7. iCE40: FPGA-DS-02008.
LIMITS = {
    "ecp5": {"detector": (10, 400), "vco": (400, 800), "output": (3.125, 400)},
    "gowin": {"detector": (3, 500), "vco": (500, 1250), "output": (3.90625, 625)},
    "ice40": {"detector": (10, 133), "vco": (533, 1066), "output": (16, 275)},
}

FIND = {"ecp5": Ecp5PllSettings.find, "gowin": GowinPllSettings.find, "ice40": Ice40PllSettings.find}


def frequencies(family, s):
    """Detector, oscillator and output of settings in MHz, by the formulas of the manuals."""
    mhz = s.input_hz / 1e6
    if family == "ecp5":
        # The loop is closed over CLKOP: both inputs of the detector are equal when locked.
        detector = mhz / s.reference_div
        vco = detector * s.feedback_div * s.primary_div
        return detector, vco, vco / s.output_div
    if family == "gowin":
        output = mhz * s.feedback_div / s.reference_div
        return mhz / s.reference_div, output * s.output_div, output
    vco = mhz / s.reference_div * s.feedback_div
    return mhz / s.reference_div, vco, vco / 2**s.output_shift


@pytest.mark.parametrize("clock", [40_000_000, 50_000_000, 62_500_000])
def test_a_clock_of_twice_the_frequency_comes_from_the_same_oscillator(clock):
    settings = Ecp5PllSettings.find(25_000_000, clock, doubled=True)
    assert settings.output_hz == clock
    assert settings.output_div % 2 == 0
    assert LIMITS["ecp5"]["vco"][0] * 1e6 <= settings.vco_hz <= LIMITS["ecp5"]["vco"][1] * 1e6


def test_a_clock_whose_double_is_too_fast_is_refused():
    assert Ecp5PllSettings.find(25_000_000, 250_000_000)
    with pytest.raises(PllError):
        Ecp5PllSettings.find(25_000_000, 250_000_000, doubled=True)


@pytest.mark.parametrize(
    ("family", "oscillator", "clock"),
    [
        ("ecp5", 25_000_000, 25_000_000),
        ("ecp5", 25_000_000, 40_000_000),
        ("ecp5", 25_000_000, 50_000_000),
        ("ecp5", 25_000_000, 62_500_000),
        ("ecp5", 50_000_000, 45_000_000),
        ("ecp5", 12_000_000, 48_000_000),
        ("gowin", 27_000_000, 27_000_000),
        ("gowin", 27_000_000, 33_750_000),
        ("gowin", 27_000_000, 40_500_000),
        ("gowin", 27_000_000, 45_000_000),
        ("ice40", 12_000_000, 24_000_000),
        ("ice40", 12_000_000, 16_125_000),
        ("ice40", 12_000_000, 30_000_000),
    ],
)
def test_a_clock_is_exact_and_every_frequency_within_its_limits(family, oscillator, clock):
    detector, vco, output = frequencies(family, FIND[family](oscillator, clock))
    assert math.isclose(output, clock / 1e6, rel_tol=1e-12)
    for name, value in (("detector", detector), ("vco", vco), ("output", output)):
        low, high = LIMITS[family][name]
        assert low <= value <= high, name


@pytest.mark.parametrize("family", FIND)
def test_every_clock_in_steps_of_a_megahertz_is_exact_or_refused(family):
    oscillator = {"ecp5": 25, "gowin": 27, "ice40": 12}[family] * 1_000_000
    made = 0
    for clock in range(10_000_000, 101_000_000, 1_000_000):
        try:
            settings = FIND[family](oscillator, clock)
        except PllError:
            continue
        made += 1
        detector, vco, output = frequencies(family, settings)
        assert math.isclose(output, clock / 1e6, rel_tol=1e-12)
        assert LIMITS[family]["detector"][0] <= detector <= LIMITS[family]["detector"][1]
        assert LIMITS[family]["vco"][0] <= vco <= LIMITS[family]["vco"][1]
    assert made >= 10


def test_dividers_fit_their_fields():
    for clock in range(20_000_000, 80_000_000, 500_000):
        try:
            settings = Ecp5PllSettings.find(25_000_000, clock)
        except PllError:
            continue
        assert 1 <= settings.feedback_div <= 80
        assert all(1 <= n <= 128 for n in (settings.reference_div, settings.primary_div, settings.output_div))


def test_ice40_settings_are_those_of_icepll():
    # icepll -i 12 -o 24: DIVR 0, DIVF 63, DIVQ 5, FILTER_RANGE 1.
    settings = Ice40PllSettings.find(12_000_000, 24_000_000)
    assert (settings.reference_div - 1, settings.feedback_div - 1, settings.output_shift) == (0, 63, 5)
    assert settings.filter_range == 1


def test_gowin_settings_are_those_of_gowin_pll():
    # gowin_pll -i 27 -o 45 -d GW2AR-LV18QN88C8/I7: IDIV_SEL 2, FBDIV_SEL 4, and an oscillator in range.
    settings = GowinPllSettings.find(27_000_000, 45_000_000)
    assert (settings.reference_div - 1, settings.feedback_div - 1) == (2, 4)


@pytest.mark.parametrize(
    ("family", "oscillator", "clock", "message"),
    [
        ("ecp5", 5_000_000, 50_000_000, r"the PLL of ECP5 takes 8 to 400 MHz, not 5 MHz"),
        ("ecp5", 25_000_000, 41_234_567, r"cannot make clock_hz 41234567 of 25 MHz within .* vco 400 to 800.*nearest"),
        ("ecp5", 25_000_000, 1_000_000, r"cannot make clock_hz 1000000"),
        ("ecp5", 25_000_000, 500_000_000, r"output 3.125 to 400"),
        ("gowin", 27_000_000, 50_000_000, r"cannot make clock_hz 50000000 of 27 MHz .*nearest it makes is 49500000 Hz"),
        ("gowin", 2_000_000, 50_000_000, r"takes 3 to 500 MHz, not 2 MHz"),
        ("ice40", 12_000_000, 12_000_000, r"cannot make clock_hz 12000000 .*output 16 to 275"),
        ("ice40", 8_000_000, 24_000_000, r"takes 10 to 133 MHz, not 8 MHz"),
    ],
)
def test_an_impossible_clock_is_refused_with_the_limits(family, oscillator, clock, message):
    with pytest.raises(PllError, match=message):
        FIND[family](oscillator, clock)


@pytest.mark.parametrize(
    ("family", "oscillator", "clock"),
    [("ecp5", 25_000_000, 41_234_567), ("gowin", 27_000_000, 50_000_000), ("ice40", 12_000_000, 31_111_111)],
)
def test_the_nearest_clock_that_an_error_names_can_be_made(family, oscillator, clock):
    with pytest.raises(PllError) as error:
        FIND[family](oscillator, clock)
    found = re.search(r"nearest it makes is (\d+) Hz", str(error.value))
    assert found is not None
    nearest = int(found[1])
    assert abs(nearest - clock) < 1_000_000
    assert math.isclose(frequencies(family, FIND[family](oscillator, nearest))[2], nearest / 1e6, rel_tol=1e-12)


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)
def test_every_board_makes_the_clock_of_its_configuration(board):
    pll_settings(board, board.config.clock_hz)
