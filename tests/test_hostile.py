"""What users do by mistake, and machines by accident: one sentence, the right exit code, nothing half-written."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cimarron.config import ConfigError, load_config
from cimarron_sim.compiler.program import Program
from cimarron_sim.frontend import load
from cimarron_sim.inputs import InputError, read_inputs
from cimarron_sim.report.folder import FolderError, check_file, check_folder, check_place, replaced_folder
from cimarron_sim.runner.bench import run_bench
from cimarron_sim.runner.tools import ToolError
from cimarron_sim.runner.verilog import write_text
from test_cli import call, model_file, refusal


@pytest.fixture
def model(tmp_path):
    """Path of a model that runs."""
    return model_file(tmp_path / "small.onnx")


@pytest.fixture
def inputs(tmp_path):
    """Path of an input for it."""
    path = tmp_path / "input.npy"
    np.save(path, np.zeros((1, 12), np.float32))
    return path


def listing(folder):
    """Every path below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture(scope="module")
def build_dir(tmp_path_factory):
    """A build folder that never held a simulator."""
    return tmp_path_factory.mktemp("build")


def children(pid):
    """Processes that a process started."""
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def full_disk(monkeypatch):
    """No file takes a byte more."""

    def refuse(path, *content, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    monkeypatch.setattr(Path, "write_text", refuse)


@pytest.mark.parametrize("place", ["file", "file/below", "/dev/null/below"])
@pytest.mark.parametrize("command", ["compile", "run", "verilog"])
def test_an_output_that_cannot_be_a_folder_is_refused_at_once(command, place, model, inputs, tmp_path):
    (tmp_path / "file").write_text("mine")
    arguments = {"compile": [model], "run": [model, "--input", inputs], "verilog": []}[command]
    before = listing(tmp_path)
    sentence = refusal(command, *arguments, "-o", tmp_path / place)
    assert "is a file: choose another output folder" in sentence
    assert listing(tmp_path) == before


def test_a_build_folder_that_is_a_file_is_refused(model, inputs, tmp_path):
    sentence = refusal("run", model, "--input", inputs, "-o", tmp_path / "r", "--build-dir", model)
    assert f"{model} is a file: choose another build folder" in sentence


def test_a_trace_that_cannot_be_written_is_refused(model, inputs, tmp_path):
    arguments = ("run", model, "--input", inputs, "-o", tmp_path / "r", "--trace")
    assert "does not exist: create it" in refusal(*arguments, tmp_path / "absent" / "x.vcd")
    assert "is a folder: choose another file" in refusal(*arguments, tmp_path)
    assert not (tmp_path / "r").exists()


def test_a_place_without_permission_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "access", lambda *arguments: False)
    for check in (check_place, check_folder, check_file):
        with pytest.raises(FolderError, match="may not be written: choose another"):
            check(tmp_path / "new")


def test_a_full_disk_leaves_nothing(model, tmp_path, full_disk):
    before = listing(tmp_path)
    code, _, stderr = call("compile", model, "--config", "tiny", "-o", tmp_path / "p")
    assert code == 2
    assert re.fullmatch(r"cimarron: .*program\.\w+: No space left on device: make room there\n", stderr)
    with pytest.raises(OSError, match="No space"):
        write_text(tmp_path / "v.v", "module v; endmodule")
    assert listing(tmp_path) == before


def test_a_program_that_cannot_be_replaced_stays(model, tmp_path, monkeypatch):
    assert call("compile", model, "--config", "tiny", "-o", tmp_path / "p")[0] == 0
    before = Program.load(tmp_path / "p").image

    def interrupt(path, content):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupt)
    assert call("compile", model, "-o", tmp_path / "p")[0] == 1
    assert Program.load(tmp_path / "p").image == before
    assert listing(tmp_path / "p") == ["program.bin", "program.json"]


def test_only_a_folder_that_holds_nothing_but_a_report_is_replaced(tmp_path):
    target = tmp_path / "r"
    for name in ("report.json", "output_0.npy", "output_12.npy"):
        target.mkdir(exist_ok=True)
        (target / name).write_text("old")
    with replaced_folder(target) as folder:
        (folder / "report.json").write_text("new")
    assert listing(tmp_path) == ["r", "r/report.json"]
    (target / "thesis.txt").write_text("years of work")
    with pytest.raises(FolderError, match="files that are no report"), replaced_folder(target):
        pass
    assert (target / "thesis.txt").read_text() == "years of work"


def test_the_current_folder_is_not_replaced(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for target in (Path(), tmp_path):
        with pytest.raises(FolderError, match="the current folder or holds it"):
            check_folder(target)


def test_a_link_to_a_folder_stays(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    with replaced_folder(tmp_path / "link") as folder:
        (folder / "report.json").write_text("{}")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "report.json").is_file()


def test_the_last_of_two_runs_into_one_folder_stays(tmp_path):
    target = tmp_path / "r"
    with replaced_folder(target) as first:
        (first / "report.json").write_text("first")
        with replaced_folder(target) as second:
            (second / "report.json").write_text("second")
    assert (target / "report.json").read_text() == "first"
    assert listing(tmp_path) == ["r", "r/report.json"]


def test_damaged_archives_are_read_or_refused(model, tmp_path):
    rng = np.random.default_rng(7)
    graph, path = load(model), tmp_path / "x.npz"
    np.savez_compressed(path, x=rng.normal(0, 20, (1, 12)).astype(np.float32))
    content = path.read_bytes()
    refusals = []
    for _ in range(200):
        flipped = bytearray(content)
        flipped[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            (array,) = read_inputs(path, graph)
        except InputError as error:
            refusals.append(str(error))
        else:
            assert array.shape == (1, 12)
    assert refusals
    assert all(re.fullmatch(f"{re.escape(str(path))} .+", refusal) for refusal in refusals)


def test_an_array_larger_than_memory_is_refused(model, tmp_path):
    path = tmp_path / "claim.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (10**13, 12)})
    assert "more than fits the memory of this machine" in refusal("run", model, "--input", path, "-o", tmp_path / "r")


def test_byte_order_and_array_order_do_not_matter(model, tmp_path):
    values = np.arange(24, dtype=np.float32).reshape(2, 12)
    for index, array in enumerate((values.astype(">f4"), np.asfortranarray(values))):
        np.save(tmp_path / f"{index}.npy", array)
        np.testing.assert_array_equal(np.concatenate(read_inputs(tmp_path / f"{index}.npy", load(model))), values)


def test_a_folder_as_input_is_refused(model, tmp_path):
    assert "is not a file: check the path" in refusal("run", model, "--input", tmp_path, "-o", tmp_path / "r")


@pytest.mark.parametrize("missing", ["perl", "make", "g++"])
def test_a_missing_tool_is_bad_input(missing, model, inputs, tmp_path, build_dir, monkeypatch):
    found = {name: shutil.which(name) for name in {"perl", "make", "g++"} - {missing}}
    monkeypatch.setattr(shutil, "which", found.get)
    options = ["-o", tmp_path / "r", "--build-dir", build_dir, "--config", "tiny"]
    code, stdout, stderr = call("run", model, "--input", inputs, *options)
    assert code == 2
    assert not stdout
    assert f"cimarron: {missing} is not installed" in stderr
    assert f"run `sudo apt-get install {missing}`" in stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.cosim
def test_a_seed_that_is_no_number_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("SEED", "0x7")
    with pytest.raises(ToolError, match="SEED must be a whole number, not '0x7'"):
        run_bench(tmp_path / "v.v", "v", "tb_adder_tree")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("cell_bits = 4.0", "macro.cell_bits must be 1, 2 or 4, not 4.0"),
        ("cell_bits = true", "macro.cell_bits must be 1, 2 or 4, not True"),
        ("cell_bits = [4]", r"macro.cell_bits must be 1, 2 or 4, not \[4\]"),
        ("rows = 0", "macro.rows must be an integer from 2 to 1024, not 0"),
        ("words = 7", "macro.words must be divisible by 2"),
        ('adder = ["ripple"]', r"macro.adder must be auto, .*, not \['ripple'\]"),
        ("rows = ", "is not a TOML file"),
    ],
)
def test_impossible_configurations_are_refused(text, sentence, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(f"[engine.macro]\n{text}\n")
    with pytest.raises(ConfigError, match=sentence):
        load_config(str(path))


@pytest.mark.cosim
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing(number, model, tmp_path):
    """Neither results nor scratch files nor a simulator that goes on."""
    np.save(tmp_path / "many.npy", np.zeros((50_000, 12), np.float32))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    before = listing(tmp_path)
    command = [sys.executable, "-m", "cimarron_sim", "run", model, "--input", tmp_path / "many.npy"]
    command += ["--config", "tiny", "-o", tmp_path / "r"]
    with subprocess.Popen(
        [str(part) for part in command], stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(scratch)}
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("sample"):
                break
        running = children(process.pid)
        process.send_signal(number)
        _, rest = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in rest
    assert rest.endswith("Aborted!\n")
    assert running
    assert not [pid for pid in running if Path(f"/proc/{pid}").exists()]
    assert listing(tmp_path) == before
