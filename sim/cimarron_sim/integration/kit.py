"""A top with everything that goes with it."""

from pathlib import Path

from cimarron.config import SocConfig

from ..runner.tops import write_top
from ..runner.verilator import WAIVERS
from ..runner.verilog import write_text
from .template import template

__all__ = ["write_kit"]


def write_kit(top: str, config: SocConfig, directory: Path) -> list[Path]:
    """Write one part of the hardware, how to instantiate it, and what Verilator should not complain about.

    Parameters
    ----------
    top : str
        One of `cimarron_sim.runner.tops.TOPS`.
    config : SocConfig
    directory : Path
        Created if absent.

    Returns
    -------
    list of Path
        Verilog of the top, and of the RISC-V core if it has one; ``<top>_template.v``; ``waivers.vlt``.
    """
    files = write_top(top, config, directory)
    example, waivers = directory / f"{top}_template.v", directory / WAIVERS.name
    write_text(example, template(top, config))
    write_text(waivers, WAIVERS.read_text(encoding="utf-8"))
    return [*files, example, waivers]
