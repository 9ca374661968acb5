"""The jobs and steps of a layer, with what moves its spilled tensors."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cimarron.config import EngineConfig
from cimarron.isa import PROGRAM_OFFSET, RAM_BASE, Opcode, Profile, pack_job

from .bound import weight_beats
from .operator import EngineLayer
from .plan import Operator, Plan
from .rows import Span, join
from .tiling import jobs
from .vector import VectorLayer

__all__ = ["Places", "Work", "layer_work", "load_job", "store_job"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Places:
    """Where tensors lie.

    Parameters
    ----------
    plan : Plan
    memory : dict of str to int
        Offset in the image's memory of every spilled tensor.
    """

    plan: Plan
    memory: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Work:
    """What one layer does.

    Parameters
    ----------
    items : list of (list of int or bytes)
        Words of a job, or a step of the CPU, in order.
    passes : int
        Jobs that compute, copies of the input apart.
    loads, stores : list of int
        Bytes of each transfer.
    """

    items: list[list[int] | bytes]
    passes: int = 0
    loads: list[int] = field(default_factory=list)
    stores: list[int] = field(default_factory=list)


def load_job(source: int, destination: int, length: int) -> list[int]:
    """Words of a LOAD job."""
    return pack_job(Opcode.LOAD, source=source, destination=destination, length=length)


def store_job(source: int, destination: int, length: int) -> list[int]:
    """Words of a STORE job."""
    return pack_job(Opcode.STORE, source=source, destination=destination, length=length)


def _compute(
    profile: Profile, operator: Operator, addresses: Mapping[str, int], config: EngineConfig, offset: int,
    rows: range | None,
) -> list[list[int] | bytes]:  # fmt: skip
    address = RAM_BASE + PROGRAM_OFFSET + offset
    if isinstance(operator, EngineLayer):
        items: list[list[int] | bytes] = []
        for part in operator.parts:
            layer = part.layer
            items += jobs(
                layer, part.tiling, config, profile=profile, x_address=addresses[layer.x.name],
                y_address=addresses[layer.y.name], weight_address=address, rows=rows,
            )  # fmt: skip
            address += config.port_bytes * weight_beats(part.tiling, config)
        return items
    if isinstance(operator, VectorLayer):
        return list(operator.descriptors(addresses, address, rows))
    return list(operator.words(addresses, offset, rows))


def _copies(operator: Operator) -> int:
    """Jobs that copy the input."""
    if not isinstance(operator, EngineLayer):
        return 0
    return sum(part.jobs for part in operator.parts[:-1])


def layer_work(
    profile: Profile, operator: Operator, places: Places, step: int, config: EngineConfig, offset: int
) -> Work:
    """The work of the layer that runs in a step.

    Parameters
    ----------
    profile : Profile
    operator : Operator
    places : Places
    step : int
    config : EngineConfig
    offset : int
        Of its weights or tables in the image.
    """
    plan = places.plan
    owner = plan.order.owner
    stripes = plan.stripes.get(step)
    if stripes is None:
        addresses = {name: plan.addresses[at] for name, at in owner.items() if at in plan.addresses}
        items = _compute(profile, operator, addresses, config, offset, None)
        return Work(items, passes=len(items) - _copies(operator))
    items: list[list[int] | bytes] = []
    loads: list[int] = []
    stores: list[int] = []
    passes = 0
    output = plan.order.layers[step - 1].outputs[0]
    base = RAM_BASE + PROGRAM_OFFSET
    for rows in stripes.rows:
        reads: dict[str, Span] = {}
        for name, span in operator.reads(rows).items():
            join(reads, owner[name], span)
        # Where byte 0 of each tensor would lie, if all of it were there.
        at = dict(plan.addresses)
        for name, (slot, _) in stripes.slots.items():
            if name == output or name not in reads:
                at[name] = slot
                continue
            low, high = reads[name]
            first = low - low % config.port_bytes
            items.append(load_job(base + places.memory[name] + first, slot, high - first))
            loads.append(high - first)
            at[name] = slot - first
        low, high = operator.writes(rows)
        if output in stripes.slots:
            at[output] -= low
        addresses = {name: at[holder] for name, holder in owner.items() if holder in at}
        computed = _compute(profile, operator, addresses, config, offset, rows)
        items.extend(computed)
        passes += len(computed)
        if output in stripes.slots:
            items.append(store_job(stripes.slots[output][0], base + places.memory[output] + low, high - low))
            stores.append(high - low)
    return Work(items, passes=passes, loads=loads, stores=stores)
