"""The benches of whole networks: what they hold against a figure."""

import pytest
from bench_module import bench
from cimarron.config import PRESETS
from cimarron_sim.compiler.bound import Bound


@pytest.fixture(scope="module")
def networks():
    return bench("networks")


@pytest.fixture(scope="module")
def loop_order():
    return bench("loop_order")


def record(**changes):
    return {"network": "KWS", "cycles": 22_000, "target": 45_000, "bound": 20_000, "mismatches": 0, **changes}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"cycles": 45_000, "bound": 45_000}, []),
        ({"cycles": 45_001, "bound": 45_001}, ["KWS: 45,001 cycles, more than the target of 45,000"]),
        ({"cycles": 21_999, "bound": 20_000}, []),
        ({"cycles": 22_001}, ["KWS: 22,001 cycles, more than 1.10 times the bounds' 20,000"]),
        ({"mismatches": 2}, ["KWS: 2 tensors differ from the reference"]),
    ],
)
def test_a_network_may_exceed_neither_its_target_nor_its_bounds(networks, changes, said):
    assert networks.failures(record(**changes), "default") == said


def test_other_presets_have_no_target_but_must_agree(networks):
    slow = record(cycles=10**9)
    assert networks.failures(slow, "tiny") == []
    assert networks.failures({**slow, "mismatches": 1}, "tiny") == ["KWS: 1 tensors differ from the reference"]


def test_targets_are_a_third_of_the_best_published(networks):
    # Syntiant NDP120: 134,000 and 391,000; GreenWaves GAP9: 228,000 and 65,000; MLPerf Tiny v1.0, closed division.
    thirds = {name: round(cycles / 3 / 1000) for name, cycles in networks.PUBLISHED.items()}
    assert thirds == {"KWS": 45, "IC": 76, "AD": 22, "VWW": 130}
    assert {name: 1000 * third for name, third in thirds.items()} == networks.TARGETS


@pytest.mark.parametrize(
    ("changes", "weights", "activations"),
    [
        # Of 2 x 2 tiles the two that do not fit come again for 4 of 5 pixels: half of 40 beats, four times.
        ({}, 40 + 80, 40),
        ({"pixels": 1}, 40, 40),
        ({"sets": 4}, 40, 40),
        ({"sets": 1}, 40 + 120, 40),
        ({"shares_reads": False}, 40 + 80, 80),
    ],
)
def test_kept_activations_cost_weights_and_save_reads(loop_order, changes, weights, activations):
    bound = Bound(compute=100, weights=40, activations=80, outputs=10)
    case = {"pixels": 5, "row_tiles": 2, "word_tiles": 2, "sets": 2, "shares_reads": True, **changes}
    other = Bound(compute=100, weights=weights, activations=activations, outputs=10)
    assert loop_order.other_order(bound, **case) == other


def test_no_layer_has_a_smaller_bound_if_activations_are_kept(loop_order):
    models = loop_order.models
    names = [name for name in models.NETWORKS if models.is_present(name) and name != "VWW"]
    if not names:
        pytest.skip("the public models are not here")
    for name in names:
        for layer in loop_order.layers_of(models.read(name), PRESETS["default"].engine):
            assert layer["other_bound"] >= layer["bound"], (name, layer)
            assert layer["other_bound"] == layer["bound"] or layer["other_bound"] > 4 * layer["cycles"], (name, layer)
