"""What is shipped must be complete, and the targets of the Makefile must be what they say."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TARGETS = ("help", "sim", "test", "verilog", "bitstream", "lint", "firmware", "waves", "bench", "clean")


def run(*command, **options):
    """Standard output of a program that must succeed, started as if from no other make."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(command, text=True, capture_output=True, check=False, env=environment, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The built wheel."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_holds_both_packages_and_their_data(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
    tracked = run("git", "ls-files", "hdl", "sim", cwd=ROOT).split()
    shipped = {str(Path(*Path(name).parts[1:])) for name in tracked}
    assert shipped <= names
    assert {"cimarron_sim/runner/harness.cpp", "cimarron_sim/runner/waivers.vlt"} <= names
    assert {"cimarron_sim/runner/public.vlt", "cimarron_sim/firmware/firmware.bin"} <= names
    assert not any(name.startswith(("tests/", "tb/", "bench/")) for name in names)
    assert "License-Expression: BSD-2-Clause" in metadata
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_wheel_works_from_a_folder_of_its_own(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import cimarron, cimarron_sim\n"
        "assert cimarron.__file__.startswith(sys.argv[1]), cimarron.__file__\n"
        "assert cimarron_sim.__file__.startswith(sys.argv[1]), cimarron_sim.__file__\n"
        "from cimarron_sim.firmware import load\n"
        "from cimarron_sim.runner.verilator import WAIVERS\n"
        "assert load() and WAIVERS.is_file()\n"
        "from cimarron_sim.cli import main\n"
        "main(['verilog', '--top', 'macro', '--config', 'tiny', '-o', 'out'])\n"
    )
    assert "macro.v" in run(sys.executable, "-c", program, str(tmp_path / "installed"), cwd=tmp_path)
    assert (tmp_path / "out" / "macro.v").is_file()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_explains_every_target():
    listed = re.findall(r"^  make (\w+)\s+\S", run("make", "-C", str(ROOT), "--no-print-directory"), re.MULTILINE)
    assert tuple(listed) == TARGETS


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", [target for target in TARGETS if target not in ("help", "clean")])
def test_make_needs_no_environment_but_the_active_one(target):
    # With every package at hand, a target is its command alone: nothing is installed.
    plan = run("make", "-n", target, f"PYTHON={sys.executable}", cwd=ROOT)
    assert "pip install" not in plan
    assert sys.executable in plan


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_tests_run_on_every_core_unless_told_otherwise():
    arguments = ["make", "-n", "--no-print-directory", "test", f"PYTHON={sys.executable}"]
    # The make that runs this test may have been told otherwise itself.
    assert " -n auto " in run(*arguments, "JOBS=", "ARGS=", cwd=ROOT)
    plan = run(*arguments, "JOBS=3", "ARGS=-k macro", cwd=ROOT)
    assert " -n 3 " in plan
    assert plan.endswith("results.xml -k macro\n")


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_builds_an_environment_where_there_is_none(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    plan = run("make", "-n", "lint", f"PYTHON={python}", cwd=tmp_path)
    assert f"{python} -m venv .venv" in plan
    assert '.venv/bin/python -m pip install --quiet --editable ".[fpga,oracle,registers,report]" --group dev' in plan
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "ready").touch()
    os.utime(tmp_path / "pyproject.toml", (1, 1))
    plan = run("make", "-n", "lint", f"PYTHON={python}", cwd=tmp_path)
    assert "pip install" not in plan


def test_continuous_integration_is_lint_and_test():
    script = (ROOT / ".ci" / "run").read_text()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert script.index("make lint") < script.index("make test")
    assert "iverilog" in script
    (workflow,) = (ROOT / ".github" / "workflows").glob("*")
    steps = re.findall(r"^ +- run: (.*)$", workflow.read_text(), re.MULTILINE)
    assert [step for step in steps if "apt-get" not in step] == [".ci/run", "make sim"]


def test_changelog_names_the_version():
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{version[1]}]" in changelog or "## [Unreleased]" in changelog
