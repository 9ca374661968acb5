"""When the storer reads, and when the memory has what it wrote."""

from collections.abc import Mapping

from cimarron.config import EngineConfig

from .port import MEMORY_LATENCY, Port

__all__ = ["store_cycles"]


def store_cycles(job: Mapping[str, int], config: EngineConfig, port: Port, given: int) -> int:
    """Cycle of the answer to the last beat of a STORE job.

    A piece of ``act_port_bytes`` is read while the one before it moves on: into a register, or, the last one of a beat,
    to the memory, when the port is free.

    Parameters
    ----------
    job : mapping
    config : EngineConfig
    port : Port
    given : int
        Cycle in which the storer is given the job.
    """
    # The first beat begins before the first byte.
    left = -(-(job["destination"] % config.port_bytes + job["length"]) // config.act_port_bytes)
    moved = given + 1  # cycle of the first read, and then of each last piece of a beat
    while left:
        pieces = min(left, config.port_bytes // config.act_port_bytes)
        moved = port.request(moved + pieces)
        left -= pieces
    return moved + MEMORY_LATENCY
