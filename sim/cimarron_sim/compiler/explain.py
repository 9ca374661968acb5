"""Why each layer is cut the way it is, in words."""

from dataclasses import dataclass, fields

from cimarron.config import EngineConfig
from cimarron.isa import Opcode

from ..graph import Graph
from .bound import Bound
from .mapping import Candidate, candidates
from .operator import EngineLayer
from .plan import plan_network
from .predict import jobs_of
from .program import Program

__all__ = ["Alternative", "Movement", "explain", "movements"]

#: Alternatives shown besides the chosen mapping.
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """One mapping of one layer.

    Parameters
    ----------
    layer : str
    mapping : str
        How it cuts the layer.
    cycles : int
        Predicted, of the layer alone.
    reason : str
        Why it was chosen or not.
    is_chosen : bool
    """

    layer: str
    mapping: str
    cycles: int
    reason: str
    is_chosen: bool


@dataclass(frozen=True, kw_only=True)
class Movement:
    """What a layer moves between main memory and the activation buffer, which has no room for its tensors.

    Parameters
    ----------
    layer : str
    stripes : int
        In how many it works.
    tensors : tuple of str
        In main memory.
    room : int
        Bytes of the activation buffer that parts of them take.
    loaded, stored : int
        Bytes; rows that two stripes read are loaded twice.
    """

    layer: str
    stripes: int
    tensors: tuple[str, ...]
    room: int
    loaded: int
    stored: int


def movements(program: Program) -> list[Movement]:
    """Of every layer that reads or writes a tensor in main memory, in order."""
    rows = []
    for index, (layer, jobs) in enumerate(zip(program.layers, jobs_of(program), strict=True)):
        parts = [part for part in program.placements if part.stripes and part.first == index]
        if not parts:
            continue
        moved = {
            opcode: sum(job["length"] for job in jobs if job["opcode"] == opcode)
            for opcode in (Opcode.LOAD, Opcode.STORE)
        }
        rows.append(
            Movement(
                layer=layer.name,
                stripes=parts[0].stripes,
                tensors=tuple(part.tensor for part in parts),
                room=sum(part.nbytes for part in parts),
                loaded=moved[Opcode.LOAD],
                stored=moved[Opcode.STORE],
            )
        )
    return rows


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _describe(candidate: Candidate) -> str:
    tiling = candidate.tiling
    parts = [f"{_count(tiling.row_tiles, 'row tile')} x {tiling.word_tiles} of {_count(tiling.outputs, 'channel')}"]
    if tiling.block.pixels > 1:
        parts.append(f"blocks of {tiling.block.height} x {tiling.block.width} pixels")
    if tiling.is_shared:
        parts.append("weights loaded once")
    if len(candidate.parts) > 1:
        parts.append("input copied to strips")
    parts.append(_count(sum(part.jobs for part in candidate.parts), "job"))
    return ", ".join(parts)


def _busiest(bound: Bound) -> str:
    cycles, name = max((getattr(bound, field.name), field.name) for field in fields(bound))
    return f"{name} {cycles:,}"


def _reason(candidate: Candidate, ranked: list[Candidate], chosen: Candidate) -> str:
    if candidate is not chosen:
        more = candidate.cycles - chosen.cycles
        if more < 0:
            return f"{-more:,} cycles fewer, but in more rows at a time than there is room for"
        return f"{more:,} cycles more: {_busiest(candidate.bound)}" if more else "as fast, but with more work besides"
    if candidate is not ranked[0]:
        return f"fewest in lines of pixels: {_busiest(candidate.bound)}, the rest is filling and draining"
    others = len(ranked) - 1
    rank = f"fewest of {others + 1}" if others else "the only one"
    return f"{rank}: {_busiest(candidate.bound)}, the rest is filling and draining"


def _is_same(a: Candidate, b: Candidate) -> bool:
    return [part.tiling for part in a.parts] == [part.tiling for part in b.parts]


def explain(graph: Graph, config: EngineConfig) -> list[Alternative]:
    """The chosen mapping of every layer on the engine, and the next best.

    Parameters
    ----------
    graph : Graph
        That the hardware can run.
    config : EngineConfig
    """
    _, plan = plan_network(graph, config)
    layers = [operator for operator in plan.operators if isinstance(operator, EngineLayer)]
    allow_strips = any(operator.strips for operator in layers)
    rows = []
    for operator in layers:
        layer = operator.layer
        x_planes, y_planes = (plan.planes.get(tensor.name, 0) for tensor in (layer.x, layer.y))
        ranked = candidates(layer, config, x_planes, y_planes, allow_strips=allow_strips)
        chosen = next(candidate for candidate in ranked if _is_same(candidate, operator.candidate))
        # Beside a mapping with strips, the best without is what matters.
        plain = next(candidate for candidate in ranked if len(candidate.parts) == 1)
        shown = list(dict.fromkeys([chosen, plain, *ranked] if len(chosen.parts) > 1 else [chosen, *ranked]))
        for candidate in shown[: 1 + _SHOWN]:
            rows.append(
                Alternative(
                    layer=layer.name,
                    mapping=_describe(candidate),
                    cycles=candidate.cycles,
                    reason=_reason(candidate, ranked, chosen),
                    is_chosen=candidate is chosen,
                )
            )
    return rows
