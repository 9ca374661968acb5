"""Which way of cutting a layer takes the fewest cycles."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from cimarron.config import EngineConfig
from cimarron.isa import Profile, unpack_job

from .bound import Bound, mac_bound
from .cycles import EngineCycles
from .errors import CompileError
from .layer import MacLayer
from .strips import in_strips
from .tiling import Tiling, jobs, tilings

__all__ = ["Candidate", "Part", "candidates", "choose"]


@dataclass(frozen=True, eq=False)
class Part:
    """Jobs that follow one another, for one layer and one weight stream."""

    layer: MacLayer
    tiling: Tiling

    @property
    def jobs(self) -> int:
        """How many they are, if all rows are computed in turn: one per image and stripe."""
        return self.layer.images * len(self.tiling.stripes)


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """One way of cutting a layer, and what it costs.

    Parameters
    ----------
    parts : tuple of Part
        The layer itself, or what copies its input to strips (see `in_strips`) and the layer that reads them.
    bound : Bound
        Of the layer. A copy is no part of it: what that takes is overhead.
    cycles : int
        From the hand-over of its jobs to the last output, of the layer alone. The bound's, for a macro that skips
        planes, which makes them depend on the data.
    """

    parts: tuple[Part, ...]
    bound: Bound
    cycles: int

    @property
    def tiling(self) -> Tiling:
        """How the layer, or the one that reads strips, is cut."""
        return self.parts[-1].tiling

    @property
    def key(self) -> tuple[int, int]:
        """Sorts candidates: of two that are alike, the one with less to do besides is better."""
        return self.cycles, self.bound.key[1]


def _cycles(parts: tuple[Part, ...], config: EngineConfig) -> int:
    descriptors = [
        words
        for part in parts
        for words in jobs(
            part.layer, part.tiling, config, profile=Profile.TFLM, x_address=0, y_address=0, weight_address=0
        )
    ]
    engine = EngineCycles(config)
    engine.hand_over(len(descriptors))
    return sum(engine.execute(unpack_job(words)).busy for words in descriptors)


def _candidate(parts: tuple[Part, ...], config: EngineConfig) -> Candidate:
    bounds = [mac_bound(part.layer, part.tiling, config, passes=part.jobs) for part in parts]
    is_data_dependent = config.macro.plane_skipping
    cycles = sum(bound.cycles for bound in bounds) if is_data_dependent else _cycles(parts, config)
    return Candidate(parts=parts, bound=bounds[-1], cycles=cycles)


def _waits_for_input(bound: Bound) -> bool:
    return bound.activations == bound.cycles


def _in_strips(layer: MacLayer, config: EngineConfig, y_planes: int) -> Iterator[Candidate]:
    """Candidates that copy first, the copy as fast as it can be."""
    layers = in_strips(layer, config.lanes)
    if layers is None:
        return
    copy, main = layers
    # Where something does not fit, nothing is lost: the layer runs as it is.
    with suppress(CompileError):
        before = candidates(copy, config)[0].parts
        for tiling in tilings(main, config, 0, y_planes):
            with suppress(CompileError):
                yield _candidate((*before, Part(main, tiling)), config)


def candidates(
    layer: MacLayer, config: EngineConfig, x_planes: int = 0, y_planes: int = 0, *, allow_strips: bool = False
) -> list[Candidate]:
    """All the ways that are considered, in the order of their cycles.

    Parameters
    ----------
    layer : MacLayer
    config : EngineConfig
    x_planes, y_planes : int
        See `Tiling`.
    allow_strips : bool
        Whether there may be room for a copy of the input. It is considered if reading the input is what the layer waits
        for.

    Raises
    ------
    CompileError
        If no cut makes the layer fit.
    """
    found, reasons = [], []
    for tiling in tilings(layer, config, x_planes, y_planes):
        try:
            found.append(_candidate((Part(layer, tiling),), config))
        except CompileError as reason:
            # Numbers that do not fit a descriptor; another cut may have smaller ones.
            reasons.append(reason)
    if not found:
        raise reasons[0]
    best = min(found, key=lambda candidate: candidate.key)
    if allow_strips and not x_planes and _waits_for_input(best.bound):
        found += _in_strips(layer, config, y_planes)
    return sorted(found, key=lambda candidate: candidate.key)


def choose(
    layer: MacLayer,
    config: EngineConfig,
    x_planes: int = 0,
    y_planes: int = 0,
    *,
    allow_strips: bool = False,
    single_lines: bool = False,
) -> Candidate:
    """The first of `candidates`; with ``single_lines``, the first whose blocks are one line of pixels high."""
    found = candidates(layer, config, x_planes, y_planes, allow_strips=allow_strips)
    if single_lines:
        return next((candidate for candidate in found if candidate.tiling.block.height == 1), found[0])
    return found[0]
