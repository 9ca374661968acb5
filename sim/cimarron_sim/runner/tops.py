"""The parts of the hardware that are offered as Verilog."""

import shutil
from pathlib import Path

from amaranth.lib import wiring
from cimarron.config import ConfigError, SocConfig

from .verilog import write_verilog

__all__ = ["TOPS", "build_top", "write_top"]

TOPS = ("macro", "engine", "engine_axi", "soc")


def build_top(top: str, config: SocConfig) -> wiring.Component:
    """One part of the hardware.

    Raises
    ------
    ValueError
        If there is no such part.
    ConfigError
        If it is the engine in gates, and the configuration has it in software.
    """
    if top.startswith("engine") and config.engine_in == "software":
        raise ConfigError(
            "engine_in is software: firmware does the engine's work there, and there is no Verilog of it;"
            " --top macro is what it drives, --top soc the whole"
        )
    match top:
        case "macro":
            from cimarron.macro.self_test import macro_of

            return macro_of(config.engine.macro)
        case "engine":
            from cimarron.engine.engine import Engine

            return Engine(config.engine)
        case "engine_axi":
            from cimarron.engine.axi_engine import AxiEngine

            return AxiEngine(config.engine)
        case "soc":
            from cimarron.soc.tops import system

            return system(config)
    raise ValueError(f"there is no top {top!r}; there are {', '.join(TOPS)}")


def write_top(top: str, component: wiring.Component, config: SocConfig, directory: Path) -> list[Path]:
    """Write one part of the hardware.

    Parameters
    ----------
    top : str
        One of `TOPS`; also the name of the Verilog module.
    component : wiring.Component
        It, as `build_top` gives it.
    config : SocConfig
    directory : Path

    Returns
    -------
    list of Path
        The file, and for the system that of the RISC-V core.
    """
    path = write_verilog(component, directory, top)
    if top != "soc":
        return [path]
    from cimarron.soc.sources import core_source

    return [path, Path(shutil.copy2(core_source(config), directory))]
