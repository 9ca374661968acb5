"""What `cimarron verilog` writes must be fit for other people's tools, as it is."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cimarron_sim.runner.tops import TOPS
from cimarron_sim.runner.verilator import WAIVERS, verilator_binary, verilator_environment
from cimarron_sim.runner.yosys import run_yosys

pytestmark = [pytest.mark.slow]

ROOT = Path(__file__).parents[1]

#: Warnings that the waiver file may name; each is explained there.
WAIVED = {"WIDTH", "PROCASSINIT", "CASEINCOMPLETE", "DECLFILENAME", "UNUSEDSIGNAL", "INITIALDLY", "TIMESCALEMOD"}
#: Rules that ``WIDTH`` stands for.
WIDTHS = {"WIDTHEXPAND", "WIDTHTRUNC", "WIDTHXZEXPAND"}


#: Two clock domains, of which Amaranth makes ports in the order of a set.
DOUBLE_PUMPED = """[engine]
act_buffer_bytes = 4096
act_port_bytes = 4
weight_port_bits = 32
psum_entries = 256
lanes = 1
[engine.macro]
rows = 8
words = 4
planes_per_cycle = 2
pipeline = 1
double_pumped = true
"""


def write_all(folder: Path, seed: int, config: str = "tiny") -> dict[str, Path]:
    """All tops of a configuration, written by a process of its own."""
    folder.mkdir()
    environment = {**os.environ, "PYTHONHASHSEED": str(seed), "TZ": "UTC+11"}
    command = [sys.executable, "-m", "cimarron_sim", "verilog", "--config", config, "-o", "out"]
    for top in TOPS:
        command += ["--top", top]
    subprocess.run(command, check=True, env=environment, cwd=folder, capture_output=True)
    return {path.name: path for path in (folder / "out").iterdir()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("tops") / "one", 1)


def sources(written: dict[str, Path], top: str) -> list[Path]:
    return [written[f"{top}.v"], *([written["VexRiscv_FullCfu.v"]] if top == "soc" else [])]


def lint(files: list[Path], top: str, *more: str) -> subprocess.CompletedProcess:
    command = [str(verilator_binary()), "--lint-only", "-Wall", "--top-module", top, *more, *map(str, files)]
    return subprocess.run(command, env=verilator_environment(), capture_output=True, text=True, check=False)


def test_two_processes_write_the_same_bytes(written, tmp_path):
    again = write_all(tmp_path / "somewhere else", 2)
    assert set(again) == set(written)
    assert [name for name in written if written[name].read_bytes() != again[name].read_bytes()] == []


def test_two_processes_write_the_same_clocks(tmp_path):
    (tmp_path / "pumped.toml").write_text(DOUBLE_PUMPED)
    # A set of these two names changes its order between these seeds.
    one, other = (write_all(tmp_path / str(seed), seed, str(tmp_path / "pumped.toml")) for seed in (1, 3))
    assert [name for name in one if one[name].read_bytes() != other[name].read_bytes()] == []
    for top in ("macro", "engine", "soc"):
        assert re.search(
            rf"^module {top}\(.*\bclk, rst, fast_clk, fast_rst\b", one[f"{top}.v"].read_text(), re.MULTILINE
        )


def test_no_file_names_a_place_or_a_time(written):
    for name, path in written.items():
        text = path.read_text()
        if name == "VexRiscv_FullCfu.v":
            continue
        for place in (ROOT, path.parent, Path.home(), Path(sys.prefix), Path("/tmp"), Path("/home"), Path("/usr")):
            assert f"{place}/" not in text, f"{name} names {place}"
        assert "src" not in re.findall(r"\(\*\s*(\w+)", text), f"{name} has source attributes"
        assert not re.search(r"\b20\d\d-\d\d-\d\d\b|\d\d:\d\d:\d\d", text), f"{name} has a date"


@pytest.mark.parametrize("top", TOPS)
def test_verilator_has_nothing_to_say(written, top):
    done = lint(sources(written, top), top, str(WAIVERS))
    assert done.returncode == 0, done.stderr
    assert "%Warning" not in done.stderr + done.stdout


def test_every_waiver_has_a_name_and_a_use(written):
    rules = re.findall(r"^lint_off (.*)$", WAIVERS.read_text(), re.MULTILINE)
    assert rules[-2:] == ['-file "*VexRiscv_FullCfu.v"', '-file "*picorv32.v"']
    named = {match[1] for rule in rules[:-2] if (match := re.fullmatch(r"-rule (\w+)", rule))}
    assert len(named) == len(rules) - 2
    assert named == WAIVED
    found = set()
    for top in TOPS:
        text = lint(sources(written, top), top, "-Wno-fatal").stderr
        found |= set(re.findall(rf"^%Warning-(\w+): \S*/{top}\.v", text, re.MULTILINE))
    assert {"WIDTH" if rule in WIDTHS else rule for rule in found} == WAIVED


def test_verilator_finds_what_is_wrong(written, tmp_path):
    """The waivers do not hide a mistake."""
    text = written["macro.v"].read_text()
    broken = tmp_path / "macro.v"
    broken.write_text(text.replace("endmodule", "  wire floating;\n  assign plane = floating;\nendmodule", 1))
    done = lint([broken], "macro", str(WAIVERS))
    assert done.returncode != 0
    assert "UNDRIVEN" in done.stderr or "MULTIDRIVEN" in done.stderr


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
@pytest.mark.parametrize("top", TOPS)
def test_icarus_accepts_it(written, top):
    command = ["iverilog", "-g2005", "-Wall", "-Wno-timescale", "-t", "null", "-s", top]
    done = subprocess.run([*command, *map(str, sources(written, top))], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    own = [line for line in done.stderr.splitlines() if "VexRiscv" not in line]
    assert own == []


@pytest.mark.parametrize("top", TOPS)
def test_yosys_accepts_it(written, top, tmp_path):
    for path in sources(written, top):
        shutil.copy(path, tmp_path)
    files = " ".join(path.name for path in sources(written, top))
    # Yosys defines SYNTHESIS by itself. The core has wires without a driver.
    script = f"read_verilog {files}\nhierarchy -check -top {top}\nproc\nopt_expr\nopt_clean\n"
    script += f"check -assert {top} {top}.*\n"
    run_yosys(script, tmp_path, purpose=f"reading {top}")


@pytest.mark.parametrize("top", TOPS)
def test_every_part_is_a_module_named_after_its_place(written, top):
    """The hierarchy is that of the hardware, and an instance's module says where it is."""
    text = written[f"{top}.v"].read_text()
    modules = re.findall(r"^module \\?([^\s(]+)", text, re.MULTILINE)
    assert len(modules) == len(set(modules))
    prefix = {"macro": "macro", "engine": "engine.macro", "engine_axi": "engine_axi.engine.macro"}
    parts = prefix.get(top, "soc.engine.macro")
    assert {f"{parts}.{part}" for part in ("driver", "array", "tree", "group_0.column_0", "write_port")} <= set(modules)
    for module in modules:
        assert module == top or module.rpartition(".")[0] in modules, f"{module} hangs in the air"


@pytest.mark.parametrize("top", TOPS)
def test_every_port_has_a_name_of_the_source(written, top):
    """Amaranth would call thousands of them after the number of a cell, and others like one signal too many."""
    text = written[f"{top}.v"].read_text()
    modules = dict(re.findall(r"^module (\S+?) ?\(([^;]*)\);", text, re.MULTILINE))
    assert len(modules) == len(re.findall(r"^module ", text, re.MULTILINE))
    assert [
        (module, ports) for module, ports in modules.items() if "$" in module or "$" in ports or "port_" in ports
    ] == []
