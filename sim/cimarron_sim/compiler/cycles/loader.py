"""When the loader asks for what, and when it is there."""

from collections import deque

from cimarron.config import EngineConfig
from cimarron.isa import TABLE_WORDS

from .port import MEMORY_LATENCY, Port

__all__ = ["Loader"]

#: Memory beats of a LOAD job that were requested and are not written yet, at most.
_LANDING = 4


class Loader:
    """One request per cycle, as far ahead as record banks and weight sets are free.

    Banks and sets are used in turn, across jobs: bank b of a word tile is free again one cycle after the drain has used
    it for the word tile two before, a set as many tiles before as there are sets.

    Parameters
    ----------
    config : EngineConfig
    port : Port

    Attributes
    ----------
    ready : int
        First cycle in which the next job may start.
    """

    def __init__(self, config: EngineConfig, port: Port):
        self._config = config
        self._port = port
        self._next = 0  # cycle of the next request at the earliest
        self._banks_free = deque([0, 0])  # cycle from which each bank can be loaded, oldest first
        self._sets_free = deque([0] * config.macro.weight_sets)
        self.ready = 0

    def start(self, cycle: int) -> None:
        """A MAC job is given to the loader in this cycle."""
        self._next = cycle + 1

    def records(self, count: int) -> None:
        """Request the records of a word tile."""
        self._request(self._banks_free.popleft(), count * self._config.param_beats)

    def rows(self, count: int) -> int:
        """Request the rows of a tile; returns the first cycle in which its weights are ready."""
        last = self._request(self._sets_free.popleft(), count * self._config.row_beats)
        # The answer to the last request writes the last row; the feeder counts the tile one cycle later.
        self.ready = last + MEMORY_LATENCY + 1
        return self.ready

    def _request(self, free: int, count: int) -> int:
        last = self._port.request(max(self._next, free), count)
        self._next = last + 1
        return last

    def bank_done(self, cycle: int) -> None:
        """The drain has used the oldest records for the last time."""
        self._banks_free.append(cycle + 1)

    def set_done(self, cycle: int) -> None:
        """The drain has taken the last result of the oldest set."""
        self._sets_free.append(cycle + 1)

    def load(self, cycle: int, length: int) -> int:
        """A LOAD job is given to the loader in this cycle; returns that of its last write.

        An answer enters a queue and comes out one cycle later, to be written at ``act_port_bytes`` per cycle.
        """
        config = self._config
        pieces = config.port_bytes // config.act_port_bytes
        writes = -(-length // config.act_port_bytes)
        requested, written = cycle, cycle
        leaves = deque([cycle] * _LANDING)  # last write of the beats before
        while writes:
            requested = self._port.request(max(requested, leaves.popleft()) + 1)
            written = max(requested + MEMORY_LATENCY, written) + min(pieces, writes)
            writes -= min(pieces, writes)
            leaves.append(written)
        self.ready = written + 1
        return written

    def tables(self, cycle: int, count: int) -> int:
        """A VECTOR job with so many tables is given to the loader in this cycle; returns the first one with them ready.

        An answer waits until the beat before it has been written, a word per cycle; then the next one is requested.
        """
        words = self._config.port_bytes // 4
        waits_from, written = cycle + 1, cycle
        for _ in range(count * TABLE_WORDS // words):
            requested = self._port.request(waits_from)
            moved = max(requested + MEMORY_LATENCY + 1, written)
            waits_from, written = moved + 1, moved + words
            self.ready = requested + MEMORY_LATENCY + 1
        return written + 1
