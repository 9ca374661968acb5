"""Templates, and the core file for FuseSoC, through the tools they are made for."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cimarron_sim.integration
import pytest
from cimarron.config import PRESETS, ConfigError
from cimarron.isa import EVENT_SHIFT, Event, RunStatus
from cimarron_sim.integration.kit import write_kit
from cimarron_sim.runner.tops import TOPS, build_top
from cimarron_sim.runner.verilator import verilator_environment

pytestmark = [pytest.mark.slow]

needs_icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
CORES = Path(cimarron_sim.integration.__file__).parent

USER_CORE = """CAPI=2:
name: example:systems:chip:1.0.0
filesets:
  parts:
    depend: ["cimarron:cim:generator"]
generate:
  engine:
    generator: cimarron
    parameters: {top: macro, config: tiny}
targets:
  default:
    filesets: [parts]
    generate: [engine]
    toplevel: macro_template
  sim:
    filesets: [parts]
    generate: [engine]
    toplevel: macro_template
    default_tool: icarus
  lint:
    filesets: [parts]
    generate: [engine]
    toplevel: macro
    default_tool: verilator
    tools:
      verilator: {mode: lint-only, verilator_options: [-Wall]}
"""


#: With a second clock.
PUMPED = replace(PRESETS["tiny"].engine.macro, planes_per_cycle=2, double_pumped=True)
#: With every option that adds ports.
OPTIONS = replace(PRESETS["tiny"].engine.macro, bitwise=True, best_match=True, self_test=True)
CONFIGS = {
    "tiny": PRESETS["tiny"],
    "options": replace(PRESETS["tiny"], engine=replace(PRESETS["tiny"].engine, macro=OPTIONS)),
    "software": PRESETS["icebreaker"],
    "pumped": replace(PRESETS["tiny"], engine=replace(PRESETS["tiny"].engine, macro=PUMPED)),
}

KITS = [
    *((top, "tiny") for top in TOPS),
    *((top, "options") for top in ("macro", "engine")),
    *((top, "software") for top in ("macro", "soc")),
    ("engine_axi", "pumped"),
]


@pytest.fixture(scope="module", params=KITS, ids="-".join)
def kit(request, tmp_path_factory):
    top, config = request.param
    return top, write_kit(top, CONFIGS[config], tmp_path_factory.mktemp("kit"))


def module_ports(text: str, top: str) -> dict[str, tuple[str, int]]:
    """Direction and width of every port, from the Verilog itself."""
    body = text.split(f"module {top}(")[1].split("endmodule")[0]
    declared = re.findall(
        r"^  (input|output) (?:\[(\d+):0\] )?\\?(\w+) ;|^  (input|output) (?:\[(\d+):0\] )?(\w+);", body, re.M
    )
    found = {}
    for row in declared:
        direction, high, name = row[:3] if row[0] else row[3:]
        found[name] = (direction, int(high or 0) + 1)
    return found


def test_the_template_has_every_port_of_the_verilog(kit):
    top, files = kit
    example = next(path for path in files if path.name == f"{top}_template.v").read_text()
    described = re.findall(r"^  // (input|output): (\S.*)\n  wire (?:\[(\d+):0\] )?\\?(\w+) ?;", example, re.M)
    ports = {name: (direction, int(high or 0) + 1) for direction, _, high, name in described}
    verilog = next(path for path in files if path.name == f"{top}.v").read_text()
    assert ports == module_ports(verilog, top)
    assert set(re.findall(r"^    \.\\?(\w+) +\(", example, re.M)) == set(ports)


@needs_icarus
def test_the_template_compiles(kit):
    top, files = kit
    sources = [str(path) for path in files if path.suffix == ".v"]
    command = ["iverilog", "-g2005", "-Wall", "-Wno-timescale", "-t", "null", "-s", f"{top}_template", *sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # Inputs are left open, and nothing else is to be said.
    own = [line for line in done.stderr.splitlines() if f"{top}_template.v" in line]
    assert own == []


#: What `docs/integration.md` says about a simulation of the system.
BENCH = """
module bench;
  reg clk = 0, rst = 1;
  always #5 clk = ~clk;
  wire valid;
  wire [31:0] event_word;
  soc soc_0 (.clk(clk), .rst(rst), .uart_rx(1'b1), .event_valid(valid), .\\event (event_word));
  initial $readmemh("firmware.hex", soc_0.{path}ram.memory);
  initial begin #30 rst = 0; #3000000 $display("silence"); $finish; end
  always @(posedge clk) if (!rst && valid) begin $display("event %h", event_word); $finish; end
endmodule
"""


@pytest.mark.cosim
@needs_icarus
@pytest.mark.parametrize(("config", "path"), [("tiny", "system."), ("software", "")])
def test_the_firmware_starts_in_the_written_system(config, path, tmp_path):
    files = write_kit("soc", CONFIGS[config], tmp_path)
    (tmp_path / "bench.v").write_text(BENCH.replace("{path}", path))
    sources = [file for file in files if file.suffix == ".v" and "template" not in file.name]
    command = ["iverilog", "-g2005", "-s", "bench", "-o", "sim", "bench.v", *map(str, sources)]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run(["vvp", "-n", "sim"], cwd=tmp_path, capture_output=True, text=True, check=True)
    ready = int(Event.READY) << EVENT_SHIFT | RunStatus.OK
    assert f"event {ready:08x}" in done.stdout


def test_a_template_of_nothing_is_refused():
    with pytest.raises(ValueError, match="there is no top 'chip'; there are macro"):
        build_top("chip", PRESETS["tiny"])


def test_an_engine_in_software_has_no_verilog():
    with pytest.raises(ConfigError, match="engine_in is software: firmware does the engine's work"):
        build_top("engine_axi", PRESETS["icebreaker"])


def fusesoc(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """FuseSoC with the project's cores and those in a folder, away from the user's own settings."""
    environment = {**verilator_environment(), "HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config")}
    environment |= {"XDG_CACHE_HOME": str(folder / "cache"), "XDG_DATA_HOME": str(folder / "data")}
    # The generator is started as python3.
    environment["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), environment["PATH"]))
    command = [sys.executable, "-m", "fusesoc.main", "--cores-root", str(CORES), "--cores-root", str(folder / "cores")]
    return subprocess.run(
        [*command, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def user_core(tmp_path):
    (tmp_path / "cores").mkdir()
    (tmp_path / "cores" / "chip.core").write_text(USER_CORE)
    return tmp_path


@pytest.mark.cosim
@pytest.mark.parametrize("target", ["lint", pytest.param("sim", marks=needs_icarus)])
def test_fusesoc_generates_and_builds(user_core, target):
    done = fusesoc(user_core, "run", f"--target={target}", "example:systems:chip")
    assert done.returncode == 0, done.stdout + done.stderr
    written = list((user_core / "build").rglob("macro.v"))
    assert written, "nothing was generated"


@pytest.mark.cosim
def test_fusesoc_fails_when_the_generator_does(user_core):
    core = user_core / "cores" / "chip.core"
    core.write_text(USER_CORE.replace("config: tiny", "config: enormous"))
    done = fusesoc(user_core, "run", "--target=lint", "example:systems:chip")
    assert done.returncode != 0
    assert "enormous" in done.stdout + done.stderr
