"""Boards, and what is on them."""

from dataclasses import dataclass
from pathlib import Path

from ..config import PRESETS, ConfigError, SocConfig
from .part import PARTS, Part

__all__ = ["BOARDS", "Board", "UnknownBoardError", "find_board"]

#: Where the pin files are: beside this file in an installed package, at the top in the source tree.
_PINS = (Path(__file__).with_name("constraints"), Path(__file__).parents[3] / "constraints")

_SUFFIX = {"ecp5": "lpf", "gowin": "cst", "ice40": "pcf"}


class UnknownBoardError(ValueError):
    """There is no board of that name."""


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board that the system can be built for.

    Parameters
    ----------
    name : str
        Also that of its pin file, and of the preset in `cimarron.config` that fits it.
    title : str
        What people call it.
    part : str
        Its FPGA, a key of `cimarron.board.part.PARTS`.
    oscillator_hz : int
        Frequency at the pin ``clk``, in hertz.
    leds : int
        Light-emitting diodes at the pins ``led``.
    leds_low : bool
        Whether they light when driven low.
    reset_low : bool
        Whether the button at the pin ``rst`` is low while pressed.
    loader : str
        What openFPGALoader calls the board.
    """

    name: str
    title: str
    part: str
    oscillator_hz: int
    leds: int
    leds_low: bool = False
    reset_low: bool = False
    loader: str

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise ValueError(f"board.part must be one of {', '.join(PARTS)}, not {self.part!r}")

    @property
    def fpga(self) -> Part:
        """Its FPGA."""
        return PARTS[self.part]

    @property
    def config(self) -> SocConfig:
        """The preset made for the board; what it takes and whether it was routed stands in `docs/fpga.md`."""
        return PRESETS[self.name]

    @property
    def pins(self) -> Path:
        """Its pin file."""
        name = f"{self.name}.{_SUFFIX[self.fpga.family]}"
        return next((folder / name for folder in _PINS if (folder / name).is_file()), _PINS[-1] / name)

    def boots_from_flash(self, config: SocConfig) -> bool:
        """Whether the firmware of a system comes from the board's flash, since its memory has no initial contents."""
        return config.engine_in == "software" and self.fpga.has_empty_memory

    def check(self, config: SocConfig) -> None:
        """Check that a configuration is made for the board's FPGA.

        Raises
        ------
        ConfigError
            If it is for another target, or needs a second clock where there is none.
        """
        target = config.engine.macro.target
        if target != self.fpga.family:
            raise ConfigError(
                f"engine.macro.target is {target}, but {self.name} has an FPGA of family {self.fpga.family}:"
                f' set target = "{self.fpga.family}" under [engine.macro]'
            )
        if config.engine.macro.double_pumped and self.fpga.family != "ecp5":
            raise ConfigError(
                f"engine.macro.double_pumped needs a clock of twice the frequency, which is made on ECP5 alone, not on"
                f" the {self.fpga.family} of {self.name}: set it to false"
            )


#: Sources of pins and polarities are named in the pin files.
BOARDS = {
    board.name: board
    for board in (
        Board(
            name="ulx3s",
            title="ULX3S 85F",
            part="LFE5U-85F-6BG381C",
            oscillator_hz=25_000_000,
            leds=8,
            loader="ulx3s",
        ),
        Board(
            name="ecpix5",
            title="ECPIX-5 85F",
            part="LFE5UM5G-85F-8BG554I",
            oscillator_hz=100_000_000,
            leds=4,
            leds_low=True,
            reset_low=True,
            loader="ecpix5_r03",
        ),
        Board(
            name="icepi_zero",
            title="Icepi Zero",
            part="LFE5U-25F-6BG256C",
            oscillator_hz=50_000_000,
            leds=5,
            reset_low=True,
            loader="icepi-zero",
        ),
        Board(
            name="tang_nano_20k",
            title="Tang Nano 20K",
            part="GW2AR-LV18QN88C8/I7",
            oscillator_hz=27_000_000,
            leds=6,
            leds_low=True,
            loader="tangnano20k",
        ),
        Board(
            name="icebreaker",
            title="iCEBreaker",
            part="iCE40UP5K-SG48",
            oscillator_hz=12_000_000,
            leds=2,
            leds_low=True,
            reset_low=True,
            loader="ice40_generic",
        ),
    )
}


def find_board(name: str) -> Board:
    """A board by its name.

    Raises
    ------
    UnknownBoardError
        If there is none: lists those there are.
    """
    if name not in BOARDS:
        raise UnknownBoardError(f"there is no board {name!r}: choose from {', '.join(BOARDS)}")
    return BOARDS[name]
