"""What Verilator counted in the Verilog: lines, branches and toggles, per module."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CodeCoverage", "Point", "read_points"]

#: Kinds of points as Verilator names them, in the order of the report.
KINDS = ("line", "branch", "toggle")


@dataclass(frozen=True)
class Point:
    """Something in the Verilog that can happen.

    Attributes
    ----------
    kind : str
        ``line`` for a block that runs, ``branch`` for a side of a choice, ``toggle`` for a bit that rises or falls.
    module : str
    line : int
        In the Verilog file.
    what : str
        The bit and its direction, or the name of the block.
    """

    kind: str
    module: str
    line: int
    what: str
    text: str


def read_points(path: Path) -> Iterator[tuple[Point, int]]:
    """Points of a file that Verilator wrote, and how often each happened.

    Each is a line ``C '<key><value>...' <count>``, with the characters 1 and 2 before a key and a value. Verilator's
    own names: ``f`` is the file, ``page`` is ``v_<kind>/<module>``, ``l`` the line, ``o`` what it is.
    """
    sources: dict[str, list[str]] = {}
    for text in path.read_text(encoding="utf-8").splitlines():
        if not text.startswith("C '"):
            continue
        fields, _, count = text[3:].rpartition("' ")
        values = dict(entry.split("\2", 1) for entry in fields.split("\1")[1:])
        kind, _, module = values["page"].removeprefix("v_").partition("/")
        if values["f"] not in sources:
            sources[values["f"]] = Path(values["f"]).read_text(encoding="utf-8").splitlines()
        lines, line = sources[values["f"]], int(values["l"])
        yield Point(kind, module, line, values.get("o", ""), lines[line - 1].strip()), int(count)


#: What is no part of the design: names that Yosys invents for parts of an expression, as Verilator writes ``$1``, and
#: the signal that starts combinational blocks at time 0.
_INVENTED = re.compile(r"__024\d+|start__024")
_STARTS_A_BLOCK = r"\start$"


class CodeCoverage:
    """Points met in the runs of several designs, by kind and by module.

    Modules of different designs, and copies in one design, count together where Amaranth gave them one name, up to the
    numbers in it: ``macro.group_0`` and ``macro.group_1`` are ``macro.group``.
    """

    def __init__(self) -> None:
        self.met: Counter[tuple[str, str]] = Counter()
        self.all: Counter[tuple[str, str]] = Counter()
        self.holes: list[tuple[str, Point]] = []

    def add(self, design: str, counts: Path) -> None:
        """Add what was counted in one design."""
        for point, count in read_points(counts):
            if _INVENTED.match(point.what) or _STARTS_A_BLOCK in point.text:
                continue
            key = point.kind, re.sub(r"_\d+", "", point.module)
            self.all[key] += 1
            self.met[key] += count > 0
            if not count:
                self.holes.append((design, point))

    def rows(self) -> list[dict[str, str | int]]:
        """Points met of all, per module, and in total last."""
        modules = sorted({module for _, module in self.all})
        rows: list[dict[str, str | int]] = []
        for module in [*modules, "total"]:
            row: dict[str, str | int] = {"module": module}
            for kind in KINDS:
                keys = [key for key in self.all if key[0] == kind and module in (key[1], "total")]
                row[kind] = f"{sum(self.met[key] for key in keys)}/{sum(self.all[key] for key in keys)}"
            rows.append(row)
        return rows

    def share(self, kind: str) -> float:
        """Points of a kind that were met, 0 to 1."""
        keys = [key for key in self.all if key[0] == kind]
        return sum(self.met[key] for key in keys) / max(1, sum(self.all[key] for key in keys))
