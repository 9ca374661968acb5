"""What differs between the families: which tools, with which options."""

from collections.abc import Mapping
from dataclasses import dataclass

from cimarron.board.part import Resources

__all__ = ["FLOWS", "Flow"]


@dataclass(frozen=True, kw_only=True)
class Flow:
    """How a bitstream is made for one family.

    Parameters
    ----------
    cells : str
        Yosys's description of cells that the design instantiates.
    synthesise : str
        Yosys command, without the name of the top.
    cost : dict of str to Resources
        What each cell takes.
    place : str
        Tool that places and routes.
    place_files : tuple of str
        Its options for the pin file, ``{pins}``, and for what it writes.
    pack : str
        Tool that packs.
    pack_arguments : tuple of str
        With ``{device}`` and ``{bitstream}``.
    suffix : str
        Of the bitstream.
    sites : dict of str to dict of str to int
        What nextpnr calls the places that each resource goes to, and how many of it one place takes; first the one
        that is counted as available. Keys are fields of `Resources`.
    block_bytes : int
        Bytes of one block RAM.
    paired : bool
        Whether the data of a flip-flop come through the look-up table beside it only, see
        `cimarron_sim.fpga.pairs.lone_flip_flops`.
    """

    cells: str
    synthesise: str
    cost: Mapping[str, Resources]
    place: str
    place_files: tuple[str, ...]
    pack: str
    pack_arguments: tuple[str, ...]
    suffix: str
    sites: Mapping[str, Mapping[str, int]]
    block_bytes: int
    paired: bool = False

    @property
    def tools(self) -> tuple[str, ...]:
        """Tools it needs, keys of `cimarron_sim.fpga.tools.FLOW_TOOLS`."""
        return ("yosys", self.place, self.pack)

    def takes(self, cells: Mapping[str, int]) -> Resources:
        """What a netlist takes.

        Parameters
        ----------
        cells : dict of str to int
            Number of cells by their type.
        """
        total = {name: 0 for name in ("luts", "ffs", "brams", "dsps", "big_rams")}
        for kind, count in cells.items():
            if kind in self.cost:
                for name in total:
                    total[name] += count * getattr(self.cost[kind], name)
        return Resources(**total)

    def used(self, utilization: Mapping[str, Mapping[str, int]], what: str) -> Resources:
        """Entries ``used`` or ``available`` of nextpnr's report as resources."""
        counted = {
            name: dict(list(sites.items())[: None if what == "used" else 1]) for name, sites in self.sites.items()
        }
        return Resources(
            **{
                name: sum(size * utilization[site][what] for site, size in sites.items() if site in utilization)
                for name, sites in counted.items()
            }
        )


_LUT, _FF, _RAM, _DSP = Resources(luts=1), Resources(ffs=1), Resources(brams=1), Resources(dsps=1)

#: Flip-flops by the names that Yosys gives their variants.
_GOWIN_FFS = [f"DFF{edge}{kind}{e}" for edge in ("", "N") for kind in ("", "S", "R", "P", "C") for e in ("", "E")]
_ICE40_FFS = [f"SB_DFF{edge}{e}{kind}" for edge in ("", "N") for e in ("", "E") for kind in ("", "SR", "R", "SS", "S")]

FLOWS: Mapping[str, Flow] = {
    "ecp5": Flow(
        cells="+/ecp5/cells_bb.v",
        # Wide multiplexers trade look-up tables for speed, four for one at times.
        synthesise="synth_ecp5 -nowidelut",
        cost={
            "LUT4": _LUT,
            "CCU2C": Resources(luts=2),
            # The four look-up tables whose bits it uses, and two of the slice that its write port occupies.
            "TRELLIS_DPR16X4": Resources(luts=6),
            "TRELLIS_FF": _FF,
            "DP16KD": _RAM,
            "PDPW16KD": _RAM,
            "MULT18X18D": _DSP,
        },
        place="nextpnr-ecp5",
        place_files=("--lpf", "{pins}", "--textcfg", "placed.config"),
        pack="ecppack",
        pack_arguments=("--compress", "placed.config", "{bitstream}"),
        suffix="bit",
        sites={
            "luts": {"TRELLIS_COMB": 1},
            "ffs": {"TRELLIS_FF": 1},
            "brams": {"DP16KD": 1},
            "dsps": {"MULT18X18D": 1},
        },
        block_bytes=2048,
    ),
    "gowin": Flow(
        cells="+/gowin/cells_sim.v",
        synthesise="synth_gowin -nowidelut",
        cost={
            **{f"LUT{inputs}": _LUT for inputs in (1, 2, 3, 4)},
            "ALU": _LUT,
            **{f"RAM16SDP{bits}": Resources(luts=4) for bits in (1, 2, 4)},
            **dict.fromkeys(_GOWIN_FFS, _FF),
            **dict.fromkeys(("SP", "SPX9", "SDPB", "SDPX9B", "DPB", "DPX9B", "pROM", "pROMX9"), _RAM),
            "MULT9X9": _DSP,
            "MULT18X18": _DSP,
            "MULT36X36": Resources(dsps=4),
        },
        place="nextpnr-himbaechel-gowin",
        place_files=("--vopt", "cst={pins}", "--write", "placed.json"),
        pack="gowin_pack",
        pack_arguments=("-d", "{device}", "-o", "{bitstream}", "placed.json"),
        suffix="fs",
        sites={
            "luts": {"LUT4": 1, "ALU": 1},
            "ffs": {"DFF": 1},
            "brams": {"BSRAM": 1},
            "dsps": {"MULT18X18": 1, "MULT36X36": 4},
        },
        block_bytes=2048,
        paired=True,
    ),
    "ice40": Flow(
        cells="+/ice40/cells_sim.v",
        synthesise="synth_ice40 -dsp",
        cost={
            # A carry cell shares its place with the look-up table that forms the sum.
            "SB_LUT4": _LUT,
            **dict.fromkeys(_ICE40_FFS, _FF),
            **dict.fromkeys((f"SB_RAM40_4K{read}{write}" for read in ("", "NR") for write in ("", "NW")), _RAM),
            "SB_MAC16": _DSP,
            "SB_SPRAM256KA": Resources(big_rams=1),
        },
        place="nextpnr-ice40",
        place_files=("--pcf", "{pins}", "--asc", "placed.asc"),
        pack="icepack",
        pack_arguments=("placed.asc", "{bitstream}"),
        suffix="bin",
        sites={
            "luts": {"ICESTORM_LC": 1},
            "brams": {"ICESTORM_RAM": 1},
            "dsps": {"ICESTORM_DSP": 1},
            "big_rams": {"ICESTORM_SPRAM": 1},
        },
        block_bytes=512,
    ),
}
