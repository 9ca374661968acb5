"""What came of a build: as a record, and as a table."""

from dataclasses import asdict, dataclass
from typing import Any

from cimarron.board.part import Part, Resources
from rich.console import Console, Group
from rich.table import Column, Table

from .crossings import CrossingReport
from .timing import ClockTiming, CriticalPath

__all__ = ["Summary"]

_WORDS = {
    "luts": "look-up tables",
    "ffs": "flip-flops",
    "brams": "block RAMs",
    "dsps": "multipliers",
    "big_rams": "large RAMs",
}


def _right(heading: str) -> Column:
    return Column(heading, justify="right")


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A build.

    Parameters
    ----------
    board : str
    part : Part
    config_hash : int
        What programs for it are compiled for, see `EngineConfig.hash`.
    seed : int
    tools : dict of str to str
        Versions.
    synthesised, placed : Resources
        What the netlist takes, and what it takes in the part.
    clocks : list of ClockTiming
    paths : list of CriticalPath
    crossings : CrossingReport
    seconds : dict of str to float
        Time per stage.
    bitstream : str, optional
        File name. None if it was not routed; clocks and paths are estimates then.
    """

    board: str
    part: Part
    config_hash: int
    seed: int
    tools: dict[str, str]
    synthesised: Resources
    placed: Resources
    clocks: list[ClockTiming]
    paths: list[CriticalPath]
    crossings: CrossingReport
    seconds: dict[str, float]
    bitstream: str | None

    @property
    def met(self) -> bool:
        """Whether every clock is fast enough."""
        return all(clock.met for clock in self.clocks)

    def record(self) -> dict[str, Any]:
        """Everything, for JSON."""
        has = asdict(self.part.has)
        return {
            "board": self.board,
            "part": self.part.name,
            "config_hash": f"{self.config_hash:08x}",
            "seed": self.seed,
            "tools": self.tools,
            "resources": {
                name: {"synthesised": value, "placed": getattr(self.placed, name), "available": has[name]}
                for name, value in asdict(self.synthesised).items()
                if has[name]
            },
            "timing_met": self.met,
            "clocks": [asdict(clock) | {"met": clock.met} for clock in self.clocks],
            "critical_paths": [asdict(path) for path in self.paths],
            "crossings": [asdict(crossing) for crossing in self.crossings.crossings],
            "resets": dict(self.crossings.resets),
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
            "bitstream": self.bitstream,
        }

    def print(self, console: Console) -> None:
        """Tables of resources, clocks and crossings."""
        resources = Table(
            "resource", *map(_right, ("netlist", "placed", "part has", "used")),
            title=f"{self.board}: {self.part.name}", title_justify="left",
        )  # fmt: skip
        for name, entry in self.record()["resources"].items():
            numbers = [f"{entry[key]:,}" for key in ("synthesised", "placed", "available")]
            resources.add_row(_WORDS[name], *numbers, f"{entry['placed'] / entry['available']:.0%}")
        reaches = "reaches" if self.bitstream else "reaches, estimated"
        clocks = Table("clock", _right(reaches), _right("needs"), "")
        for clock in self.clocks:
            verdict = "met" if clock.met else "FAILED"
            clocks.add_row(clock.name, f"{clock.achieved_mhz:.2f} MHz", f"{clock.wanted_mhz:.2f} MHz", verdict)
        crossings = Table("comes from outside the clock", "sampled by", "at")
        for crossing in self.crossings.crossings:
            crossings.add_row(crossing.source, crossing.sampled_by, crossing.port)
        lines: list[Any] = [resources, clocks]
        if self.paths:
            path = self.paths[0]
            lines.append(
                f"slowest path: {path.logic_ns + path.routing_ns:.2f} ns, {path.logic_ns:.2f} logic and"
                f" {path.routing_ns:.2f} routing in {path.steps} steps\n  from {path.start}\n  to   {path.end}"
            )
        console.print(Group(*lines, crossings), highlight=False)
