"""Verilog out of Amaranth."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amaranth.back import verilog
from amaranth.lib import wiring

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
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=path.name, delete=False) as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def write_verilog(component: wiring.Component, directory: Path | str, name: str) -> Path:
    """Write a component as one Verilog file.

    The text depends on nothing but the component: no paths, no dates, the same on every machine.

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
        text = verilog.convert(component, name=name, emit_src=False, strip_internal_attrs=True)
    write_text(path, text)
    return path
