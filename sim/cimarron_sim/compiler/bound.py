"""How few cycles a layer can take on given hardware, whatever the engine's control does.

Four resources are busy for a number of cycles that follows from the job descriptors alone; they work side by side,
so a layer takes at least the largest:

- **compute**: macro operations times `MacroConfig.operation_cycles`. An operation is one output pixel, or block of
  pixels, one row tile and one word tile. A macro that skips planes takes fewer cycles, as few as one: its bound is that
  one, for what an operation takes depends on the data.
- **weights**: beats of the memory port: ``param_beats`` per record and ``row_beats`` per row of a tile, once per job;
  and what LOAD and STORE jobs move.
- **activations**: reads of the activation buffer. A read delivers ``act_port_bytes`` neighbouring bytes at most, so an
  operation needs ``ceil(bytes / act_port_bytes)`` for each piece of a run that its row tile holds.
- **outputs**: results of operations, ``lanes`` at a time: ``ceil(tile's outputs / lanes)`` per operation, whether they
  are accumulated or requantised.

The weights of a layer may stream while the one before it still computes. Layers that follow one another can therefore
end in quicker succession than a bound says; what holds for each alone holds for a whole network by the sum of each
resource.
"""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from cimarron.config import EngineConfig

from .layer import MacLayer
from .window import Walk

if TYPE_CHECKING:
    from .tiling import Tiling

__all__ = ["NO_BOUND", "Bound", "load_bound", "mac_bound", "peak_macs", "store_bound", "weight_beats"]


@dataclass(frozen=True)
class Bound:
    """Cycles that each resource is busy for."""

    compute: int
    weights: int
    activations: int
    outputs: int

    @property
    def cycles(self) -> int:
        """The least number of cycles: that of the busiest resource."""
        return max(self.compute, self.weights, self.activations, self.outputs)

    @property
    def cycles_without_reads(self) -> int:
        """The same if the activation buffer delivered whole vectors, as a layer's data alone would allow."""
        return max(self.compute, self.weights, self.outputs)

    def __add__(self, other: "Bound") -> "Bound":
        return Bound(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    @property
    def key(self) -> tuple[int, int]:
        """Sorts bounds: of two that are alike, the one with less to do besides is better."""
        return self.cycles, self.compute + self.weights + self.activations + self.outputs


#: That of a layer which leaves the engine alone.
NO_BOUND = Bound(compute=0, weights=0, activations=0, outputs=0)


def peak_macs(config: EngineConfig, act_bits: int, weight_bits: int) -> float:
    """Multiply-accumulates per cycle with every row and column in use, and no plane skipped.

    A layer's utilisation is ``macs / (cycles * peak_macs)``.
    """
    return config.macro.rows * config.macro.outputs(weight_bits) / config.macro.operation_cycles(act_bits)


def _reads(walk: Walk, rows: int, port_bytes: int) -> int:
    """Buffer reads of one pixel, summed over its row tiles of ``rows`` bytes."""
    reads = 0
    start = 0
    for _ in range(walk.kernel_h * walk.runs):
        end = start + walk.run_bytes
        while start < end:
            piece = min(end, (start // rows + 1) * rows) - start
            reads += -(-piece // port_bytes)
            start += piece
    return reads


def weight_beats(tiling: "Tiling", config: EngineConfig) -> int:
    """Beats of the memory port that a weight stream takes, records and rows: every job of its layer reads it once."""
    return tiling.loaded_words * config.param_beats + tiling.loaded_rows(config.macro.rows) * config.row_beats


def mac_bound(layer: MacLayer, tiling: "Tiling", config: EngineConfig, passes: int) -> Bound:
    """Bound of a layer, over as many jobs as ``passes``."""
    pixels = layer.images * tiling.walk.pixels
    drains = sum(-(-words // config.lanes) for words in tiling.tile_words)
    cycles = 1 if config.macro.plane_skipping else config.macro.operation_cycles(layer.act_bits)
    return Bound(
        compute=pixels * tiling.row_tiles * tiling.word_tiles * cycles,
        weights=passes * weight_beats(tiling, config),
        activations=pixels * tiling.word_tiles * _reads(tiling.walk, config.macro.rows, config.act_port_bytes),
        outputs=pixels * tiling.row_tiles * drains,
    )


def store_bound(size: int, config: EngineConfig) -> Bound:
    """Bound of a STORE job of ``size`` bytes: beats of the memory port, and reads of the activation buffer."""
    return Bound(
        compute=0,
        weights=-(-size // config.port_bytes),
        activations=-(-size // config.act_port_bytes),
        outputs=0,
    )


def load_bound(size: int, config: EngineConfig) -> Bound:
    """Bound of a LOAD job of ``size`` bytes: beats of the memory port, and writes of the activation buffer."""
    return Bound(
        compute=0,
        weights=-(-size // config.port_bytes),
        activations=0,
        outputs=-(-size // config.act_port_bytes),
    )
