"""Random macros: the generator reaches the whole space, and a sample of it works in both simulators."""

import json
from dataclasses import asdict, fields

import pytest
from cimarron.config import ADDERS, STORAGE_TARGETS, TARGETS, MacroConfig
from cimarron.macro.self_test import macro_of
from cimarron_sim.runner.bench import SIMULATORS, run_bench
from cimarron_sim.runner.verilog import write_verilog
from tblib.macro_coverage import macro_coverage
from tblib.random_configs import DIALS, random_configs

#: Chosen among thousands of seeds so that few have something of everything. More of them: ``python bench/campaign.py
#: --configs 100``.
SAMPLE = {
    f"{seed}-{index}": random_configs(seed, 4, cells=256)[index]
    for seed, index in ((32, 1), (32, 3), (715, 0), (715, 1), (715, 2), (715, 3))
}


def setting(config: MacroConfig) -> tuple[int, bool, bool, bool]:
    return config.planes_per_cycle, config.row_groups > 1, config.plane_skipping, config.pipeline > 0


@pytest.mark.parametrize("cells", [128, 768])
def test_every_setting_of_the_dial_comes_before_one_comes_again(cells):
    configs = random_configs(3, 2 * len(DIALS), cells=cells)
    for part in (configs[: len(DIALS)], configs[len(DIALS) :]):
        assert {setting(config) for config in part} == set(DIALS)
    assert max(config.set_bits * config.weight_sets * config.planes_per_cycle for config in configs) <= cells


def test_every_parameter_is_drawn():
    configs = random_configs(1, 300)
    drawn = {field.name: {getattr(config, field.name) for config in configs} for field in fields(MacroConfig)}
    assert {name for name, values in drawn.items() if len(values) < 2} == set()
    assert drawn["cell_bits"] == {1, 2, 4}
    assert drawn["max_weight_bits"] == {1, 2, 4, 8, 16}
    assert drawn["max_act_bits"] == set(range(1, 17))
    assert drawn["pipeline"] == set(range(5))


def test_the_sample_has_something_of_everything():
    configs = SAMPLE.values()
    assert {config.storage for config in configs} == set(STORAGE_TARGETS)
    assert {config.adder for config in configs} == {"auto", *ADDERS}
    assert {config.target for config in configs} == set(TARGETS)
    assert {config.cell_bits for config in configs} == {1, 2, 4}
    for name in ("bitwise", "best_match", "carryless", "transposed", "gating", "plane_skipping", "self_test"):
        assert {getattr(config, name) for config in configs} == {False, True}, name
    for name in ("row_groups", "planes_per_cycle", "weight_sets"):
        assert {getattr(config, name) > 1 for config in configs} == {False, True}, name
    for name in ("pipeline", "write_bits", "double_pumped"):
        assert {getattr(config, name) > 0 for config in configs} == {False, True}, name


def test_a_seed_gives_the_same_macros_again():
    assert random_configs(5, 4) == random_configs(5, 9)[:4]
    assert random_configs(5, 4) != random_configs(6, 4)


@pytest.mark.cosim
@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("name", SAMPLE)
def test_random_macro_passes_every_bench(name, simulator, tmp_path):
    config = SAMPLE[name]
    source, met = write_verilog(macro_of(config), tmp_path, "macro"), tmp_path / "met.json"
    environment = {"MACRO": json.dumps(asdict(config)), "MACRO_COVERAGE": str(met), "ROUNDS": "6"}
    result = run_bench(source, "macro", "tb_macro", simulator=simulator, env=environment)
    assert len(result.passed) == 9 + (config.weight_sets > 1) + (simulator == "icarus")
    coverage = macro_coverage()
    coverage.add(met)
    if config.beyond_mac:
        run_bench(source, "macro", "tb_operations", simulator=simulator, env={**environment, "MACRO_COVERAGE": ""})
    # Three random tests of six matrices with five operations each; the results of all are counted.
    assert coverage.crosses["operations"].hits.total() >= 3 * 6 * 5
    assert {hit[-1] for hit in coverage.crosses["operations"].hits} == {"taken", "waited"}
