"""Verilog of the presets' engines: several benches drive the same one."""

from functools import cache
from pathlib import Path

from cimarron.config import PRESETS
from cimarron.engine.engine import Engine
from cimarron_sim.runner.verilog import write_verilog

__all__ = ["engine_verilog"]

#: Processes of pytest write the same text here.
BUILD = Path(__file__).parents[1] / "build" / "engines"


@cache
def engine_verilog(preset: str) -> Path:
    """The engine of a preset, as the sources of this moment make it; each process elaborates it once."""
    return write_verilog(Engine(PRESETS[preset].engine), BUILD / preset, "engine")
