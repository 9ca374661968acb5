"""When descriptors are there."""

from collections import deque

from cimarron.config import EngineConfig
from cimarron.isa import JOB_BYTES

from .port import MEMORY_LATENCY, Port

__all__ = ["Fetcher"]


class Fetcher:
    """Requests a beat per cycle as long as its queue, which holds a descriptor, has room for the answer.

    Parameters
    ----------
    config : EngineConfig
    port : Port
    """

    def __init__(self, config: EngineConfig, port: Port):
        self._port = port
        self._beats = JOB_BYTES // config.port_bytes
        self._arrived: deque[int] = deque()  # cycle in which each beat can be taken
        self._next = 0
        self._left = 0

    @property
    def pending(self) -> bool:
        """Whether there is another descriptor."""
        return bool(self._arrived)

    def start(self, cycle: int, jobs: int) -> None:
        """So many jobs are handed over in this cycle."""
        self._next = cycle + 1
        self._left = jobs * self._beats
        for _ in range(self._beats):
            self._request()

    def take(self, cycle: int) -> int:
        """The sequencer collects a descriptor from this cycle on; returns the cycle in which it takes the last beat."""
        for _ in range(self._beats):
            cycle = max(cycle, self._arrived.popleft()) + 1
            self._next = max(self._next, cycle)
            self._request()
        return cycle - 1

    def _request(self) -> None:
        if self._left:
            self._left -= 1
            self._port.take(self._next)
            # The answer enters the queue, and comes out a cycle later.
            self._arrived.append(self._next + MEMORY_LATENCY + 1)
            self._next += 1
