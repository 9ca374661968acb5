"""The parts of the hardware that are offered as Verilog."""

import shutil
from pathlib import Path

from cimarron.config import SocConfig

from .verilog import write_verilog

__all__ = ["TOPS", "write_top"]

TOPS = ("macro", "engine", "engine_axi", "soc")


def write_top(top: str, config: SocConfig, directory: Path) -> list[Path]:
    """Write one part of the hardware.

    Parameters
    ----------
    top : {"macro", "engine", "engine_axi", "soc"}
        Also the name of the Verilog module.
    config : SocConfig
    directory : Path

    Returns
    -------
    list of Path
        The file, and for the system that of the RISC-V core.
    """
    match top:
        case "macro":
            from cimarron.macro.macro import Macro

            return [write_verilog(Macro(config.engine.macro), directory, top)]
        case "engine":
            from cimarron.engine.engine import Engine

            return [write_verilog(Engine(config.engine), directory, top)]
        case "engine_axi":
            from cimarron.engine.axi_engine import AxiEngine

            return [write_verilog(AxiEngine(config.engine), directory, top)]
        case "soc":
            from cimarron.soc.cpu import cpu_source
            from cimarron.soc.soc import Soc

            path = write_verilog(Soc(config), directory, top)
            return [path, Path(shutil.copy2(cpu_source(), directory))]
    raise ValueError(f"there is no top {top!r}; there are {', '.join(TOPS)}")
