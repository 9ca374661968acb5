"""The macro's parameters: what is refused, and that every derived width is wide enough and no wider."""

from itertools import product

import pytest
from cimarron.config import PRESETS, ConfigError, MacroConfig


def extremes(rows: int, act_bits: int, weight_bits: int) -> list[int]:
    """Smallest and largest dot products over every combination of signs."""
    ends = {}
    for name, bits in (("x", act_bits), ("w", weight_bits)):
        ends[name] = [0, 2**bits - 1, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1]
    values = [rows * x * w for x, w in product(ends["x"], ends["w"])]
    return [min(values), max(values)]


def signed_bits(value: int) -> int:
    """Bits of a value in two's complement."""
    return (value if value >= 0 else ~value).bit_length() + 1


@pytest.mark.parametrize("rows", [2, 7, 64, 256, 1023])
@pytest.mark.parametrize(
    ("cell_bits", "max_weight_bits", "max_act_bits"),
    [(1, 4, 8), (2, 16, 1), (4, 8, 8), (4, 4, 16), (1, 16, 16), (4, 16, 16)],
)
def test_results_fit_exactly(rows, cell_bits, max_weight_bits, max_act_bits):
    config = MacroConfig(
        rows=rows, words=16, cell_bits=cell_bits, max_weight_bits=max_weight_bits, max_act_bits=max_act_bits
    )
    for bits in config.weight_widths:
        needed = max(map(signed_bits, extremes(rows, max_act_bits, bits)))
        assert config.result_bits_for(bits) == needed
    assert config.result_bits == config.result_bits_for(max_weight_bits)
    assert config.input_sum_bits == max(map(signed_bits, extremes(rows, max_act_bits, 1)))


@pytest.mark.parametrize(("rows", "count_bits"), [(2, 2), (3, 2), (4, 3), (64, 7), (255, 8), (256, 9)])
def test_count_holds_every_number_of_rows(rows, count_bits):
    assert MacroConfig(rows=rows).count_bits == count_bits


@pytest.mark.parametrize(
    ("rows", "cell_bits", "column_bits"), [(64, 4, 10), (256, 4, 12), (2, 1, 2), (3, 2, 4), (17, 4, 8), (18, 4, 9)]
)
def test_column_holds_every_sum(rows, cell_bits, column_bits):
    assert MacroConfig(rows=rows, cell_bits=cell_bits).column_bits == column_bits


@pytest.mark.parametrize(
    ("dial", "cycles"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"planes_per_cycle": 2}, [1, 1, 2, 2, 3, 3, 4, 4]),
        ({"planes_per_cycle": 4, "row_groups": 8}, [8, 8, 8, 8, 16, 16, 16, 16]),
        ({"planes_per_cycle": 8, "row_groups": 2}, [2] * 8),
    ],
)
def test_operations_occupy_the_array_for_their_planes_times_row_groups(dial, cycles):
    config = MacroConfig(**dial)
    assert [config.operation_cycles(act_bits) for act_bits in range(1, 9)] == cycles


@pytest.mark.parametrize("rows", [2, 7, 64])
@pytest.mark.parametrize(
    ("cell_bits", "max_weight_bits", "max_act_bits"), [(1, 1, 1), (1, 16, 1), (2, 2, 8), (4, 8, 8)]
)
def test_results_hold_counts_and_polynomials(rows, cell_bits, max_weight_bits, max_act_bits):
    config = MacroConfig(
        rows=rows, words=16, cell_bits=cell_bits, max_weight_bits=max_weight_bits, max_act_bits=max_act_bits
    )
    assert 2**config.distance_bits > rows * max_weight_bits >= 2 ** (config.distance_bits - 1)
    # Two polynomials of the highest degrees.
    assert config.carryless_bits == len(bin(1 << max_act_bits - 1 + max_weight_bits - 1)) - 2
    # Neither reaches the sign of a result.
    assert max(config.distance_bits, config.carryless_bits) < config.result_bits


@pytest.mark.parametrize(("rows", "words"), [(4, 32), (64, 8), (16, 16)])
def test_transposed_results_fit_exactly(rows, words):
    config = MacroConfig(rows=rows, words=words, transposed=True)
    columns = [end for bits in config.weight_widths for end in extremes(config.outputs(bits), 8, bits)]
    assert config.result_bits == max(map(signed_bits, columns + extremes(rows, 8, 8)))
    assert config.input_sum_bits == max(map(signed_bits, extremes(max(rows, words), 8, 1)))
    assert config.vector_words == config.result_words == max(rows, words)


@pytest.mark.parametrize(("rows", "row_groups", "blocks"), [(64, 1, 8), (64, 4, 2), (20, 1, 3), (20, 10, 1), (5, 1, 1)])
def test_blocks_cover_the_rows_of_a_group(rows, row_groups, blocks):
    config = MacroConfig(rows=rows, row_groups=row_groups)
    assert config.row_blocks == blocks
    assert (blocks - 1) * config.block_rows < config.group_rows <= blocks * config.block_rows
    assert MacroConfig(rows=rows, row_groups=row_groups, gating=False).row_blocks == 1


def test_transposed_operations_take_their_planes_times_rows():
    assert [MacroConfig(rows=8).transposed_cycles(bits) for bits in (1, 2, 8)] == [8, 16, 64]
    config = MacroConfig(rows=8, row_groups=4, planes_per_cycle=4)
    assert [config.transposed_cycles(bits) for bits in (1, 4, 5, 8)] == [8, 8, 16, 16]


def test_geometry_of_the_default():
    config = MacroConfig(rows=64, words=32, cell_bits=4, max_weight_bits=16)
    assert config.weight_widths == (4, 8, 16)
    assert (config.group_words, config.groups) == (4, 8)
    assert (config.row_bits, config.set_bits) == (128, 8192)
    assert [config.outputs(bits) for bits in config.weight_widths] == [32, 16, 8]
    cells256 = PRESETS["cells256"].engine.macro
    assert (cells256.rows, cells256.row_bits) == (256, 256)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rows": 1}, "macro.rows must be an integer from 2 to 1024, not 1"),
        ({"rows": 64.0}, "macro.rows must be an integer from 2 to 1024, not 64.0"),
        ({"rows": True}, "macro.rows must be an integer from 2 to 1024, not True"),
        ({"words": 0}, "macro.words must be an integer from 1 to 1024, not 0"),
        ({"weight_sets": 17}, "macro.weight_sets must be an integer from 1 to 16, not 17"),
        ({"max_act_bits": 0}, "macro.max_act_bits must be an integer from 1 to 16, not 0"),
        ({"planes_per_cycle": 0}, "macro.planes_per_cycle must be an integer from 1 to 8, not 0"),
        ({"planes_per_cycle": 3}, "macro.planes_per_cycle must be a power of two, not 3"),
        (
            {"planes_per_cycle": 8, "max_act_bits": 4},
            "macro.planes_per_cycle must be at most 4, which already takes the 4 planes of max_act_bits in one cycle,"
            " not 8",
        ),
        ({"row_groups": 65}, "macro.row_groups must be an integer from 1 to 64, not 65"),
        ({"row_groups": 3}, "macro.row_groups must divide rows 64, not 3: 64 = 21 * 3 + 1"),
        ({"pipeline": 5}, "macro.pipeline must be an integer from 0 to 4, not 5"),
        (
            {"pipeline": 3, "row_groups": 8},
            "macro.pipeline 3 cuts the adder trees into 4 levels, which needs at least 16 rows in a row group (= 2**4),"
            " not 8 (= rows 64 / row_groups 8)",
        ),
        ({"plane_skipping": 1}, "macro.plane_skipping must be True or False, not 1"),
        ({"bitwise": 1}, "macro.bitwise must be True or False, not 1"),
        ({"transposed": "yes"}, "macro.transposed must be True or False, not 'yes'"),
        ({"carryless": 0}, "macro.carryless must be True or False, not 0"),
        ({"best_match": None}, "macro.best_match must be True or False, not None"),
        ({"self_test": "march"}, "macro.self_test must be True or False, not 'march'"),
        ({"gating": 8}, "macro.gating must be True or False, not 8"),
        ({"double_pumped": 2}, "macro.double_pumped must be True or False, not 2"),
        (
            {"double_pumped": True},
            "macro.double_pumped halves the planes of a cycle, so planes_per_cycle must not be 1",
        ),
        (
            {"double_pumped": True, "planes_per_cycle": 2, "carryless": True},
            "macro.double_pumped is for the multiply-accumulate alone, so bitwise, carryless and transposed must be"
            " False",
        ),
        (
            {"best_match": True},
            "macro.best_match compares the distances that macro.bitwise counts, so bitwise must be True",
        ),
        (
            {"best_match": True, "carryless": True},
            "macro.best_match compares the distances that macro.bitwise counts, so bitwise must be True",
        ),
        ({"adder": "booth"}, "macro.adder must be auto, carry_save, ripple or counters, not 'booth'"),
        ({"target": "xc7"}, "macro.target must be asic, ice40, ecp5 or gowin, not 'xc7'"),
        ({"write_bits": -4}, "macro.write_bits must be an integer from 0 to 128, not -4"),
        ({"write_bits": 32.0}, "macro.write_bits must be an integer from 0 to 128, not 32.0"),
        ({"write_bits": 129}, "macro.write_bits must be an integer from 0 to 128, not 129"),
        (
            {"write_bits": 48},
            "macro.write_bits must divide the 128 bits of a row (= 32 words of 4 b) and hold whole columns of 4 b,"
            " not 48",
        ),
        (
            {"write_bits": 2},
            "macro.write_bits must divide the 128 bits of a row (= 32 words of 4 b) and hold whole columns of 4 b,"
            " not 2",
        ),
        (
            {"storage": "sram"},
            "macro.storage must be flip_flops, latches, lut_ram or block_ram, not 'sram'",
        ),
        ({"storage": True}, "macro.storage must be flip_flops, latches, lut_ram or block_ram, not True"),
        ({"storage": "latches", "target": "ecp5"}, "macro.storage latches needs target asic, not ecp5"),
        ({"storage": "latches", "target": "ice40"}, "macro.storage latches needs target asic, not ice40"),
        ({"storage": "latches", "target": "gowin"}, "macro.storage latches needs target asic, not gowin"),
        ({"storage": "lut_ram"}, "macro.storage lut_ram needs target ecp5 or gowin, not asic"),
        ({"storage": "lut_ram", "target": "ice40"}, "macro.storage lut_ram needs target ecp5 or gowin, not ice40"),
        ({"storage": "block_ram"}, "macro.storage block_ram needs target ice40 or ecp5 or gowin, not asic"),
        (
            {"storage": "lut_ram", "target": "ecp5"},
            "macro.storage lut_ram needs memories of at least 4 rows each, not 2 (= row_groups 1 x weight_sets 2)",
        ),
        (
            {"storage": "block_ram", "target": "ice40", "row_groups": 2, "weight_sets": 1},
            "macro.storage block_ram needs memories of at least 4 rows each, not 2 (= row_groups 2 x weight_sets 1)",
        ),
        ({"cell_bits": 3}, "macro.cell_bits must be 1, 2 or 4, not 3"),
        ({"max_weight_bits": 32}, "macro.max_weight_bits must be an integer from 4 to 16, not 32"),
        ({"max_weight_bits": 2}, "macro.max_weight_bits must be an integer from 4 to 16, not 2"),
        ({"max_weight_bits": 12}, "macro.max_weight_bits must be a power of two, not 12"),
        (
            {"words": 6, "max_weight_bits": 16},
            "macro.words must be divisible by 4 (= max_weight_bits 16 / cell_bits 4), not 6",
        ),
    ],
)
def test_unbuildable_parameters_are_refused_by_name(parameters, message):
    with pytest.raises(ConfigError) as error:
        MacroConfig(**parameters)
    assert str(error.value) == message
