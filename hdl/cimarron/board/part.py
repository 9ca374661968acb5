"""FPGA parts: what they have."""

from dataclasses import dataclass

__all__ = ["FAMILIES", "PARTS", "Part", "Resources"]

#: Families with a flow; each is also a ``target`` of `cimarron.config.MacroConfig`.
FAMILIES = ("ecp5", "gowin", "ice40")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Counts of what a part has, or of what a design takes.

    Attributes
    ----------
    luts : int
        Look-up tables of four inputs; a carry cell counts as those whose place it takes.
    ffs : int
        Flip-flops.
    brams : int
        Block RAMs: 18 kbit on ECP5 and Gowin, 4 kbit on iCE40.
    dsps : int
        Multipliers: of 18 x 18 bits on ECP5 and Gowin, of 16 x 16 on iCE40.
    big_rams : int
        Single-port RAMs of 256 kbit, which some iCE40 have.
    """

    luts: int = 0
    ffs: int = 0
    brams: int = 0
    dsps: int = 0
    big_rams: int = 0


@dataclass(frozen=True, kw_only=True)
class Part:
    """An FPGA in its package.

    Parameters
    ----------
    name : str
        Ordering code.
    family : str
        One of `FAMILIES`.
    has : Resources
    place_options : tuple of str
        Options that tell nextpnr which part it is, and what else it needs.
    pack_device : str
        What the packer calls it; empty if it reads that from the placed design.
    """

    name: str
    family: str
    has: Resources
    place_options: tuple[str, ...]
    pack_device: str = ""

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"part.family must be one of {', '.join(FAMILIES)}, not {self.family!r}")

    @property
    def has_empty_memory(self) -> bool:
        """Whether a small system's memory lies in large RAMs: after configuration they are empty, unlike block RAM."""
        return self.has.big_rams > 0


#: The default placer needs a tenth more wire; the second router gets stuck, and does not look at timing.
_FOR_FULL_ONES = ("--placer", "static", "--router", "router1")

#: Counts are what nextpnr says is available, and every build checks that they still are.
PARTS = {
    part.name: part
    for part in (
        Part(
            name="LFE5U-85F-6BG381C",
            family="ecp5",
            has=Resources(luts=83640, ffs=83640, brams=208, dsps=156),
            place_options=("--85k", "--package", "CABGA381", "--speed", "6", *_FOR_FULL_ONES),
        ),
        Part(
            name="LFE5UM5G-85F-8BG554I",
            family="ecp5",
            has=Resources(luts=83640, ffs=83640, brams=208, dsps=156),
            place_options=("--um5g-85k", "--package", "CABGA554", "--speed", "8", *_FOR_FULL_ONES),
        ),
        Part(
            name="LFE5U-25F-6BG256C",
            family="ecp5",
            has=Resources(luts=24288, ffs=24288, brams=56, dsps=28),
            place_options=("--25k", "--package", "CABGA256", "--speed", "6"),
        ),
        Part(
            name="GW2AR-LV18QN88C8/I7",
            family="gowin",
            has=Resources(luts=20736, ffs=15552, brams=46, dsps=48),
            place_options=("--device", "GW2AR-LV18QN88C8/I7", "--vopt", "family=GW2A-18C"),
            pack_device="GW2A-18C",
        ),
        Part(
            name="iCE40UP5K-SG48",
            family="ice40",
            has=Resources(luts=5280, ffs=5280, brams=30, dsps=8, big_rams=4),
            place_options=("--up5k", "--package", "sg48"),
        ),
    )
}
