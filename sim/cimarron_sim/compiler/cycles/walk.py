"""How long the gather takes for a vector."""

from functools import lru_cache

__all__ = ["piece_counts"]


@lru_cache(maxsize=1024)
def piece_counts(runs: int, run_bytes: int, row_tiles: int, rows: int, port_bytes: int) -> tuple[int, ...]:
    """Pieces of a vector of each row tile: a cycle each.

    A piece is up to ``port_bytes`` bytes of one run. The ends of the row tiles cut runs, too.

    Parameters
    ----------
    runs, run_bytes : int
        Runs of an output pixel, over all kernel rows, and bytes of each.
    row_tiles, rows : int
        Row tiles, and rows of all but the last.
    port_bytes : int
        Bytes the activation buffer reads per cycle.
    """
    counts = [0] * row_tiles
    place = 0
    for _ in range(runs):
        left = run_bytes
        while left:
            tile, row = divmod(place, rows)
            size = min(left, rows - row)
            counts[tile] += -(-size // port_bytes)
            place += size
            left -= size
    return tuple(counts)
