"""The system that a configuration asks for."""

from amaranth.lib import wiring

from ..config import SocConfig
from .small_soc import SmallSoc
from .soc import Soc

__all__ = ["system"]


def system(config: SocConfig) -> wiring.Component:
    """`cimarron.soc.soc.Soc`, or `cimarron.soc.small_soc.SmallSoc` if the engine is software."""
    return SmallSoc(config) if config.engine_in == "software" else Soc(config)
