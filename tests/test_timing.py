"""The timing diagrams of the datasheet show what the macro does."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def timing():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "examples")
        return importlib.import_module("timing")


def test_every_diagram_is_up_to_date(timing):
    drawn = {f"{name}.svg": timing.draw(scene) for name, scene in timing.SCENES.items()}
    committed = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "timing").glob("*.svg")}
    assert committed == drawn, "draw them anew with `python examples/timing.py`"


def test_every_diagram_is_in_the_datasheet(timing):
    text = (ROOT / "docs" / "macro.md").read_text(encoding="utf-8")
    assert [name for name in timing.SCENES if f"(timing/{name}.svg)" not in text] == []


def test_the_diagrams_show_the_declared_cycles(timing):
    seen = timing.record(timing.SCENES["operations"])
    first, cycles = 1, 3 + 1 + 2
    planes = [cycle for cycle, now in enumerate(seen) if now["plane"]]
    assert planes == list(range(first + 1, first + 1 + cycles))
    answered = [cycle for cycle, now in enumerate(seen) if now["o_stream.valid"]]
    # Latency is 4 cycles plus those of the operation, less one.
    assert answered == [first + 4 + 3 - 1, first + 4 + 3 + 1 - 1, first + 4 + cycles - 1]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1, 1, 0], {"name": "n", "wave": "01.0"}),
        ([None, "a", "a", "b", None], {"name": "n", "wave": "x=.=x", "data": ["a", "b"]}),
    ],
)
def test_a_lane_changes_where_its_values_do(timing, values, expected):
    assert timing.lane("n", values) == expected
