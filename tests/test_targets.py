"""The benches of whole networks: what they hold against a figure."""

import importlib.util
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture(scope="module")
def networks():
    """The bench; not by its name, which a module of the tests has, too."""
    spec = importlib.util.spec_from_file_location("bench_networks", BENCH / "networks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCH)
        spec.loader.exec_module(module)
    return module


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
