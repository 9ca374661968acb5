"""Phase-locked loop of the iCE40."""

from dataclasses import dataclass

from amaranth.hdl import Const, Instance, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .pll_error import check_input, none_found

__all__ = ["Ice40Pll", "Ice40PllSettings"]


@dataclass(frozen=True, kw_only=True)
class Ice40PllSettings:
    """Dividers of an SB_PLL40 whose feedback is its oscillator.

    ``vco = input / reference_div * feedback_div`` and ``output = vco / 2**output_shift``.

    Limits are those of the iCE40 UltraPlus data sheet, Lattice FPGA-DS-02008; the dividers' those of Project IceStorm,
    which found that the feedback divider goes up to 128 in this mode.

    Parameters
    ----------
    input_hz : int
    reference_div, feedback_div, output_shift : int
    """

    input_hz: int
    reference_div: int
    feedback_div: int
    output_shift: int

    INPUT_HZ = (10_000_000, 133_000_000)
    DETECTOR_HZ = (10_000_000, 133_000_000)
    VCO_HZ = (533_000_000, 1_066_000_000)
    OUTPUT_HZ = (16_000_000, 275_000_000)
    MAX_REFERENCE_DIV = 16
    MAX_FEEDBACK_DIV = 128
    MAX_OUTPUT_SHIFT = 6

    #: Loop filter by the frequency at the phase detector, upper bounds in hertz.
    FILTERS = ((17_000_000, 1), (26_000_000, 2), (44_000_000, 3), (66_000_000, 4), (101_000_000, 5), (133_000_000, 6))

    @property
    def detector_hz(self) -> float:
        """Frequency at the phase detector, in hertz."""
        return self.input_hz / self.reference_div

    @property
    def vco_hz(self) -> float:
        """Frequency of the oscillator, in hertz."""
        return self.input_hz * self.feedback_div / self.reference_div

    @property
    def output_hz(self) -> float:
        """Frequency of the clock, in hertz."""
        return self.vco_hz / 2**self.output_shift

    @property
    def filter_range(self) -> int:
        """Setting of the loop filter."""
        return next(setting for bound, setting in self.FILTERS if self.detector_hz <= bound)

    @classmethod
    def find(cls, input_hz: int, output_hz: int) -> "Ice40PllSettings":
        """Settings that give exactly this clock, with the fastest phase detector.

        Raises
        ------
        PllError
            If there are none.
        """
        check_input("iCE40", input_hz, cls.INPUT_HZ)
        nearest = 0
        for reference in range(1, min(cls.MAX_REFERENCE_DIV, input_hz // cls.DETECTOR_HZ[0]) + 1):
            for shift in range(1, cls.MAX_OUTPUT_SHIFT + 1):
                feedback = min(cls.MAX_FEEDBACK_DIV, max(1, round(output_hz * reference * 2**shift / input_hz)))
                settings = cls(input_hz=input_hz, reference_div=reference, feedback_div=feedback, output_shift=shift)
                if not cls.VCO_HZ[0] <= settings.vco_hz <= cls.VCO_HZ[1]:
                    continue
                if not cls.OUTPUT_HZ[0] <= settings.output_hz <= cls.OUTPUT_HZ[1]:
                    continue
                if input_hz * feedback == output_hz * reference * 2**shift:
                    return settings
                # Of whole hertz, so that it can be asked for.
                if input_hz * feedback % (reference * 2**shift) == 0:
                    nearest = min(nearest, settings.output_hz, key=lambda hz: abs(hz - output_hz))
        raise none_found(
            "iCE40", input_hz, output_hz, nearest, detector=cls.DETECTOR_HZ, vco=cls.VCO_HZ, output=cls.OUTPUT_HZ
        )


class Ice40Pll(wiring.Component):
    """SB_PLL40_PAD with given settings: its input must be a pin that can feed the loop.

    Parameters
    ----------
    settings : Ice40PllSettings

    Members
    -------
    i_clock : In(1)
        The pin.
    o_clock : Out(1)
        On a global net.
    locked : Out(1)
        Asynchronous.
    """

    i_clock: In(1)
    o_clock: Out(1)
    locked: Out(1)

    def __init__(self, settings: Ice40PllSettings) -> None:
        self._settings = settings
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        s = self._settings
        m.submodules.pll = Instance(
            "SB_PLL40_PAD",
            p_FEEDBACK_PATH="SIMPLE",
            p_DIVR=Const(s.reference_div - 1, 4),
            p_DIVF=Const(s.feedback_div - 1, 7),
            p_DIVQ=Const(s.output_shift, 3),
            p_FILTER_RANGE=Const(s.filter_range, 3),
            i_PACKAGEPIN=self.i_clock,
            i_RESETB=Const(1, 1),
            i_BYPASS=Const(0, 1),
            o_PLLOUTGLOBAL=self.o_clock,
            o_LOCK=self.locked,
        )
        return m
