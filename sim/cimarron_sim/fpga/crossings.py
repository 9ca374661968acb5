"""Clocks, resets and crossings of a netlist: listed, and checked.

What does not change with the clock of a flip-flop is followed forwards, from where it starts to where it is sampled:
pins, outputs of cells without known contents such as the lock of a loop, flip-flops of other clocks, and
flip-flops that such a signal sets asynchronously. It may be sampled

- by one flip-flop, without logic in between, which is read by one other flip-flop of the same clock, without logic in
  between: a synchroniser;
- or by asynchronous inputs of a chain of flip-flops that begins with a constant: a synchroniser of its end.

Everything else is a problem.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ELABORATE", "Crossing", "CrossingError", "CrossingReport", "examine_file", "examine_module"]

#: Yosys commands from a hierarchy to what `examine_module` reads. Memories stay memories.
ELABORATE = "proc; flatten; opt_expr; opt_clean; opt_dff -nodffe; opt_clean"

#: Word-wide cells whose output bit i depends on bit i of A and B, and on every bit of other inputs.
_BITWISE = ("$and", "$or", "$xor", "$xnor", "$not", "$mux")

_DISJUNCTIONS = ("$or", "$logic_or", "$reduce_or", "$reduce_bool")

#: Ports through which a cell that holds state is changed at any time.
_ASYNCHRONOUS = ("ARST", "ALOAD", "SET", "CLR")

#: Cells without known contents that are timed by one clock, and its port.
_TIMED = {"SB_SPRAM256KA": "CLOCK", "SB_MAC16": "CLK"}

#: Phase-locked loops: all their clocks have edges in common, and timing analysis sees what passes between them.
_LOOPS = ("EHXPLLL",)

#: Cells that hold state without a clock.
_LATCHES = ("$dlatch", "$adlatch", "$dlatchsr", "$sr")


class CrossingError(RuntimeError):
    """A design that samples what it must not; the message lists all of it."""


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """Something foreign that is sampled.

    Parameters
    ----------
    source : str
        ``pin x``, ``cell y.port``, ``flip-flop z``.
    sampled_by : str
        Name of the output of the flip-flop, or of the memory.
    port : str
        Its input: ``D``, or an asynchronous one such as ``ARST``.
    problem : str
        Why this is not a synchroniser; empty if it is one.
    """

    source: str
    sampled_by: str
    port: str
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class CrossingReport:
    """What was found.

    Parameters
    ----------
    clocks : dict of str to int
        Flip-flops per clock; ``falling`` before one is its other edge.
    resets : dict of str to int
        Flip-flops per reset: ``synchronous x`` for the system's, alone or among other causes, ``asynchronous x``, or
        ``none``.
    crossings : tuple of Crossing
    problems : tuple of str
        One sentence for everything that is wrong.
    """

    clocks: Mapping[str, int]
    resets: Mapping[str, int]
    crossings: tuple[Crossing, ...]
    problems: tuple[str, ...]

    def require_good(self) -> None:
        """Stop at a problem.

        Raises
        ------
        CrossingError
            If there is one.
        """
        if self.problems:
            raise CrossingError("clock domain crossings are not safe:\n" + "\n".join(self.problems))


def _bits(connection: list[Any]) -> Iterator[int]:
    """Bits that are no constants."""
    return (bit for bit in connection if isinstance(bit, int))


class _Netlist:
    """A flat module: who drives and who reads each bit."""

    def __init__(self, module: dict[str, Any]) -> None:
        self.cells: dict[str, dict[str, Any]] = module["cells"]
        self.names: dict[int, str] = {}
        # Names that people wrote come first, and among those the shortest.
        nets = sorted(module["netnames"].items(), key=lambda net: (net[1].get("hide_name", 0), len(net[0]), net[0]))
        for name, net in nets:
            for index, bit in enumerate(net["bits"]):
                if isinstance(bit, int):
                    self.names.setdefault(bit, name if len(net["bits"]) == 1 else f"{name}[{index}]")
        self.pins: dict[int, str] = {}
        self.driver: dict[int, tuple[str, str, int]] = {}
        self.readers: defaultdict[int, list[tuple[str, str, int]]] = defaultdict(list)
        for name, port in module["ports"].items():
            for index, bit in enumerate(port["bits"]):
                if port["direction"] == "input":
                    self.pins[bit] = name
                elif isinstance(bit, int):
                    self.readers[bit].append(("", name, index))
        for name, cell in self.cells.items():
            for port, connection in cell["connections"].items():
                for index, bit in enumerate(connection):
                    if not isinstance(bit, int):
                        continue
                    if cell["port_directions"][port] == "output":
                        self.driver[bit] = (name, port, index)
                    else:
                        self.readers[bit].append((name, port, index))

    def clock_port(self, cell: dict[str, Any]) -> str:
        """Name of the port that times a cell; empty if nothing does."""
        if cell["type"] in _TIMED:
            return _TIMED[cell["type"]]
        if "CLK" not in cell["connections"] or not cell["type"].startswith("$"):
            return ""
        # A memory that is read without a clock is logic.
        enabled = cell["parameters"].get("CLK_ENABLE", "1")
        return "CLK" if int(str(enabled), 2) else ""

    def root(self, bit: Any) -> str:
        """Name of what drives a clock or a reset."""
        if bit in self.pins:
            return f"pin {self.pins[bit]}"
        if bit in self.driver:
            name, port, _ = self.driver[bit]
            if not self.cells[name]["type"].startswith("$"):
                return f"cell {name}.{port}"
        return self.names.get(bit, str(bit))

    def loop(self, bit: Any) -> Any:
        """What makes a clock: several of one phase-locked loop are timed, not synchronised."""
        name, _, _ = self.driver.get(bit, ("", "", 0))
        return name if name and self.cells[name]["type"] in _LOOPS else bit

    def is_logic(self, bit: Any) -> bool:
        """Whether a clock is made by the design itself."""
        return bit in self.driver and self.cells[self.driver[bit][0]]["type"].startswith("$")

    def output(self, name: str, index: int) -> Any:
        """Bit that a flip-flop drives; absent for memories."""
        bits = self.cells[name]["connections"].get("Q", [])
        return bits[index] if index < len(bits) else None

    def sampler(self, name: str, index: int) -> str:
        """What people call a flip-flop, or a memory."""
        cell = self.cells[name]
        if "MEMID" in cell["parameters"]:
            return f"memory {cell['parameters']['MEMID'].lstrip(chr(92))}"
        bit = self.output(name, index)
        return self.names.get(bit, name) if bit is not None else name

    def logic_outputs(self, name: str, port: str, index: int) -> Iterator[int]:
        """Bits that depend on one bit of an input of a cell without state."""
        cell = self.cells[name]
        for output, connection in cell["connections"].items():
            if cell["port_directions"][output] != "output":
                continue
            if cell["type"] in _BITWISE and port in ("A", "B"):
                # A narrow operand is extended with copies of its last bit.
                last = index == len(cell["connections"][port]) - 1
                yield from _bits(connection[index:] if last else connection[index : index + 1])
            else:
                yield from _bits(connection)


class _Examination:
    def __init__(self, module: dict[str, Any]) -> None:
        self.net = _Netlist(module)
        self.clock: dict[str, tuple[Any, bool]] = {}
        self.loop: dict[str, tuple[Any, bool]] = {}
        self.problems: list[str] = []
        for name, cell in self.net.cells.items():
            if cell["type"] in _LATCHES:
                self.problems.append(f"{name} is a latch")
            if port := self.net.clock_port(cell):
                bit = cell["connections"][port][0]
                rising = int(str(cell["parameters"].get("CLK_POLARITY", "1")), 2) & 1
                self.clock[name] = (bit, bool(rising))
                self.loop[name] = (self.net.loop(bit), bool(rising))
                if self.net.is_logic(bit):
                    problem = f"the clock {self.net.names.get(bit, bit)} is made by logic"
                    if problem not in self.problems:
                        self.problems.append(problem)

    def _clock_name(self, clock: tuple[Any, bool]) -> str:
        return self.net.root(clock[0]) if clock[1] else f"falling {self.net.root(clock[0])}"

    def clocks(self) -> dict[str, int]:
        count: Counter[str] = Counter()
        for name, clock in self.clock.items():
            count[self._clock_name(clock)] += len(self.net.cells[name]["connections"].get("Q", []))
        return dict(count)

    def _leaves(self, start: Any) -> set[str]:
        """Nets that a reset is the disjunction of."""
        leaves, seen, frontier = set(), {start}, [start]
        while frontier:
            bit = frontier.pop()
            name, _, _ = self.net.driver.get(bit, ("", "", 0))
            cell = self.net.cells.get(name)
            if cell is None or cell["type"] not in _DISJUNCTIONS:
                leaves.add(self.net.root(bit))
                continue
            for port in ("A", "B"):
                for operand in _bits(cell["connections"].get(port, [])):
                    if operand not in seen:
                        seen.add(operand)
                        frontier.append(operand)
        return leaves

    def resets(self, reset: str) -> dict[str, int]:
        count: Counter[str] = Counter()
        for name in self.clock:
            cell = self.net.cells[name]
            kind = "none"
            if "ARST" in cell["connections"]:
                kind = f"asynchronous {self.net.root(cell['connections']['ARST'][0])}"
            elif "SRST" in cell["connections"] and reset in self._leaves(cell["connections"]["SRST"][0]):
                kind = f"synchronous {reset}"
            if flip_flops := len(cell["connections"].get("Q", [])):
                count[kind] += flip_flops
        return dict(count.most_common())

    def _arrivals(self, start: int) -> list[tuple[str, str, int, bool]]:
        """Where a bit is sampled: cell, port, index, and whether there is no logic in between."""
        found, seen, frontier = [], {start}, [start]
        while frontier:
            bit = frontier.pop()
            for name, port, index in self.net.readers[bit]:
                if not name:
                    continue
                cell = self.net.cells[name]
                clock_port = self.net.clock_port(cell)
                if clock_port:
                    if port != clock_port:
                        found.append((name, port, index, bit == start))
                elif cell["type"].startswith("$"):
                    for output in self.net.logic_outputs(name, port, index):
                        if output not in seen:
                            seen.add(output)
                            frontier.append(output)
        return found

    def _settles(self, name: str, index: int) -> str:
        """Why the output of a flip-flop is not given a cycle to settle; empty if it is."""
        bit = self.net.output(name, index)
        readers = self.net.readers[bit]
        if len(readers) != 1:
            return f"its output is read in {len(readers)} places, not by one second flip-flop"
        reader, port, _ = readers[0]
        if reader not in self.clock or port != "D":
            return "its output goes into logic instead of a second flip-flop"
        if self.clock[reader] != self.clock[name]:
            return "the second flip-flop has another clock"
        return ""

    def _chain(self, name: str, index: int, port: str) -> str:
        """Why a flip-flop with a foreign asynchronous input does not belong to a synchroniser of its end."""
        cell = self.net.cells[name]
        cause = cell["connections"][port]
        data = cell["connections"]["D"][index]
        if not isinstance(data, int):
            if problem := self._settles(name, index):
                return problem
            reader = self.net.readers[self.net.output(name, index)][0][0]
            if self.net.cells[reader]["connections"].get(port) != cause:
                return "the second flip-flop is not set by the same signal"
            return ""
        before = self.net.driver.get(data, ("", "", 0))[0]
        if before in self.clock and self.net.cells[before]["connections"].get(port) == cause:
            return ""
        return "the end of the signal may come at any time and is not synchronised"

    def _foreign(self) -> Iterator[tuple[str, int, tuple[Any, bool] | None]]:
        """Pins and outputs of unknown cells; flip-flops, too, if there are several clocks. With name, bit and clock."""
        clocks = {bit for bit, _ in self.clock.values()}
        for bit, name in self.net.pins.items():
            if bit not in clocks:
                yield f"pin {name}", bit, None
        for bit, (name, port, _) in self.net.driver.items():
            kind = self.net.cells[name]["type"]
            if not kind.startswith("$") and kind not in _TIMED and bit not in clocks:
                yield f"cell {name}.{port}", bit, None
        if len(set(self.loop.values())) > 1:
            for name, clock in self.loop.items():
                for bit in _bits(self.net.cells[name]["connections"].get("Q", [])):
                    yield f"flip-flop {self.net.names.get(bit, name)}", bit, clock

    def crossings(self) -> list[Crossing]:
        found: list[Crossing] = []
        set_by: dict[str, set[str]] = {}
        for source, bit, clock in self._foreign():
            self._follow(source, bit, clock, found, set_by)
        # What such a signal sets asynchronously is foreign itself, but for the rest of its chain.
        for name in set_by:
            for bit in _bits(self.net.cells[name]["connections"]["Q"]):
                self._follow(f"flip-flop {self.net.names.get(bit, name)}", bit, None, found, {}, chain=set(set_by))
        return found

    def _follow(
        self,
        source: str,
        bit: int,
        clock: tuple[Any, bool] | None,
        found: list[Crossing],
        set_by: dict[str, set[str]],
        chain: set[str] | None = None,
    ) -> None:
        arrivals = [
            arrival
            for arrival in self._arrivals(bit)
            if self.loop[arrival[0]] != clock and not (chain and arrival[0] in chain)
        ]
        samples = [arrival for arrival in arrivals if arrival[1] not in _ASYNCHRONOUS]
        for name, port, index, direct in arrivals:
            if port in _ASYNCHRONOUS:
                set_by.setdefault(name, set()).add(source)
                bits = range(len(self.net.cells[name]["connections"]["Q"])) if port in ("ARST", "ALOAD") else [index]
                for position in bits:
                    problem = self._chain(name, position, port)
                    found.append(self._crossing(source, name, position, port, problem))
                continue
            if port != "D":
                problem = "it goes past a synchroniser"
            elif not direct:
                problem = "it comes through logic, which may glitch"
            elif len(samples) > 1:
                problem = f"it is sampled in {len(samples)} places, which may disagree"
            else:
                problem = self._settles(name, index)
            found.append(self._crossing(source, name, index, port, problem))

    def _crossing(self, source: str, name: str, index: int, port: str, problem: str) -> Crossing:
        return Crossing(source=source, sampled_by=self.net.sampler(name, index), port=port, problem=problem)


def examine_module(module: dict[str, Any], reset: str = "reset") -> CrossingReport:
    """List and check the clocks, resets and crossings of a flat module.

    Parameters
    ----------
    module : dict
        As Yosys writes it in JSON, after `ELABORATE`.
    reset : str
        Name of the net that resets the system.
    """
    examination = _Examination(module)
    crossings = examination.crossings()
    problems = list(examination.problems)
    problems += [f"{c.source} at {c.port} of {c.sampled_by}: {c.problem}" for c in crossings if c.problem]
    return CrossingReport(
        clocks=examination.clocks(),
        resets=examination.resets(reset),
        crossings=tuple(crossings),
        problems=tuple(problems),
    )


def examine_file(path: Path, top: str) -> CrossingReport:
    """`examine_module` of a module in a file that Yosys wrote with ``write_json``."""
    return examine_module(json.loads(path.read_text(encoding="utf-8"))["modules"][top])
