"""The memory port, which descriptors and the loader share."""

from collections import deque

__all__ = ["MEMORY_LATENCY", "Port"]

#: Cycles from a request of one of the engine's parts to its answer: one to the memory port, from the registers of
#: `cimarron.bus.request_register.RequestRegister`, and one in `cimarron.soc.ram.Ram`.
MEMORY_LATENCY = 2


class Port:
    """One request per cycle; the fetcher goes first, so the loader takes the cycles that are left.

    The fetcher's requests depend on when descriptors are taken, never on the loader's: they are known before.
    """

    def __init__(self) -> None:
        self._taken: deque[int] = deque()

    def take(self, cycle: int) -> None:
        """The fetcher requests a beat in this cycle, later than all before."""
        self._taken.append(cycle)

    def request(self, cycle: int, count: int = 1) -> int:
        """The loader requests as many beats, from this cycle on; returns the cycle of the last one."""
        last = cycle + count - 1
        while self._taken and self._taken[0] <= last:
            if self._taken.popleft() >= cycle:
                last += 1
        return last
