"""Would a layer be faster with its activations kept and its weights read again, instead of the other way round?

The engine loads each weight tile once per job and uses it for all pixels. Here is what the other order could reach at
best: every block of pixels meets all weight tiles before the next one. Then no activation is read twice, and no partial
sum is kept, but tiles that the macro's weight sets cannot hold are loaded again for every block.

Nothing is simulated. Each layer gets the other order's bound, of the resources of `cimarron_sim.compiler.bound`, for
every way the compiler considers to cut it, and the least of these. It is optimistic: nothing fills or drains, sums cost
nothing, of t tiles and s sets only t - s are loaded again (blocks being computed forwards and backwards in turn), and
the reads of a dense layer are divided by its word tiles. Beside it is what the cycle model says of the layer as cut.
Run as ``python bench/loop_order.py [CONFIG]``; prints a table per network and writes ``build/bench/loop_order.json``.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from benchlib import models
from cimarron.config import EngineConfig, load_config
from cimarron_sim.compiler.bound import Bound, mac_bound
from cimarron_sim.compiler.layer import MacLayer
from cimarron_sim.compiler.mapping import Candidate, candidates
from cimarron_sim.compiler.operator import EngineLayer
from cimarron_sim.compiler.plan import plan_network
from cimarron_sim.graph import Graph

OUTPUT = Path("build/bench")


def other_order(bound: Bound, *, pixels: int, row_tiles: int, word_tiles: int, sets: int, shares_reads: bool) -> Bound:
    """The least a layer takes that keeps its activations.

    Parameters
    ----------
    bound : Bound
        Of the layer cut alike, as one job: its weights are read once.
    pixels : int
        Blocks of output pixels, over all images.
    row_tiles, word_tiles : int
    sets : int
        Weight sets of the macro.
    shares_reads : bool
        Whether all word tiles read the same activations: not in a depthwise layer.
    """
    tiles = row_tiles * word_tiles
    again = -(-(pixels - 1) * max(0, tiles - sets) * bound.weights // tiles)
    reads = -(-bound.activations // word_tiles) if shares_reads else bound.activations
    return dataclasses.replace(bound, weights=bound.weights + again, activations=reads)


def _other(layer: MacLayer, way: Candidate, config: EngineConfig) -> Bound:
    tiling = way.tiling
    return other_order(
        mac_bound(layer, tiling, config, passes=1),
        pixels=layer.images * tiling.walk.pixels,
        row_tiles=tiling.row_tiles,
        word_tiles=1 if tiling.is_shared else tiling.word_tiles,
        sets=config.macro.weight_sets,
        shares_reads=not layer.channel_outputs,
    )


def layers_of(graph: Graph, config: EngineConfig) -> list[dict[str, Any]]:
    """Both orders of every layer that the macro computes."""
    records = []
    for operator in plan_network(graph, config)[1].operators:
        if not isinstance(operator, EngineLayer):
            continue
        chosen = operator.candidate
        # That which reads strips, where the input is copied to some: the copy is not charged to the other order.
        main, tiling = chosen.parts[-1].layer, chosen.tiling
        ways = [(operator.layer, way) for way in candidates(operator.layer, config)]
        ways += [(main, way) for way in candidates(main, config, tiling.x_planes, tiling.y_planes)]
        best = min((_other(layer, way, config) for layer, way in ways), key=lambda bound: bound.key)
        least = min(way.bound.cycles for _, way in ways)
        records.append(
            {
                "layer": operator.layer.name,
                "op": operator.layer.node.op,
                "cycles": chosen.cycles,
                "bound": min(least, chosen.bound.cycles),
                "other_bound": best.cycles,
                "other_weights": best.weights,
            }
        )
    return records


def main() -> None:
    """All networks that are there."""
    config = load_config(sys.argv[1] if len(sys.argv) > 1 else "default")
    networks = {
        name: layers_of(models.read(name), config.engine) for name in filter(models.is_present, models.NETWORKS)
    }
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "loop_order.json").write_text(json.dumps(networks, indent=2) + "\n")
    for name, records in networks.items():
        print(f"{name:30}   cycles now   bound now   bound kept activations   of these, weights")
        for record in records:
            print(
                f"  {record['layer'][:28]:28}   {record['cycles']:10,}  {record['bound']:10,}"
                f"  {record['other_bound']:23,}  {record['other_weights']:18,}"
            )
    everything = [record for records in networks.values() for record in records]
    slower = [record for record in everything if record["other_bound"] > record["bound"]]
    equal = [record for record in everything if record["other_bound"] == record["bound"]]
    least = min((record["other_bound"] / record["cycles"] for record in slower), default=0)
    print(
        f"{len(everything)} layers: {len(slower)} with a larger bound, at least {least:.2f} times their cycles now;"
        f" {len(equal)} with the same; {len(everything) - len(slower) - len(equal)} with a smaller one"
    )


if __name__ == "__main__":
    main()
