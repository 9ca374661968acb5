"""Macros to try: valid configurations over the whole parameter space, reproducible from a seed."""

from dataclasses import replace
from itertools import product
from random import Random

from cimarron.config import ADDERS, STORAGE_TARGETS, TARGETS, MacroConfig

__all__ = ["DIALS", "random_configs"]

#: Settings of the dial that any sample goes through before it repeats one: planes per cycle, whether rows take turns,
#: whether planes are skipped, whether trees are pipelined.
DIALS = tuple(product((1, 2, 4, 8), (False, True), (False, True), (False, True)))


def random_configs(seed: int, count: int, *, cells: int = 768) -> list[MacroConfig]:
    """Valid configurations, evenly spread over `DIALS` and free in everything else.

    Parameters
    ----------
    seed : int
        The same seed gives the same configurations; a longer list begins with the shorter one.
    count : int
    cells : int
        Most bit cells times planes per cycle, and most activation bits times row groups: what a simulation costs. At
        least 128, or some settings of the dial have none.

    Raises
    ------
    ValueError
        If ``cells`` is less.
    """
    if cells < 128:
        raise ValueError(f"cells must be at least 128, not {cells}")
    rng = Random(seed)
    order = rng.sample(DIALS, len(DIALS))
    configs: list[MacroConfig] = []
    while len(configs) < count:
        config = _draw(rng, *order[len(configs) % len(order)])
        products = config.set_bits * config.weight_sets * config.planes_per_cycle
        if max(products, config.rows * config.max_act_bits * config.row_groups) <= cells:
            configs.append(config)
    return configs


def _draw(rng: Random, planes: int, takes_turns: bool, skipping: bool, pipelined: bool) -> MacroConfig:
    """One configuration with that setting of the dial."""
    cell_bits = rng.choice((1, 2, 4))
    max_weight_bits = rng.choice([bits for bits in (1, 2, 4, 8, 16) if bits >= cell_bits])
    row_groups = rng.choice((2, 3, 4, 5, 8)) if takes_turns else 1
    pipeline = rng.choice((1, 1, 2, 3, 4, 4)) if pipelined else 0
    fewest = max(2 ** (pipeline + 1) if pipeline else 1, 2 if row_groups == 1 else 1)
    group_rows = fewest + rng.choice((0, 0, 1, 2, 3, 5, 9))
    bitwise = rng.random() < 0.3
    words = max_weight_bits // cell_bits * rng.choice((1, 1, 2, 3))
    weight_sets, target = rng.choice((1, 2, 2, 2, 3, 4)), rng.choice(TARGETS)
    deep = row_groups * weight_sets >= 4
    storages = [name for name, targets in STORAGE_TARGETS.items() if target in targets]
    storages = [name for name in storages if deep or name not in ("lut_ram", "block_ram")]
    # A whole row, or any number of columns that divides it.
    beats = [0, 0, *(cell_bits * columns for columns in range(1, words) if words % columns == 0)]
    config = MacroConfig(
        write_bits=rng.choice(beats),
        storage=rng.choice(storages),
        bitwise=bitwise,
        best_match=bitwise and rng.random() < 0.5,
        carryless=rng.random() < 0.2,
        transposed=rng.random() < 0.2,
        rows=group_rows * row_groups,
        words=words,
        cell_bits=cell_bits,
        weight_sets=weight_sets,
        max_weight_bits=max_weight_bits,
        max_act_bits=rng.choice([bits for bits in range(1, 17) if bits > planes // 2]),
        planes_per_cycle=planes,
        row_groups=row_groups,
        plane_skipping=skipping,
        pipeline=pipeline,
        adder=rng.choice(("auto", *ADDERS)),
        target=target,
        gating=rng.random() < 0.7,
        self_test=rng.random() < 0.2,
    )
    can_pump = planes > 1 and not config.beyond_mac
    return replace(config, double_pumped=can_pump and rng.random() < 0.3)
