"""When the vector path reads, looks up and is done."""

from collections.abc import Mapping

from cimarron.config import EngineConfig

__all__ = ["VECTOR_LATENCY", "vector_cycles"]

#: Cycles from a job's start to the first lookup, less the reads of a piece: `cimarron.engine.vector.Vector.latency`.
VECTOR_LATENCY = 5


def vector_cycles(job: Mapping[str, int], config: EngineConfig, start: int, tables: int) -> tuple[int, int]:
    """Cycle of the last lookup of a VECTOR job, and its reads.

    The positions of a piece are read one per cycle. Its bytes are looked up, ``lanes`` per cycle, from the cycle after
    the last read on and while the next piece is read; that ends with the last lookup at the earliest.

    Parameters
    ----------
    job : mapping
    config : EngineConfig
    start : int
        Cycle in which ``start`` is high.
    tables : int
        First cycle in which the tables are complete.
    """
    port, lanes = config.act_port_bytes, config.lanes
    reads = job["kernel_h"] * job["kernel_w"] + job["binary"]
    pixels = job["out_width"] * job["out_height"]
    full, rest = divmod(job["pixel_bytes"], port)
    lookups = [-(-port // lanes)] * full + [-(-rest // lanes)] * bool(rest)
    steps = [max(reads, count) for count in lookups]

    read = start + VECTOR_LATENCY + reads - 1  # last read of the first piece
    pieces = pixels * len(lookups)
    if pieces == 1:
        return max(read + 1, tables) + lookups[0] - 1, reads
    # The first piece waits for the tables; from the second on, everything is as regular as the pixels.
    second = max(read + reads, max(read + 1, tables) + lookups[0] - 1)
    last = second + pixels * sum(steps) - steps[0] - steps[-1]
    return last + lookups[-1], pieces * reads
