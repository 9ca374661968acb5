"""The macro's operations beyond multiply-accumulate, cycle by cycle against models that integers have checked."""

import json
import re
from dataclasses import asdict, replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator
from cimarron.config import MacroConfig
from cimarron.macro.best_match import BestMatch
from cimarron.macro.macro import Macro
from cimarron.macro.ports import Operation, OperationLayout
from cimarron_sim.reference.bitwise import best_match, bit_counts
from cimarron_sim.reference.carryless import carryless_products
from cimarron_sim.runner.bench import SIMULATORS, run_bench
from cimarron_sim.runner.verilog import write_verilog
from tblib.macro import occupied_cycles, operations_of, random_integers, row_payloads
from test_macro import matrices, name, simulate, vectors

ALL: dict[str, Any] = dict(bitwise=True, best_match=True, carryless=True, transposed=True)
GEOMETRIES = [
    MacroConfig(rows=3, words=4, cell_bits=1, max_weight_bits=1, max_act_bits=2, weight_sets=3, **ALL),
    MacroConfig(rows=5, words=8, cell_bits=1, max_weight_bits=8, max_act_bits=4, **ALL),
    MacroConfig(rows=4, words=6, cell_bits=2, max_weight_bits=4, max_act_bits=5, **ALL),
    MacroConfig(rows=7, words=4, cell_bits=4, max_weight_bits=16, max_act_bits=3, **ALL),
    MacroConfig(rows=2, words=1, cell_bits=4, max_weight_bits=4, max_act_bits=8, weight_sets=1, **ALL),
    # One option at a time.
    MacroConfig(rows=5, words=4, cell_bits=2, max_weight_bits=4, max_act_bits=3, bitwise=True),
    MacroConfig(rows=5, words=4, cell_bits=1, max_weight_bits=2, max_act_bits=3, carryless=True),
    MacroConfig(rows=5, words=4, cell_bits=2, max_weight_bits=4, max_act_bits=3, transposed=True),
    # The dial; 3 and 5 activation bits do not fill the last group of planes.
    MacroConfig(rows=6, words=4, cell_bits=2, max_weight_bits=4, max_act_bits=3, planes_per_cycle=2, **ALL),
    MacroConfig(rows=6, words=4, max_act_bits=5, planes_per_cycle=8, row_groups=3, **ALL),
    MacroConfig(rows=6, words=4, max_act_bits=4, row_groups=2, plane_skipping=True, **ALL),
    MacroConfig(
        rows=8, words=8, cell_bits=1, max_act_bits=5, planes_per_cycle=2, row_groups=2, plane_skipping=True, **ALL
    ),
    MacroConfig(rows=9, words=4, max_act_bits=3, pipeline=2, adder="ripple", **ALL),
    MacroConfig(rows=9, words=10, cell_bits=2, max_weight_bits=4, max_act_bits=3, pipeline=1, target="ecp5", **ALL),
]
SMALL = MacroConfig(rows=4, words=4, cell_bits=2, max_weight_bits=4, max_act_bits=4, weight_sets=3, **ALL)


def named(config: MacroConfig) -> str:
    options = [option for option in ALL if getattr(config, option)]
    return f"{name(config)}-{'all' if len(options) == len(ALL) else '-'.join(options)}"


def inputs(rng: np.random.Generator, config: MacroConfig, bits: int, signed: bool) -> list[np.ndarray]:
    """Vectors as long as the macro takes, whose extremes are extremes for every operation."""
    return vectors(rng, replace(config, rows=config.vector_words, row_groups=1, pipeline=0), bits, signed)


@pytest.mark.parametrize("config", [MacroConfig(rows=4, words=4), MacroConfig(rows=4, words=4, plane_skipping=True)])
def test_a_macro_without_options_has_nothing_of_them(config, tmp_path):
    text = write_verilog(Macro(config), tmp_path, "macro").read_text()
    traces = "operation|word_lines|x_bar|carryless|parit|row_driver|row_product|best|columns|used|final"
    assert not [line for line in text.splitlines() if re.search(rf"\b({traces})", line)]
    assert [field for field, _ in OperationLayout(config)] == ["x", "bits", "signed", "set", "idle"]


def test_a_macro_without_gating_has_nothing_of_it(tmp_path):
    config = MacroConfig(rows=16, words=4, gating=False)
    text = write_verilog(Macro(config), tmp_path, "macro").read_text()
    assert not [line for line in text.splitlines() if re.search(r"\b\w*(idle|awake)", line)]
    assert [field for field, _ in OperationLayout(config)] == ["x", "bits", "signed", "set"]
    assert config.row_blocks == 1


@pytest.mark.parametrize("config", GEOMETRIES, ids=named)
def test_every_operation_is_exact_in_every_format(config):
    rng = np.random.default_rng(31)

    async def script(session):
        for bits in config.weight_widths:
            for signed in (False, True):
                for weights in matrices(rng, config, bits, signed):
                    weight_set = int(rng.integers(config.weight_sets))
                    session.write(weight_set, weights, bits, signed)
                    while session.writes:
                        await session.cycle()
                    for act_bits in sorted({1, min(3, config.max_act_bits), config.max_act_bits}):
                        for operation in operations_of(config):
                            act_signed = bool(rng.integers(2))
                            for x in inputs(rng, config, act_bits, act_signed):
                                idle = int(rng.integers(1 << config.groups)) if rng.integers(3) == 0 else 0
                                session.operate(weight_set, x, act_bits, act_signed, operation, idle)
                    await session.drain()

    simulate(config, script)


def test_every_pair_of_matrix_and_vector_of_a_tiny_macro():
    config = MacroConfig(rows=2, words=2, cell_bits=1, max_weight_bits=2, max_act_bits=2, weight_sets=1, **ALL)

    async def script(session):
        for bits, signed in product(config.weight_widths, (False, True)):
            for code in range(16):
                for row in range(2):
                    values = [code >> row * 2 + column * bits & (1 << bits) - 1 for column in range(2 // bits)]
                    session.writes.extend(row_payloads(config, 0, row, bits, signed, values))
                while session.writes:
                    await session.cycle()
                for x in product(range(4), repeat=2):
                    for operation in list(Operation)[1:]:
                        session.operate(0, x, 2, signed, operation)
                while session.operations:
                    await session.cycle()

    session = simulate(config, script)
    assert len(session.answered) == 4 * 16 * 16 * 5


@pytest.mark.parametrize("config", [SMALL, *GEOMETRIES[8:]], ids=named)
def test_operations_take_their_declared_cycles_back_to_back(config):
    rng = np.random.default_rng(37)
    cycles, distances = [], []

    async def script(session):
        bits = config.weight_widths[-1]
        session.write(0, random_integers(rng, bits, True, (config.rows, config.outputs(bits))), bits, True)
        await session.drain()
        for operation in [*rng.permutation(6), *rng.permutation(6), *rng.permutation(6)]:
            act_bits, signed = int(rng.integers(1, config.max_act_bits + 1)), bool(rng.integers(2))
            x = random_integers(rng, act_bits, signed, config.vector_words)
            session.operate(0, x, act_bits, signed, operation)
            distances.append(operation == Operation.XOR)
            cycles.append(occupied_cycles(config, x, act_bits, signed, Operation(operation)))

    session = simulate(config, script)
    assert np.diff(session.taken).tolist() == cycles[:-1]
    waits = [out - into for into, out in zip(session.taken, session.answered, strict=True)]
    assert waits == [session.dut.latency + count - 1 for count in cycles]
    assert session.dut.latency == 4 + config.pipeline
    assert session.planes == list(range(session.taken[0] + 1, session.taken[0] + 1 + sum(cycles)))
    rounds = next(rounds for rounds in range(1, 11) if 2**rounds >= config.words)
    answers = [cycle for cycle, distance in zip(session.answered, distances, strict=True) if distance]
    assert session.matched == [cycle + rounds for cycle in answers]


@pytest.mark.parametrize("stall", [0.3, 0.8])
@pytest.mark.parametrize("config", [SMALL, GEOMETRIES[9], GEOMETRIES[11], GEOMETRIES[13]], ids=named)
def test_stalls_lose_and_repeat_nothing(config, stall):
    rng = np.random.default_rng(41)

    async def script(session):
        for _ in range(15):
            weight_set = int(rng.integers(config.weight_sets))
            bits, signed = int(rng.choice(config.weight_widths)), bool(rng.integers(2))
            weights = random_integers(rng, bits, signed, (config.rows, config.outputs(bits)))
            session.write(weight_set, weights, bits, signed)
            while session.writes:
                await session.cycle()
            for operation in rng.integers(0, 6, 6):
                act_bits, act_signed = int(rng.integers(1, config.max_act_bits + 1)), bool(rng.integers(2))
                x = random_integers(rng, act_bits, act_signed, config.vector_words)
                session.operate(weight_set, x, act_bits, act_signed, operation)
            while session.operations:
                await session.cycle()

    session = simulate(config, script, seed=5, stall=stall)
    assert len(session.answered) == 90


def lacking(**options: Any) -> MacroConfig:
    return MacroConfig(rows=3, words=4, weight_sets=3, **options)


@pytest.mark.parametrize(
    ("config", "codes"),
    [
        (lacking(bitwise=True), [4, 5, 6, 7]),
        (lacking(carryless=True), [1, 2, 3, 5, 6, 7]),
        (lacking(transposed=True), [1, 2, 3, 4, 6, 7]),
        (lacking(**ALL), [6, 7]),
        (lacking(plane_skipping=True, planes_per_cycle=2, carryless=True), [1, 2, 3, 5]),
    ],
    ids=["bitwise", "carryless", "transposed", "all", "skip"],
)
def test_operations_this_macro_lacks_are_answered_with_an_error(config, codes):
    good = operations_of(config)
    impossible = [(0, 2, code) for code in codes]
    impossible += [(weight_set, bits, code) for weight_set, bits in [(0, 0), (0, 9), (3, 8)] for code in range(8)]
    cycles = []

    async def script(session):
        session.write(0, np.full((3, 4), -8), 4, True)
        await session.drain()
        for index, (weight_set, bits, code) in enumerate(impossible):
            operation = good[index % len(good)]
            x = np.array([1, 2, 3, 1])[: config.vector_words]
            session.operate(0, x, 2, False, operation)
            session.operate(weight_set, [255] * config.vector_words, bits, True, code)
            cycles.extend([occupied_cycles(config, x, 2, False, operation), 1])

    session = simulate(config, script)
    # An error takes one cycle, which is no plane, and its neighbours are as fast as ever.
    assert np.diff(session.answered).tolist() == cycles[1:]
    assert len(session.planes) == sum(cycles[::2])


@pytest.mark.parametrize("operation", list(Operation)[1:])
def test_writing_an_idle_set_costs_no_cycle_and_the_computing_set_is_protected(operation):
    rng = np.random.default_rng(43)
    cycles = occupied_cycles(SMALL, np.ones(4, np.int64), 4, False, operation)

    async def script(session):
        for weight_set in range(3):
            session.write(weight_set, random_integers(rng, 4, False, (4, 2)), 4, False)
        await session.drain()
        for _ in range(4):
            session.operate(0, random_integers(rng, 4, False, 4), 4, False, operation)
        session.write(1, random_integers(rng, 2, True, (4, 4)), 2, True)
        # Waits until the last operation has left the array.
        session.write(0, random_integers(rng, 2, True, (4, 4)), 2, True)
        while session.writes:
            await session.cycle()
        for weight_set in range(2):
            session.operate(weight_set, random_integers(rng, 3, True, 4), 3, True, operation)

    session = simulate(SMALL, script)
    assert np.diff(session.taken[:4]).tolist() == [cycles] * 3
    assert np.diff(session.written[12:16]).tolist() == [1] * 3
    assert session.written[16] == session.taken[3] + cycles + 1


@pytest.mark.parametrize("words", [1, 2, 3, 5])
def test_best_match_is_the_first_of_the_least(words):
    config = MacroConfig(rows=3, words=words, cell_bits=1, max_weight_bits=1, bitwise=True, best_match=True)
    dut = BestMatch(config)
    results = list(product(range(4), repeat=words))
    seen = []

    async def testbench(ctx):
        for distances in [*results, *[None] * dut.latency]:
            ctx.set(dut.valid, distances is not None)
            for pin, distance in zip(dut.distances, distances or [0] * words, strict=True):
                ctx.set(pin, distance)
            if ctx.get(dut.best.valid):
                seen.append((ctx.get(dut.best.index), ctx.get(dut.best.distance)))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    assert seen == [(distances.index(min(distances)), min(distances)) for distances in results]


@pytest.mark.parametrize(("width", "places"), [(0, [0, 1, 2, 3, 4, 5]), (1, [0, 2, 4])])
def test_best_match_counts_outputs_instead_of_columns(width, places):
    config = MacroConfig(rows=7, words=6, cell_bits=1, max_weight_bits=2, bitwise=True, best_match=True)
    dut = BestMatch(config)
    largest = 2**config.distance_bits - 1
    seen = []

    async def testbench(ctx):
        ctx.set(dut.valid, 1)
        ctx.set(dut.width, width)
        for best in places:
            for word, pin in enumerate(dut.distances):
                ctx.set(pin, (largest - (word == best)) if word in places else 0)
            await ctx.tick().repeat(dut.latency)
            seen.append((ctx.get(dut.best.index), ctx.get(dut.best.distance)))

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    assert seen == [(index, largest - 1) for index in range(len(places))]


def integer_bits(value: int, bits: int) -> list[int]:
    return [value >> bit & 1 for bit in range(bits)]


def test_references_are_integer_arithmetic():
    rng = np.random.default_rng(47)
    gates = {"and": lambda a, b: a * b, "xor": lambda a, b: (a + b) % 2, "xnor": lambda a, b: (a + b + 1) % 2}
    for x_bits, w_bits in product((1, 3, 8), (1, 4, 8)):
        x = rng.integers(-(2 ** (x_bits - 1)), 2**x_bits, (2, 5))
        w = rng.integers(-(2 ** (w_bits - 1)), 2**w_bits, (5, 3))
        bits = min(x_bits, w_bits)
        for operation, gate in gates.items():
            expected = [
                [
                    sum(
                        gate(a, b)
                        for row in range(5)
                        for a, b in zip(
                            integer_bits(int(vector[row]), bits), integer_bits(int(w[row, j]), bits), strict=True
                        )
                    )
                    for j in range(3)
                ]
                for vector in x
            ]
            assert bit_counts(operation, x, w, bits).tolist() == expected
        x, w = x & 2**x_bits - 1, w & 2**w_bits - 1
        expected = []
        for vector in x:
            expected.append([])
            for j in range(3):
                # Coefficient n is the sum of the products of all pairs of coefficients whose exponents add up to n.
                coefficients = [0] * (x_bits + w_bits - 1)
                for row in range(5):
                    for a, x_bit in enumerate(integer_bits(int(vector[row]), x_bits)):
                        for b, w_bit in enumerate(integer_bits(int(w[row, j]), w_bits)):
                            coefficients[a + b] += x_bit * w_bit
                expected[-1].append(sum(count % 2 << exponent for exponent, count in enumerate(coefficients)))
        assert carryless_products(x, w).tolist() == expected


def test_carryless_product_of_a_known_polynomial():
    # The product in GF(2)[x] of {57} and {83}, before its reduction: FIPS 197, section 4.2, the worked example.
    assert carryless_products([0x57], [[0x83]]).tolist() == [0b10101101111001]


def test_agreement_is_the_dot_product_of_signs():
    rng = np.random.default_rng(53)
    x, w = rng.integers(0, 2, 64), rng.integers(0, 2, (64, 9))
    assert (2 * bit_counts("xnor", x, w, 1) - 64).tolist() == ((2 * x - 1) @ (2 * w - 1)).tolist()


def test_references_refuse_what_they_cannot_answer():
    with pytest.raises(ValueError, match="operation must be and, xor or xnor, not 'nand'"):
        bit_counts("nand", [1], [[1]], 1)
    for reference in (lambda x, w: bit_counts("and", x, w, 1), carryless_products):
        with pytest.raises(ValueError, match=r"x of shape \(2,\) cannot \w+ w of shape \(1, 1\)"):
            reference([1, 0], [[1]])
    with pytest.raises(ValueError, match="polynomials over GF\\(2\\) have no sign: x and w must not be negative"):
        carryless_products([-1], [[1]])
    with pytest.raises(ValueError, match="products of 40 x 24 bits could leave int64"):
        carryless_products([2**39], [[2**23]])
    assert best_match([3, 1, 2, 1]) == (1, 1)


COSIM_GEOMETRIES = [
    MacroConfig(rows=12, words=8, cell_bits=1, max_weight_bits=4, max_act_bits=4, **ALL),
    MacroConfig(rows=10, words=12, cell_bits=2, max_weight_bits=8, max_act_bits=5, weight_sets=3, pipeline=1, **ALL),
    MacroConfig(rows=8, words=8, planes_per_cycle=2, row_groups=2, max_act_bits=7, plane_skipping=True, **ALL),
    MacroConfig(rows=5, words=4, cell_bits=1, max_weight_bits=2, max_act_bits=3, write_bits=2, **ALL),
]


@pytest.mark.cosim
@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("config", COSIM_GEOMETRIES, ids=named)
def test_operations_bench(config, simulator, tmp_path):
    source = write_verilog(Macro(config), tmp_path, "macro")
    env = {"MACRO": json.dumps(asdict(config))}
    result = run_bench(source, "macro", "tb_operations", simulator=simulator, env=env)
    assert len(result.passed) == 6
