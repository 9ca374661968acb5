"""Verilog out of Amaranth."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amaranth.back import verilog
from amaranth.lib import wiring
from cimarron.macro.latch_array import CELLS

from . import module_ports

__all__ = ["write_text", "write_verilog"]


@contextmanager
def _builtin_yosys() -> Iterator[None]:
    """Keep a Yosys on PATH out: versions differ in the text they emit."""
    before = os.environ.get("AMARANTH_USE_YOSYS")
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"
    try:
        yield
    finally:
        if before is None:
            del os.environ["AMARANTH_USE_YOSYS"]
        else:
            os.environ["AMARANTH_USE_YOSYS"] = before


def write_text(path: Path, text: str) -> None:
    """Write a file in one step, and only if that changes it: readers never see half a file."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as scratch:
        part = Path(scratch, path.name)
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)


def _start_combinational_blocks(text: str) -> str:
    """Make every ``always @*`` run at time 0.

    Yosys has each of them read a register that is initialised where it is declared. A four-state simulator may do that
    before the blocks begin to wait, and a block with constant inputs then never leaves X. A nonblocking assignment
    comes after all of them.
    """
    trigger = r"\\\$auto\$verilog_backend\S+ "
    text = re.sub(rf"reg {trigger} = 0;", r"reg \\start$ ;\n  initial \\start$  <= 1'b0;", text)
    return re.sub(rf"if \({trigger}\) begin end", r"if (\\start$ ) begin end", text)


#: Words of the largest memory whose zeros are there for synthesis, too.
_SMALL_MEMORY = 4096


def _fold_memories(text: str) -> str:
    """Initialise runs of equal memory words in a loop instead of one line each.

    Zeros of a large memory are for simulators only: Yosys takes minutes to unroll such a loop, and who synthesises a
    main memory loads it before it is read.
    """
    entry = r"    {memory}\[\d+\] = {value};\n"
    run = re.compile(
        r"  initial begin\n    (?P<memory>\S+ ?)\[0\] = (?P<value>\S+);\n(?:    \S+ ?\[\d+\] = \S+;\n)*  end\n"
    )

    def fold(match: re.Match[str]) -> str:
        memory, value, whole = match["memory"], match["value"], match[0]
        depth = whole.count("\n") - 2
        if len(re.findall(entry.format(memory=re.escape(memory), value=re.escape(value)), whole)) != depth:
            return whole
        block = "init_" + re.sub(r"\W", "_", memory.strip())
        loop = (
            f"  initial begin : {block}\n    integer i;\n"
            f"    for (i = 0; i < {depth}; i = i + 1) {memory}[i] = {value};\n  end\n"
        )
        if depth > _SMALL_MEMORY and not int(value.partition("'")[2][1:], 16):
            return f"`ifndef SYNTHESIS\n{loop}`endif\n"
        return loop

    return run.sub(fold, text)


def write_verilog(component: wiring.Component, directory: Path | str, name: str) -> Path:
    """Write a component as one Verilog file.

    The text depends on nothing but the component: no paths, no dates, the same on every machine. Ports of its parts are
    named after their members (`module_ports.convert`). Cells that Amaranth cannot describe follow the modules that use
    them.

    Parameters
    ----------
    component : wiring.Component
        Its members become the ports; nested members are joined with two underscores.
    directory : Path
        Created if absent.
    name : str
        Name of the top module, and of the file without ``.v``.

    Returns
    -------
    Path
        The file. It is left untouched if its content is the same already.
    """
    path = Path(directory) / f"{name}.v"
    with _builtin_yosys():
        text = verilog._convert_rtlil_text(module_ports.convert(component, name), strip_internal_attrs=True)
    text = _fold_memories(_start_combinational_blocks(text))
    cells = CELLS.read_text(encoding="utf-8")
    if any(re.search(rf"\b{cell} ", text) for cell in re.findall(r"^module (\w+)", cells, re.MULTILINE)):
        text += f"\n{cells}"
    write_text(path, text)
    return path
