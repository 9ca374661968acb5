"""When operations go through feeder, macro and the front of the drain."""

from collections import deque

from cimarron.config import MacroConfig

__all__ = ["Macro"]

_COUNTERS = ("compute", "stall_input", "stall_weights", "stall_output", "operations")


class Macro:
    """The pipeline that vectors go through, from the gather's vector register to the drain's selection of beats.

    Each operation has six events, all of them clock cycles:

    - ``moved``: its vector leaves the gather, and the next one is gathered from this cycle on. It does so when it is
      complete; but the skid buffer behind holds one vector, and is free in the cycle after that has left it.
    - ``left``: its vector enters the input driver, from the skid buffer or, if that is possible at once, past it.
    - ``free``: its last planes leave the input driver, which may take a vector in the same cycle.
    - ``summed``: its first planes are accumulated. They left the driver ``read_cycles + pipeline + 1`` cycles before,
      at the latest.
    - ``captured``: the accumulated totals move on to the result register.
    - ``released``: the drain takes the last beat of the result, which frees that register.

    Parameters
    ----------
    config : MacroConfig

    Attributes
    ----------
    released : int
        Of the last operation.
    counts : dict of str to int
        What the engine's counters ``compute``, ``stall_input``, ``stall_weights``, ``stall_output`` and ``operations``
        count, since the object was made.
    """

    def __init__(self, config: MacroConfig):
        self._depth = config.read_cycles + config.pipeline + 1
        # Operations whose planes may still be in the trees.
        self._summed: deque[tuple[int, int]] = deque(maxlen=self._depth + 1)
        self._moved = self._left = self._free = self._captured = self.released = 0
        self.counts: dict[str, int] = dict.fromkeys(
            ("compute", "stall_input", "stall_weights", "stall_output", "operations"), 0
        )

    def start(self, cycle: int, gathers: int) -> None:
        """A job starts, with everything empty.

        Parameters
        ----------
        cycle : int
            In which ``start`` is high: the macro is waited for from the next one on.
        gathers : int
            Cycle before the one in which the first byte is put into the vector.
        """
        self._summed.clear()
        self._moved = self._left = gathers
        self._free = self._captured = self.released = cycle

    def operate(self, *, pieces: int, ready: int, planes: int, beats: int) -> None:
        """One operation.

        Parameters
        ----------
        pieces : int
            Cycles that the gather needs for the vector.
        ready : int
            First cycle in which the weights are there.
        planes : int
            Cycles in the array.
        beats : int
            Cycles in which the drain takes the result.
        """
        kept = self._left + 1 if self._left > self._moved else 0
        moved = max(self._moved + pieces, kept)
        left = max(moved, ready, self._free)
        waits = left - self._free
        on_weights = max(0, min(left, ready - 1) - self._free)
        summed = max(left + self._depth + 1, self._captured)
        free = max(left + planes, self._entered(summed, planes))
        captured = max(summed + planes, self.released)

        self.counts["compute"] += planes
        self.counts["stall_input"] += waits - on_weights
        self.counts["stall_weights"] += on_weights
        self.counts["stall_output"] += free - left - planes
        self.counts["operations"] += 1
        self._summed.append((summed, planes))
        self._moved, self._left, self._free = moved, left, free
        self._captured, self.released = captured, captured + beats

    def _entered(self, summed: int, planes: int) -> int:
        """Cycle in which the planes ``read_cycles + pipeline + 1`` places ahead of the last make room for these."""
        place = planes - 1 - self._depth
        if place >= 0:
            return summed + place
        for before, count in reversed(self._summed):
            place += count
            if place >= 0:
                return before + place
        return 0

    def repeat(self, count: int, *, pieces: int, planes: int, beats: int) -> None:
        """``count`` operations alike, with weights that are there.

        The events of an operation are maxima of sums of those before it and constants. Once all of them are the same
        number of cycles later than one operation ago, they stay so: the rest is a multiplication.
        """
        for done in range(1, count + 1):
            before, counted = self._events(), dict(self.counts)
            self.operate(pieces=pieces, ready=0, planes=planes, beats=beats)
            after = self._events()
            step = after[0] - before[0]
            alike = len(after) == len(before) and all(taken == planes for _, taken in self._summed)
            if alike and all(b - a == step for a, b in zip(before, after, strict=True)):
                self._skip(count - done, step, counted)
                return

    def _events(self) -> tuple[int, ...]:
        events = (self._moved, self._left, self._free, self._captured, self.released)
        return events + tuple(cycle for cycle, _ in self._summed)

    def _skip(self, count: int, step: int, counted: dict[str, int]) -> None:
        """``count`` operations more, each as the last one: ``step`` cycles later; ``counted`` before it."""
        later = count * step
        self._moved += later
        self._left += later
        self._free += later
        self._captured += later
        self.released += later
        self._summed = deque(((cycle + later, planes) for cycle, planes in self._summed), maxlen=self._summed.maxlen)
        self.counts = {name: now + count * (now - counted[name]) for name, now in self.counts.items()}
