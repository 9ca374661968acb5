"""Coverage: holes are all that was not met and no more, counts add up, and Verilator's file is read as it is meant."""

import importlib
from itertools import product
from pathlib import Path
from random import Random

import pytest
from tblib.coverage import Coverage, Cross

BENCH = Path(__file__).parents[1] / "bench"
DIMENSIONS = {"bits": (1, 2, 3), "sign": ("no", "yes"), "set": (0, 1)}


@pytest.fixture(scope="module")
def code_coverage():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCH)
        return importlib.import_module("benchlib.code_coverage")


def test_a_value_never_met_is_one_hole():
    cross = Cross(DIMENSIONS)
    for bits, weight_set in product((1, 3), (0, 1)):
        cross.sample(bits=bits, sign="no", set=weight_set)
    cross.sample(bits=1, sign="yes", set=1)
    assert cross.covered == 5
    assert len(cross.bins) == 12
    assert cross.holes() == [{"bits": "2"}, {"bits": "3", "sign": "yes"}, {"sign": "yes", "set": "0"}]


@pytest.mark.parametrize("seed", range(20))
def test_holes_are_exactly_what_was_not_met(seed):
    rng = Random(seed)
    cross = Cross(DIMENSIONS)
    met = rng.sample(list(product(*DIMENSIONS.values())), rng.randrange(13))
    for bits, sign, weight_set in met:
        cross.sample(bits=bits, sign=sign, set=weight_set)
    missing = {tuple(map(str, bin)) for bin in product(*DIMENSIONS.values())} - {tuple(map(str, bin)) for bin in met}
    said = {
        bin
        for bin in cross.bins
        for hole in cross.holes()
        if hole.items() <= dict(zip(DIMENSIONS, bin, strict=True)).items()
    }
    assert said == missing


def test_a_sample_must_have_every_dimension_and_only_known_values():
    cross = Cross({"sign": ("no", "yes")})
    with pytest.raises(ValueError, match="sign must be one of no, yes, not maybe"):
        cross.sample(sign="maybe")
    with pytest.raises(ValueError, match="a sample must have sign, not set"):
        cross.sample(set=1)


def test_runs_add_up(tmp_path):
    runs = []
    for count in (2, 3):
        run = Coverage({"signs": Cross({"sign": ("no", "yes")})})
        for _ in range(count):
            run.crosses["signs"].sample(sign="yes")
        runs.append(tmp_path / f"{count}.json")
        run.save(runs[-1])
    total = Coverage({"signs": Cross({"sign": ("no", "yes")})})
    for path in runs:
        total.add(path)
    assert total.crosses["signs"].hits == {("yes",): 5}
    assert total.crosses["signs"].holes() == [{"sign": "no"}]


def test_points_of_verilator_are_counted_per_module(code_coverage, tmp_path):
    source = tmp_path / "macro.v"
    source.write_text("a\nif (x)\nif (\\start$ ) begin end\nwire y;\n")

    def point(kind: str, module: str, line: int, what: str, count: int) -> str:
        fields = {"f": source, "l": line, "n": 3, "t": kind, "page": f"v_{kind}/{module}", "o": what, "h": "top"}
        text = "".join(f"\1{key}\2{value}" for key, value in fields.items())
        return f"C '{text}' {count}\n"

    counts = tmp_path / "counts.dat"
    counts.write_text(
        "# SystemC::Coverage-3\n"
        + point("branch", "macro.group_0", 2, "if", 7)
        + point("branch", "macro.group_1", 2, "if", 0)
        # Neither what starts a block nor a name that Yosys invented is a point.
        + point("branch", "macro.group_1", 3, "if", 0)
        + point("toggle", "macro.group_1", 4, "__02412[3]:0->1", 0)
        + point("toggle", "macro", 4, "y:0->1", 1)
        + point("line", "macro", 1, "block", 0)
    )
    coverage = code_coverage.CodeCoverage()
    coverage.add("design", counts)
    coverage.add("again", counts)
    assert coverage.rows() == [
        {"module": "macro", "line": "0/2", "branch": "0/0", "toggle": "2/2"},
        {"module": "macro.group", "line": "0/0", "branch": "2/4", "toggle": "0/0"},
        {"module": "total", "line": "0/2", "branch": "2/4", "toggle": "2/2"},
    ]
    assert coverage.share("branch") == 0.5
    assert [(design, point.module, point.kind) for design, point in coverage.holes] == [
        ("design", "macro.group_1", "branch"),
        ("design", "macro", "line"),
        ("again", "macro.group_1", "branch"),
        ("again", "macro", "line"),
    ]
