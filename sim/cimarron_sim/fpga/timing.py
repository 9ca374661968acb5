"""What nextpnr says about speed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ClockTiming", "CriticalPath", "TimingError", "read_clocks", "read_estimates", "read_paths"]

_CLOCK = re.compile(r"Max frequency for clock +'(.+)': ([\d.]+) MHz \(\w+ at ([\d.]+) MHz\)")
_DELAY = re.compile(r"Max delay (posedge .+?) *-> (posedge .+?) *: ([\d.]+) ns")


class TimingError(RuntimeError):
    """A placed design that is too slow for its clock; the message says by how much and what to do."""


@dataclass(frozen=True, kw_only=True)
class ClockTiming:
    """A clock, as placed and routed.

    Parameters
    ----------
    name : str
    achieved_mhz : float
        The highest frequency at which every path arrives in time.
    wanted_mhz : float
    """

    name: str
    achieved_mhz: float
    wanted_mhz: float

    @property
    def met(self) -> bool:
        """Whether it is fast enough."""
        return self.achieved_mhz >= self.wanted_mhz


@dataclass(frozen=True, kw_only=True)
class CriticalPath:
    """The slowest path of a clock.

    Parameters
    ----------
    clock : str
    start, end : str
        Cells.
    logic_ns, routing_ns : float
    steps : int
        Cells on the way, with the first and without the last.
    """

    clock: str
    start: str
    end: str
    logic_ns: float
    routing_ns: float
    steps: int


def read_clocks(report: Mapping[str, Any], clock_hz: int) -> list[ClockTiming]:
    """Clocks of a report, and what lies between them.

    Parameters
    ----------
    report : dict
        Read from nextpnr's ``--report``.
    clock_hz : int
        What the system's clock has to be, in hertz.

    Raises
    ------
    ValueError
        If no clock was constrained to that: a good result would mean nothing.
    """
    clocks = [
        ClockTiming(name=name, achieved_mhz=float(entry["achieved"]), wanted_mhz=float(entry["constraint"]))
        for name, entry in report["fmax"].items()
    ]
    clocks += _between(report)
    # Periods are rounded to picoseconds.
    if not any(clock.wanted_mhz >= clock_hz / 1e6 * 0.999 for clock in clocks):
        listed = ", ".join(f"{clock.name} {clock.wanted_mhz:g} MHz" for clock in clocks) or "none"
        raise ValueError(f"no clock was held to {clock_hz / 1e6:g} MHz: {listed}")
    return clocks


def _between(report: Mapping[str, Any]) -> list[ClockTiming]:
    """The slowest path from each clock to each other one.

    Clocks of a design come from one loop, so that an edge of the faster one is the next that a path has to meet.
    """
    wanted = {f"posedge {name}": float(entry["constraint"]) for name, entry in report["fmax"].items()}
    found = []
    for entry in report["critical_paths"]:
        ends = entry["from"], entry["to"]
        if ends[0] != ends[1] and all(end in wanted for end in ends):
            delay = sum(step["delay"] for step in entry["path"])
            names = " to ".join(end.removeprefix("posedge ") for end in ends)
            found.append(ClockTiming(name=names, achieved_mhz=1e3 / delay, wanted_mhz=max(wanted[end] for end in ends)))
    return found


def read_estimates(log: str) -> dict[str, Any]:
    """What a log says of clocks, in the form of a report: without routing, nextpnr's own report has none.

    Parameters
    ----------
    log : str
        What nextpnr printed.

    Returns
    -------
    dict
        ``fmax`` and ``critical_paths``, the latter from one clock to another, each as a single step.
    """
    return {
        "fmax": {name: {"achieved": float(mhz), "constraint": float(at)} for name, mhz, at in _CLOCK.findall(log)},
        "critical_paths": [
            {"from": start, "to": end, "path": [{"delay": float(delay)}]} for start, end, delay in _DELAY.findall(log)
        ],
    }


def read_paths(report: Mapping[str, Any]) -> list[CriticalPath]:
    """Slowest paths from clock to the same clock of a report, the slowest first."""
    paths = []
    for entry in report["critical_paths"]:
        if entry["from"] != entry["to"] or not entry["path"]:
            continue
        routing = sum(step["delay"] for step in entry["path"] if step["type"] == "routing")
        logic = sum(step["delay"] for step in entry["path"] if step["type"] != "routing")
        paths.append(
            CriticalPath(
                clock=entry["from"].split(" ")[-1],
                start=entry["path"][0]["from"]["cell"],
                end=entry["path"][-1]["to"]["cell"],
                logic_ns=logic,
                routing_ns=routing,
                steps=sum(step["type"] == "routing" for step in entry["path"]),
            )
        )
    return sorted(paths, key=lambda path: -(path.logic_ns + path.routing_ns))
