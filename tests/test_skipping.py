"""The bench of plane skipping: planes counted by hand, as the macro's model counts them, over the right activations."""

import json
import sys

import numpy as np
import pytest
from bench_module import bench
from cimarron.config import MacroConfig
from cimarron_sim.reference import execute
from random_graphs import Builder
from tblib.macro import occupied_cycles


@pytest.fixture(scope="module")
def skipping():
    return bench("skipping")


# In the order of `WAYS`: two's complement, its repeated signs left out, x + 128, magnitudes, one sign after the other.
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # Nothing to do takes a cycle; 0 + 128 has a one.
        ([0, 0], [1, 1, 1, 1, 1]),
        # 1111_1111; 1; 0111_1111 | 1000_0000; 1; 1.
        ([-1, 0], [8, 1, 8, 1, 1]),
        # 1000_0000 has no sign to leave out; 0; 1000_0000.
        ([-128, -128], [1, 1, 1, 1, 1]),
        # 0000_0101 | 1111_1101; 0101 | 1101; 1000_0101 | 0111_1101; 101 | 11; 101, then 11.
        ([5, -3], [7, 3, 7, 3, 4]),
        # 0111_1111 | 1000_0000 twice; 1111_1111 | 0; 0111_1111 | 1000_0000; 111_1111, then 1000_0000.
        ([127, -128], [8, 8, 8, 8, 8]),
        # 0100_0000 twice; 1100_0000 | 1000_0000; 0100_0000 twice.
        ([64, 0], [1, 1, 2, 1, 1]),
    ],
    ids=str,
)
def test_planes_are_those_counted_by_hand(skipping, values, expected):
    x = np.array([values, values], np.int64)
    assert [skipping.cycles(way, x).tolist() for way in skipping.WAYS] == [[count, count] for count in expected]


def test_what_is_built_takes_the_cycles_of_the_macro(skipping):
    config = MacroConfig(rows=64, words=2, plane_skipping=True)
    rng = np.random.default_rng(2)
    reach = 2 ** rng.integers(0, 8, (200, 1))
    x = rng.integers(-reach, reach, (200, 64)) & -(2 ** rng.integers(0, 5, (200, 1)))
    expected = [occupied_cycles(config, vector, 8, signed=True) for vector in x]
    assert set(expected) == set(range(1, 9))
    assert skipping.cycles("and repeated signs: as built", x).tolist() == expected


def test_vectors_are_what_layers_with_weights_read(skipping):
    builder = Builder((1, 5, 5, 3), seed=4).conv2d(4, (3, 3)).max_pool((2, 2), (1, 1)).conv2d(6, (1, 1))
    graph, image = builder.graph(), builder.input()
    values = execute(graph, {graph.inputs[0]: image})
    first, _, last = graph.nodes
    expected = []
    for name in (first.inputs[0], last.inputs[0]):
        flat = values[name].ravel().tolist()
        while flat:
            expected.append((flat[:64] + [0] * 64)[:64])
            flat = flat[64:]
    assert len(expected) > 2
    assert skipping.vectors(graph, [image]).tolist() == expected


def test_without_models_it_says_so_and_ends_well(skipping, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["skipping.py"])
    monkeypatch.setattr(skipping.models, "is_present", lambda name: False)
    skipping.main()
    assert "skipped, since the public models are not here: KWS, IC, AD, VWW" in capsys.readouterr().out
    assert json.loads((tmp_path / "build" / "bench" / "skipping.json").read_text()) == []
