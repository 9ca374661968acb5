"""A top with everything that goes with it."""

from pathlib import Path

from cimarron.config import SocConfig

from .. import firmware
from ..runner.tops import build_top, write_top
from ..runner.verilator import WAIVERS
from ..runner.verilog import write_text
from .template import template

__all__ = ["HEX", "firmware_hex", "write_kit"]

#: What the system's main memory has to hold first.
HEX = "firmware.hex"


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
        Verilog of the top, and of the RISC-V core if it has one; for the system, `HEX`; ``<top>_template.v``;
        ``waivers.vlt``.
    """
    component = build_top(top, config)
    text = template(top, component, config)
    files = write_top(top, component, config, directory)
    if top == "soc":
        files.append(directory / HEX)
        write_text(files[-1], firmware_hex(config))
    example, waivers = directory / f"{top}_template.v", directory / WAIVERS.name
    write_text(example, text)
    write_text(waivers, WAIVERS.read_text(encoding="utf-8"))
    return [*files, example, waivers]


def firmware_hex(config: SocConfig) -> str:
    """The firmware as ``$readmemh`` reads it: an element of the system's main memory per line.

    Parameters
    ----------
    config : SocConfig
    """
    wide = (config.engine.weight_port_bits if config.engine_in == "gates" else 32) // 8
    image = firmware.load(config.cpu)
    image += bytes(-len(image) % wide)
    return "".join(f"{image[at : at + wide][::-1].hex()}\n" for at in range(0, len(image), wide))
