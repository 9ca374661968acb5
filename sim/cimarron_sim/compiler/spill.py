"""Runs layers in stripes of rows, with tensors in main memory that the activation buffer has no room for.

A spilled tensor lives in main memory. Each layer that reads it has the bytes that a stripe needs loaded before, and the
layer that writes it has each stripe stored behind; both take room in the buffer only during their step. Constants are
spilled from the beginning.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from cimarron.config import EngineConfig

from .errors import CompileError
from .image import align
from .memory import Buffer, Misfit, place
from .rows import RowLayer, Span, join
from .schedule import Order

__all__ = ["Spill", "Stripes", "respill", "spill"]

#: Rounds of looking for a better choice of tensors; few are ever needed.
_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class Stripes:
    """How a layer with spilled tensors runs.

    Parameters
    ----------
    rows : tuple of range
        Rows of each stripe, in order.
    slots : dict of str to Span
        Of each spilled tensor that it reads or writes: the buffer address of what is there of it, and bytes reserved.
    """

    rows: tuple[range, ...]
    slots: Mapping[str, Span]


@dataclass(frozen=True, kw_only=True)
class Spill:
    """What lives in main memory, and how its layers run.

    Parameters
    ----------
    spilled : tuple of Buffer
        Tensors in main memory.
    addresses : dict of str to int
        Buffer address of every other tensor.
    stripes : dict of int to Stripes
        By step, of every layer that reads or writes a spilled tensor.
    cost : int
        Estimate of the cycles that transfers and repeated weights take.
    """

    spilled: tuple[Buffer, ...] = ()
    addresses: Mapping[str, int] = field(default_factory=dict)
    stripes: Mapping[int, Stripes] = field(default_factory=dict)
    cost: int = 0


class _Planner:
    """Tries choices of spilled tensors.

    Parameters
    ----------
    order : Order
    layers : sequence of RowLayer
        Of the order's nodes.
    weights : sequence of int
        Beats of each layer's weights or tables, which every stripe loads again.
    config : EngineConfig
    """

    def __init__(self, order: Order, layers: Sequence[RowLayer], weights: Sequence[int], config: EngineConfig):
        self.order = order
        self.layers = layers
        self.weights = weights
        self.config = config
        self._spans: dict[tuple[int, int], list[dict[str, tuple[Span, bool]]]] = {}

    def _align(self, size: int) -> int:
        return align(size, self.config.act_port_bytes)

    def _stripes(self, step: int, rows: int) -> list[dict[str, tuple[Span, bool]]]:
        """Bytes of each tensor that each stripe of so many rows reads, and (True) writes."""
        key = step, rows
        if key not in self._spans:
            layer, found = self.layers[step - 1], []
            for start in range(0, layer.rows, rows):
                part = range(start, min(start + rows, layer.rows))
                reads: dict[str, Span] = {}
                for name, span in layer.reads(part).items():
                    join(reads, self.order.owner[name], span)
                output = self.order.layers[step - 1].outputs[0]
                spans = {name: (span, False) for name, span in reads.items()}
                found.append({**spans, output: (layer.writes(part), True)})
            self._spans[key] = found
        return self._spans[key]

    def _room(self, step: int, rows: int, spilled: frozenset[str]) -> dict[str, int]:
        """Bytes that the spilled tensors of a step take, when it runs so many rows at a time."""
        if not 1 <= step <= len(self.layers):
            return {}
        sizes: dict[str, int] = {}
        for stripe in self._stripes(step, rows):
            for name, ((low, high), is_output) in stripe.items():
                if name in spilled:
                    # A LOAD begins with a beat.
                    first = low if is_output else low - low % self.config.port_bytes
                    sizes[name] = max(sizes.get(name, 0), high - first)
        return sizes

    def need(self, step: int, spilled: frozenset[str]) -> dict[str, int]:
        """Bytes of everything that has to be in the buffer in a step that runs row by row."""
        alive = {b.name: b.size for b in self.order.buffers if b.first <= step <= b.last and b.name not in spilled}
        return alive | self._room(step, 1, spilled)

    def excess(self, step: int, spilled: frozenset[str]) -> int:
        """By how many bytes that is too much."""
        return sum(map(self._align, self.need(step, spilled).values())) - self.config.act_buffer_bytes

    def _slots(self, step: int, sizes: Mapping[str, int], resident: Mapping[str, int]) -> dict[str, Span] | None:
        """Places between what else is in the buffer, the largest first; None if there are not enough."""
        taken = sorted(
            (resident[b.name], resident[b.name] + self._align(b.size))
            for b in self.order.buffers
            if b.name in resident and b.first <= step <= b.last
        )
        slots: dict[str, Span] = {}
        for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
            size, address = self._align(sizes[name]), 0
            for low, high in taken:
                if address + size <= low:
                    break
                address = max(address, high)
            if address + size > self.config.act_buffer_bytes:
                return None
            slots[name] = address, sizes[name]
            taken = sorted([*taken, (address, address + size)])
        return slots

    def _stripe(self, step: int, spilled: frozenset[str], resident: Mapping[str, int]) -> Stripes | None:
        """The fewest stripes that fit."""
        total, low, high = self.layers[step - 1].rows, 0, self.layers[step - 1].rows
        while low < high:
            middle = (low + high + 1) // 2
            if self._slots(step, self._room(step, middle, spilled), resident) is None:
                high = middle - 1
            else:
                low = middle
        if not low:
            return None
        # As many stripes, of equal size.
        rows = -(-total // -(-total // low))
        slots = self._slots(step, self._room(step, rows, spilled), resident)
        if slots is None:
            rows = low
            slots = self._slots(step, self._room(step, rows, spilled), resident)
            assert slots is not None
        return Stripes(rows=tuple(range(r, min(r + rows, total)) for r in range(0, total, rows)), slots=slots)

    def _cost(self, step: int, stripes: Stripes, spilled: frozenset[str]) -> int:
        moved = 0
        for stripe in self._stripes(step, len(stripes.rows[0])):
            moved += sum(high - low for name, ((low, high), _) in stripe.items() if name in spilled)
        return (len(stripes.rows) - 1) * self.weights[step - 1] + moved // self.config.act_port_bytes

    def attempt(self, spilled: frozenset[str]) -> Spill | int:
        """The plan, or the step in which something does not fit."""
        order = self.order
        excesses = [self.excess(step, spilled) for step in range(len(order.steps))]
        worst = max(range(len(excesses)), key=excesses.__getitem__)
        if excesses[worst] > 0:
            return worst
        resident = [buffer for buffer in order.buffers if buffer.name not in spilled]
        limits = {"capacity": self.config.act_buffer_bytes, "alignment": self.config.act_port_bytes}
        try:
            addresses = place(resident, order.steps, **limits)
        except Misfit:
            return worst
        stripes, cost = {}, 0
        for step in range(1, len(self.layers) + 1):
            if not self._room(step, 1, spilled):
                continue
            found = self._stripe(step, spilled, addresses)
            if found is None:
                return step
            stripes[step] = found
            cost += self._cost(step, found, spilled)
        kept = tuple(buffer for buffer in order.buffers if buffer.name in spilled)
        return Spill(spilled=kept, addresses=addresses, stripes=stripes, cost=cost)

    def _movable(self) -> list[Buffer]:
        """Not constants; and a tensor that is input and output at once would have to be copied by nobody."""
        return [
            buffer
            for buffer in self.order.buffers
            if buffer.name not in self.order.constants and (buffer.last <= len(self.layers) or buffer.first > 0)
        ]

    def _victim(self, step: int, spilled: frozenset[str]) -> str:
        """The tensor to spill next: the cheapest one that makes the step fit, or the one that frees most."""
        before, freed = self.excess(step, spilled), {}
        for buffer in self._movable():
            if buffer.name not in spilled and buffer.first <= step <= buffer.last:
                gain = before - self.excess(step, spilled | {buffer.name})
                if gain > 0:
                    freed[buffer.name] = gain, buffer.size
        if not freed:
            needs = self.need(step, spilled)
            parts = ", ".join(f"{name!r} {size}" for name, size in needs.items())
            total = sum(map(self._align, needs.values()))
            gaps = "" if total > self.config.act_buffer_bytes else ", but not in the gaps between what is kept there"
            raise CompileError(
                f"{self.order.steps[step]} needs {total} bytes of activation buffer at once, even for a single row of"
                f" its output ({parts}), there are {self.config.act_buffer_bytes}{gaps}: choose a configuration with a"
                f" larger act_buffer_bytes"
            )
        enough = {name: size for name, (gain, size) in freed.items() if gain >= before}
        if enough:
            return min(enough, key=lambda name: (enough[name], name))
        return max(freed, key=lambda name: (freed[name][0], name))

    def plan(self) -> Spill:
        """Spill until everything fits, then look for tensors whose spilling costs more, or less, than it brings."""
        spilled = frozenset(self.order.constants)
        while isinstance(best := self.attempt(spilled), int):
            spilled |= {self._victim(best, spilled)}
        for _ in range(_ROUNDS):
            before = best.cost
            for buffer in self._movable():
                other = spilled ^ {buffer.name}
                found = self.attempt(other)
                if isinstance(found, Spill) and found.cost < best.cost:
                    best, spilled = found, other
            if best.cost == before:
                break
        return best


def spill(order: Order, layers: Sequence[RowLayer], weights: Sequence[int], config: EngineConfig) -> Spill:
    """Choose what lives in main memory, and cut the layers that read or write it into stripes.

    Parameters
    ----------
    order : Order
    layers : sequence of RowLayer
    weights : sequence of int
        Memory beats of each layer's weights or tables.
    config : EngineConfig

    Raises
    ------
    CompileError
        If a layer does not fit whatever is spilled: the sentence names it, what it needs and what there is.
    """
    return _Planner(order, layers, weights, config).plan()


def respill(
    names: Collection[str], order: Order, layers: Sequence[RowLayer], weights: Sequence[int], config: EngineConfig
) -> Spill | None:
    """The plan for the same tensors with layers that are cut otherwise; None if it does not fit."""
    found = _Planner(order, layers, weights, config).attempt(frozenset(names))
    return found if isinstance(found, Spill) else None
