"""Which way of cutting a layer takes the fewest cycles."""

from dataclasses import dataclass

from cimarron.config import EngineConfig
from cimarron.isa import Profile, unpack_job

from .bound import Bound, mac_bound
from .cycles import EngineCycles
from .errors import CompileError
from .layer import MacLayer
from .tiling import Tiling, jobs, tilings

__all__ = ["Candidate", "candidates", "choose"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """One way of cutting a layer, and what it costs.

    Parameters
    ----------
    tiling : Tiling
    bound : Bound
    cycles : int
        From the hand-over of its jobs to the last output, of the layer alone. The bound's, for a macro that skips
        planes, which makes them depend on the data.
    """

    tiling: Tiling
    bound: Bound
    cycles: int

    @property
    def key(self) -> tuple[int, int]:
        """Sorts candidates: of two that are alike, the one with less to do besides is better."""
        return self.cycles, self.bound.key[1]


def _cycles(layer: MacLayer, tiling: Tiling, config: EngineConfig) -> int:
    descriptors = jobs(layer, tiling, config, profile=Profile.TFLM, x_address=0, y_address=0, weight_address=0)
    engine = EngineCycles(config)
    engine.hand_over(len(descriptors))
    return sum(engine.execute(unpack_job(words)).busy for words in descriptors)


def candidates(layer: MacLayer, config: EngineConfig, x_planes: int = 0, y_planes: int = 0) -> list[Candidate]:
    """All the ways that are considered, in the order of their cycles.

    Parameters
    ----------
    layer : MacLayer
    config : EngineConfig
    x_planes, y_planes : int
        See `Tiling`.

    Raises
    ------
    CompileError
        If no cut makes the layer fit.
    """
    found, reasons = [], []
    for tiling in tilings(layer, config, x_planes, y_planes):
        bound = mac_bound(layer, tiling, config)
        try:
            cycles = bound.cycles if config.macro.plane_skipping else _cycles(layer, tiling, config)
        except CompileError as reason:
            # Numbers that do not fit a descriptor; another cut may have smaller ones.
            reasons.append(reason)
            continue
        found.append(Candidate(tiling=tiling, bound=bound, cycles=cycles))
    if not found:
        raise reasons[0]
    return sorted(found, key=lambda candidate: candidate.key)


def choose(
    layer: MacLayer, config: EngineConfig, x_planes: int = 0, y_planes: int = 0, *, single_lines: bool = False
) -> Candidate:
    """The first of `candidates`; with ``single_lines``, the first whose blocks are one line of pixels high."""
    found = candidates(layer, config, x_planes, y_planes)
    if single_lines:
        return next((candidate for candidate in found if candidate.tiling.block.height == 1), found[0])
    return found[0]
