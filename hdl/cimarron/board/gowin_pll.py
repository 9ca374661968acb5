"""Phase-locked loop of Gowin's GW2A."""

from dataclasses import dataclass

from amaranth.hdl import Const, Instance, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .pll_error import check_input, none_found

__all__ = ["GowinPll", "GowinPllSettings"]


@dataclass(frozen=True, kw_only=True)
class GowinPllSettings:
    """Dividers of an rPLL.

    ``output = input / reference_div * feedback_div`` and ``vco = output * output_div``.

    Limits are those of the GW2AR data sheet, Gowin DS226, at speed grade C8/I7.

    Parameters
    ----------
    input_hz : int
    reference_div, feedback_div, output_div : int
    """

    input_hz: int
    reference_div: int
    feedback_div: int
    output_div: int

    INPUT_HZ = (3_000_000, 500_000_000)
    DETECTOR_HZ = (3_000_000, 500_000_000)
    VCO_HZ = (500_000_000, 1_250_000_000)
    OUTPUT_HZ = (3_906_250, 625_000_000)
    MAX_DIV = 64
    OUTPUT_DIVS = (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128)

    @property
    def detector_hz(self) -> float:
        """Frequency at the phase detector, in hertz."""
        return self.input_hz / self.reference_div

    @property
    def output_hz(self) -> float:
        """Frequency of the clock, in hertz."""
        return self.input_hz * self.feedback_div / self.reference_div

    @property
    def vco_hz(self) -> float:
        """Frequency of the oscillator, in hertz."""
        return self.output_hz * self.output_div

    @classmethod
    def find(cls, input_hz: int, output_hz: int) -> "GowinPllSettings":
        """Settings that give exactly this clock, with the fastest phase detector and the oscillator mid-range.

        Raises
        ------
        PllError
            If there are none.
        """
        check_input("Gowin", input_hz, cls.INPUT_HZ)
        best, nearest = None, 0
        middle = sum(cls.VCO_HZ) / 2
        for reference in range(1, min(cls.MAX_DIV, input_hz // cls.DETECTOR_HZ[0]) + 1):
            feedback = min(cls.MAX_DIV, max(1, round(output_hz * reference / input_hz)))
            for divider in cls.OUTPUT_DIVS:
                settings = cls(input_hz=input_hz, reference_div=reference, feedback_div=feedback, output_div=divider)
                if not cls.VCO_HZ[0] <= settings.vco_hz <= cls.VCO_HZ[1]:
                    continue
                if not cls.OUTPUT_HZ[0] <= settings.output_hz <= cls.OUTPUT_HZ[1]:
                    continue
                # Of whole hertz, so that it can be asked for.
                if input_hz * feedback % reference == 0:
                    nearest = min(nearest, settings.output_hz, key=lambda hz: abs(hz - output_hz))
                rank = (reference, abs(settings.vco_hz - middle))
                if input_hz * feedback == output_hz * reference and (best is None or rank < best[0]):
                    best = (rank, settings)
        if best is None:
            raise none_found(
                "Gowin", input_hz, output_hz, nearest, detector=cls.DETECTOR_HZ, vco=cls.VCO_HZ, output=cls.OUTPUT_HZ
            )
        return best[1]


class GowinPll(wiring.Component):
    """rPLL with given settings.

    Parameters
    ----------
    settings : GowinPllSettings
    device : str
        Name of the part in Gowin's parameters, such as ``GW2AR-18C``.

    Members
    -------
    i_clock : In(1)
    o_clock : Out(1)
    locked : Out(1)
        Asynchronous.
    """

    i_clock: In(1)
    o_clock: Out(1)
    locked: Out(1)

    def __init__(self, settings: GowinPllSettings, device: str) -> None:
        self._settings = settings
        self._device = device
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        s = self._settings
        m.submodules.pll = Instance(
            "rPLL",
            p_DEVICE=self._device,
            p_FCLKIN=f"{s.input_hz / 1e6:g}",
            # The fields hold one less.
            p_IDIV_SEL=s.reference_div - 1,
            p_FBDIV_SEL=s.feedback_div - 1,
            p_ODIV_SEL=s.output_div,
            p_DYN_IDIV_SEL="false",
            p_DYN_FBDIV_SEL="false",
            p_DYN_ODIV_SEL="false",
            p_CLKFB_SEL="internal",
            p_CLKOUT_BYPASS="false",
            p_CLKOUTP_BYPASS="false",
            p_CLKOUTD_BYPASS="false",
            i_CLKIN=self.i_clock,
            i_CLKFB=Const(0, 1),
            i_RESET=Const(0, 1),
            i_RESET_P=Const(0, 1),
            i_FBDSEL=Const(0, 6),
            i_IDSEL=Const(0, 6),
            i_ODSEL=Const(0, 6),
            i_PSDA=Const(0, 4),
            i_DUTYDA=Const(0, 4),
            i_FDLY=Const(0, 4),
            o_CLKOUT=self.o_clock,
            o_LOCK=self.locked,
        )
        return m
