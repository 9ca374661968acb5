"""The mutation campaign: a bench that lets the original pass, and sees through mutants."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.cosim
@pytest.mark.slow
# Samples in which ABC decides within its time about every mutant that is not caught.
@pytest.mark.parametrize(("macro", "count", "seed"), [("mac", 12, 3), ("operations", 14, 4), ("dial", 12, 1)])
def test_the_bench_catches_mutants_and_explains_the_others(macro, count, seed, tmp_path):
    report = tmp_path / "mutation.json"
    command = [sys.executable, "bench/mutation.py", "--macro", macro, "--mutants", str(count), "--seed", str(seed)]
    command += ["--output", str(report)]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(report.read_text())
    mutants = counts["mutants"]
    assert len(mutants) == count
    for mutant in mutants:
        assert mutant["detail"].startswith("FAULT" if mutant["outcome"] == "caught" else "PASS")
    assert counts["caught"] >= 0.95 * (count - counts["equivalent"])
    assert "mutants that may change behaviour" in done.stdout
