"""Verilog that the systems are built around."""

from pathlib import Path

from ..config import SocConfig
from .cpu import cpu_source
from .picorv32 import picorv32_source

__all__ = ["core_source"]


def core_source(config: SocConfig) -> Path:
    """Path of the Verilog of the configuration's core, verified.

    Raises
    ------
    CpuSourceError
        If its package is not installed, or holds another netlist.
    """
    return picorv32_source() if config.cpu == "picorv32" else cpu_source()
