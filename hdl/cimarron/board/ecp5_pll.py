"""Phase-locked loop of the ECP5."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Const, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .pll_error import check_input, none_found

__all__ = ["Ecp5Pll", "Ecp5PllSettings"]


@dataclass(frozen=True, kw_only=True)
class Ecp5PllSettings:
    """Dividers of an EHXPLLL.

    The primary output closes the loop and the secondary one is the clock, so that
    ``vco = input / reference_div * feedback_div * primary_div`` and ``output = vco / output_div``.

    Limits are those of the ECP5 data sheet, Lattice FPGA-DS-02012; the dividers' those of its PLL guide, FPGA-TN-02200.

    Parameters
    ----------
    input_hz : int
    reference_div, feedback_div, primary_div, output_div : int
    """

    input_hz: int
    reference_div: int
    feedback_div: int
    primary_div: int
    output_div: int

    INPUT_HZ = (8_000_000, 400_000_000)
    DETECTOR_HZ = (10_000_000, 400_000_000)
    VCO_HZ = (400_000_000, 800_000_000)
    OUTPUT_HZ = (3_125_000, 400_000_000)
    MAX_FEEDBACK_DIV = 80
    MAX_DIV = 128

    @property
    def detector_hz(self) -> float:
        """Frequency at the phase detector, in hertz."""
        return self.input_hz / self.reference_div

    @property
    def vco_hz(self) -> float:
        """Frequency of the oscillator, in hertz."""
        return self.input_hz * self.feedback_div * self.primary_div / self.reference_div

    @property
    def output_hz(self) -> float:
        """Frequency of the clock, in hertz."""
        return self.vco_hz / self.output_div

    @classmethod
    def find(cls, input_hz: int, output_hz: int, *, doubled: bool = False) -> "Ecp5PllSettings":
        """Settings that give exactly this clock, with the fastest phase detector and the oscillator mid-range.

        Parameters
        ----------
        input_hz, output_hz : int
        doubled : bool
            Whether a clock of twice the frequency has to come with it: then ``output_div`` is even.

        Raises
        ------
        PllError
            If there are none.
        """
        check_input("ECP5", input_hz, cls.INPUT_HZ)
        low, high = cls.OUTPUT_HZ
        best, nearest = None, 0
        for reference in range(1, input_hz // cls.DETECTOR_HZ[0] + 1):
            for output in range(1 + doubled, cls.MAX_DIV + 1, 1 + doubled):
                # The product of the two other dividers that comes nearest.
                loop = max(1, round(output_hz * output * reference / input_hz))
                vco = input_hz * loop / reference
                fastest = vco / (output // 2 if doubled else output)
                if not cls.VCO_HZ[0] <= vco <= cls.VCO_HZ[1] or vco / output < low or fastest > high:
                    continue
                for primary in range(1, cls.MAX_DIV + 1):
                    if loop % primary or loop // primary > cls.MAX_FEEDBACK_DIV or not low <= vco / primary <= high:
                        continue
                    # Of whole hertz, so that it can be asked for.
                    if input_hz * loop % (reference * output) == 0:
                        nearest = min(nearest, vco / output, key=lambda hz: abs(hz - output_hz))
                    # In integers: equal means equal.
                    if input_hz * loop != output_hz * output * reference:
                        continue
                    rank = (reference, abs(vco - 600e6), loop // primary)
                    if best is None or rank < best[0]:
                        best = (
                            rank,
                            cls(
                                input_hz=input_hz,
                                reference_div=reference,
                                feedback_div=loop // primary,
                                primary_div=primary,
                                output_div=output,
                            ),
                        )
        if best is None:
            raise none_found(
                "ECP5", input_hz, output_hz, nearest, detector=cls.DETECTOR_HZ, vco=cls.VCO_HZ, output=cls.OUTPUT_HZ
            )
        return best[1]


class Ecp5Pll(wiring.Component):
    """EHXPLLL with given settings.

    Parameters
    ----------
    settings : Ecp5PllSettings
    doubled : bool
        Whether ``o_fast`` runs; the settings are for that.

    Members
    -------
    i_clock : In(1)
    o_clock : Out(1)
    o_fast : Out(1)
        Twice the frequency of ``o_clock``, whose rising edges are some of its own.
    locked : Out(1)
        Asynchronous.
    """

    i_clock: In(1)
    o_clock: Out(1)
    o_fast: Out(1)
    locked: Out(1)

    def __init__(self, settings: Ecp5PllSettings, *, doubled: bool = False) -> None:
        self._settings = settings
        self._doubled = doubled
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        s = self._settings
        loop = Signal()
        doubled: dict[str, Any] = {}
        if self._doubled:
            divider = s.output_div // 2
            doubled = {
                "a_FREQUENCY_PIN_CLKOS2": f"{2 * s.output_hz / 1e6:g}",
                "p_CLKOS2_ENABLE": "ENABLED",
                "p_CLKOS2_DIV": divider,
                "p_CLKOS2_CPHASE": divider - 1,
                "p_CLKOS2_FPHASE": 0,
                "i_ENCLKOS2": Const(0, 1),
                "o_CLKOS2": self.o_fast,
            }
        m.submodules.pll = Instance(
            "EHXPLLL",
            a_FREQUENCY_PIN_CLKI=f"{s.input_hz / 1e6:g}",
            a_FREQUENCY_PIN_CLKOS=f"{s.output_hz / 1e6:g}",
            # Analogue settings that Lattice's tools choose for every frequency, says Project Trellis.
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
            p_PLLRST_ENA="DISABLED",
            p_INTFB_WAKE="DISABLED",
            p_STDBY_ENABLE="DISABLED",
            p_DPHASE_SOURCE="DISABLED",
            p_OUTDIVIDER_MUXA="DIVA",
            p_OUTDIVIDER_MUXB="DIVB",
            p_OUTDIVIDER_MUXC="DIVC",
            p_OUTDIVIDER_MUXD="DIVD",
            p_CLKI_DIV=s.reference_div,
            p_CLKFB_DIV=s.feedback_div,
            p_FEEDBK_PATH="CLKOP",
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_DIV=s.primary_div,
            p_CLKOP_CPHASE=s.primary_div - 1,
            p_CLKOP_FPHASE=0,
            p_CLKOS_ENABLE="ENABLED",
            p_CLKOS_DIV=s.output_div,
            p_CLKOS_CPHASE=s.output_div - 1,
            p_CLKOS_FPHASE=0,
            i_CLKI=self.i_clock,
            i_CLKFB=loop,
            i_RST=Const(0, 1),
            i_STDBY=Const(0, 1),
            i_PHASESEL0=Const(0, 1),
            i_PHASESEL1=Const(0, 1),
            i_PHASEDIR=Const(1, 1),
            i_PHASESTEP=Const(1, 1),
            i_PHASELOADREG=Const(1, 1),
            i_PLLWAKESYNC=Const(0, 1),
            i_ENCLKOP=Const(0, 1),
            i_ENCLKOS=Const(0, 1),
            o_CLKOP=loop,
            o_CLKOS=self.o_clock,
            o_LOCK=self.locked,
            **doubled,
        )
        return m
