"""Damaged models and programs end in a sentence: never in a crash, a hang, or more memory than a good one takes."""

from pathlib import Path

import pytest
from fuzz import complaint, run_batch

#: Inputs that once ended otherwise; found by ``tests/fuzz.py`` in files of our own making.
CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.*"))


@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_files_are_refused_with_a_sentence(seed):
    assert run_batch(seed, 0, 300) == []


@pytest.mark.parametrize("path", CORPUS, ids=[path.name for path in CORPUS])
def test_files_that_failed_once_are_refused_with_a_sentence(path):
    assert complaint(path.suffix[1:], path.read_bytes()) == ""


def test_a_crash_is_noticed():
    # What is no kind of file at all reaches a front end that does not expect it.
    assert complaint("program", None).startswith("TypeError: ")  # type: ignore[arg-type]
