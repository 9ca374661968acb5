"""Additions split into two tables: for every pair of bytes, what the reference computes."""

import numpy as np
import pytest
from cimarron.isa import JOB_FIELDS, Opcode, Profile
from cimarron_sim.compiler.addition import split
from cimarron_sim.reference.add import add
from cimarron_sim.reference.requantise import narrow, requantise_onnx, requantise_tflm
from numpy.typing import DTypeLike
from random_graphs import Builder

BYTES = np.arange(256).astype(np.uint8)


def made_up(
    profile: Profile, scales: tuple[float, float, float], zero_points=(3, -70, 11), dtype: DTypeLike = np.int8
) -> Builder:
    """An addition of two tensors, and its output, of the given scales."""
    builder = Builder((256, 256), np.int8, zero_points[0], profile, scale=scales[0])
    return builder.requantise(scales[1], dtype, zero_points[1]).add("x", scales[2], np.int8, zero_points[2])


def is_split_exactly(builder: Builder) -> bool:
    """Whether there are tables; if so, they must be right."""
    graph = builder.graph()
    node = graph.nodes[-1]
    found = split(graph, node)
    if found is None:
        return False
    a, b = (BYTES.view(graph.tensors[name].dtype) for name in node.inputs)
    expected = add(graph, node, np.repeat(a[:, np.newaxis], 256, axis=1), np.repeat(b[np.newaxis], 256, axis=0))
    total = found.tables[0].astype(np.int64)[:, np.newaxis] + found.tables[1]
    if graph.profile is Profile.ONNX:
        scaled = requantise_onnx(total, found.multiplier * 2.0**found.shift)
    else:
        scaled = requantise_tflm(total, found.multiplier, found.shift)
    y, attributes = graph.tensors[node.outputs[0]], node.attributes
    got = narrow(scaled, y.zero_point, attributes["clamp_min"], attributes["clamp_max"], np.int8)
    np.testing.assert_array_equal(got, expected)
    return True


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize("seed", range(40))
def test_sums_of_any_scales_have_tables(profile, seed):
    random = np.random.default_rng(seed)
    scales = tuple(np.exp(random.uniform(-7, 0, 3)))
    zero_points = tuple(random.integers(-128, 128, 3).tolist())
    assert is_split_exactly(made_up(profile, scales, zero_points))


def test_sums_of_mixed_types_have_tables():
    assert is_split_exactly(made_up(Profile.ONNX, (0.0313, 0.01717, 0.0408), (5, 200, 0), np.uint8))


@pytest.mark.parametrize("scales", [(0.25, 0.5, 0.125), (0.5, 0.5, 1.0), (0.037, 0.037, 0.037)])
def test_exact_halves_round_to_even(scales):
    assert is_split_exactly(made_up(Profile.ONNX, scales))


def test_halves_that_float32_scatters_have_no_tables():
    # Sums of odd numbers lie on a half but for the rounding of their terms, which decides each on its own.
    assert not is_split_exactly(made_up(Profile.ONNX, (0.0371, 0.0371, 0.0742)))


def test_fields_of_both_walks_lie_in_the_same_bits():
    mac, vector = JOB_FIELDS[Opcode.MAC], JOB_FIELDS[Opcode.VECTOR]
    names = {name: name for name in mac.keys() & vector.keys()}
    names |= {"runs": "kernel_w", "run_bytes": "pixel_bytes", "run_step": "column_step", "weight_addr": "table_addr"}
    for in_mac, in_vector in names.items():
        places = [(field.word, field.low, field.bits, field.signed) for field in (mac[in_mac], vector[in_vector])]
        assert places[0] == places[1], in_mac
