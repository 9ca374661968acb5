"""When the weight loader asks for what, and when it is there."""

from cimarron.config import EngineConfig

__all__ = ["MEMORY_LATENCY", "Loader"]

#: Cycles from a request on the memory port to its answer, in `cimarron.soc.ram.Ram`.
MEMORY_LATENCY = 1


class Loader:
    """One request per cycle, as far ahead as record banks and weight sets are free.

    Banks and sets are used in turn, across jobs: bank b of a word tile is free again one cycle after the drain has used
    it for the word tile two before, a set as many tiles before as there are sets.

    Parameters
    ----------
    config : EngineConfig

    Attributes
    ----------
    ready : int
        First cycle in which the next job may start.
    """

    def __init__(self, config: EngineConfig):
        self._config = config
        self._next = 0  # cycle of the next request at the earliest
        self._banks_free = [0, 0]  # cycle from which the banks can be loaded, oldest first
        self._sets_free = [0] * config.macro.weight_sets
        self.ready = 0

    def start(self, cycle: int) -> None:
        """A job is given to the loader in this cycle."""
        self._next = cycle + 1

    def records(self, count: int) -> None:
        """Request the records of a word tile."""
        self._next = max(self._next, self._banks_free.pop(0)) + count * self._config.param_beats

    def rows(self, count: int) -> int:
        """Request the rows of a tile; returns the first cycle in which its weights are ready."""
        self._next = max(self._next, self._sets_free.pop(0)) + count * self._config.row_beats
        # The answer to the last request writes the last row; the feeder counts the tile one cycle later.
        answered = self._next - 1 + MEMORY_LATENCY
        self.ready = answered + 1
        return answered + 1

    def bank_done(self, cycle: int) -> None:
        """The drain has used the oldest records for the last time."""
        self._banks_free.append(cycle + 1)

    def set_done(self, cycle: int) -> None:
        """The drain has taken the last result of the oldest set."""
        self._sets_free.append(cycle + 1)

    def load(self, cycle: int, length: int) -> int:
        """A LOAD job is given to the loader in this cycle; returns that of its last write.

        A beat is requested per cycle; from the cycle after the first answer on, ``act_port_bytes`` are written in each.
        """
        writes = -(-length // self._config.act_port_bytes)
        done = cycle + 1 + MEMORY_LATENCY + writes
        self.ready = done + 1
        return done
