"""Files made of the register map: SystemRDL, C headers and pages to look at."""

import re
import shutil
from pathlib import Path
from typing import Any

from cimarron.config import SocConfig
from cimarron.isa import c_header

from ..runner.tools import MissingToolError
from ..runner.verilog import write_text
from .register_map import register_map

__all__ = ["write_registers"]

#: The page loads a library for formulas from elsewhere, and there are no formulas.
_REMOTE_SCRIPT = re.compile(r"^ *<script[^>]*mathjax.*?</script>\n", re.MULTILINE | re.IGNORECASE | re.DOTALL)


def write_registers(config: SocConfig, directory: Path) -> list[Path]:
    """Write the register map in every form.

    Parameters
    ----------
    config : SocConfig
    directory : Path
        Created if absent; a folder ``html`` in it is replaced.

    Returns
    -------
    list of Path
        ``cimarron.rdl`` (SystemRDL 2.0); ``cimarron_soc.h`` and, unless the engine is in software,
        ``cimarron_engine.h`` (structures and bits, of PeakRDL); ``cimarron_isa.h`` (every number of `cimarron.isa`, as
        the firmware uses them); ``html/index.html``, which needs nothing from elsewhere but, as browsers load no parts
        of pages from files, a server: ``python -m http.server -d html``.

    Raises
    ------
    MissingToolError
        If the SystemRDL compiler or PeakRDL is not installed.
    """
    try:
        from peakrdl_cheader.exporter import CHeaderExporter
        from peakrdl_html import HTMLExporter
        from systemrdl.compiler import RDLCompiler
    except ImportError:
        raise MissingToolError(
            "cimarron registers needs systemrdl-compiler, peakrdl-html and peakrdl-cheader, which are not all"
            " installed: pip install 'cimarron[registers]'"
        ) from None
    directory.mkdir(parents=True, exist_ok=True)
    description = directory / "cimarron.rdl"
    write_text(description, register_map(config))
    instructions = directory / "cimarron_isa.h"
    write_text(instructions, c_header())

    compiler = RDLCompiler()
    compiler.compile_file(str(description))
    maps = [compiler.elaborate("cimarron_soc", "soc").top]
    headers = [directory / "cimarron_soc.h"]
    # One structure for the whole address space would be larger than a 32-bit compiler allows.
    CHeaderExporter().export(maps[0], str(headers[0]), explode_top=True, instantiate=True)
    if config.engine_in == "gates":
        maps.append(compiler.elaborate("cimarron_engine", "engine").top)
        headers.append(directory / "cimarron_engine.h")
        CHeaderExporter().export(maps[1], str(headers[1]))

    page = directory / "html" / "index.html"
    shutil.rmtree(page.parent, ignore_errors=True)
    texts: dict[str, Any] = {"title": "Cimarron registers", "footer": ""}
    HTMLExporter().export([*maps], str(page.parent), **texts)
    write_text(page, _REMOTE_SCRIPT.sub("", page.read_text(encoding="utf-8")))
    return [description, *headers, instructions, page]
