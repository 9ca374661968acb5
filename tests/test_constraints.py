# amaranth: UnusedElaboratable=no
"""A board's file must constrain ports that exist, each once and completely."""

import re
import textwrap
from pathlib import Path

import pytest
from amaranth.hdl import Shape
from cimarron.config import PRESETS, load_config
from cimarron.soc.soc import Soc
from cimarron_sim.runner.tops import write_top

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "constraints").glob("*.[lp][pc]f"))
README = (ROOT / "constraints" / "README.md").read_text(encoding="utf-8")
PORTS = {"clk", "rst", "uart_rx", "uart_tx"}


def statements(path):
    """Lines without comments."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


def parsed(path):
    """Constraints of a file: (what, port, value) for each."""
    found = []
    for line in statements(path):
        for what, pattern in {
            "pin": r'LOCATE COMP "(\w+)" SITE "(\w+)";|set_io (?:-pullup yes )?(\w+) (\w+)',
            "buffer": r'IOBUF PORT "(\w+)" (IO_TYPE=\w+(?: PULLMODE=\w+)?);',
            "megahertz": r'FREQUENCY PORT "(\w+)" (\d+) MHZ;|set_frequency (\w+) (\d+)',
        }.items():
            if match := re.fullmatch(pattern, line):
                port, value = filter(None, match.groups())
                found.append((what, port, value))
                break
        else:
            pytest.fail(f"{path.name}: {line!r} is not understood")
    return found


@pytest.fixture(scope="module")
def ports(tmp_path_factory):
    """Ports of the generated top."""
    text = write_top("soc", PRESETS["tiny"], tmp_path_factory.mktemp("rtl"))[0].read_text()
    match = re.search(r"^module soc\((.*?)\);", text, re.MULTILINE | re.DOTALL)
    assert match is not None
    return {name.strip(" \n\\") for name in match[1].split(",")}


def test_both_boards_are_there():
    assert [path.name for path in FILES] == ["icebreaker.pcf", "ulx3s.lpf"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_constrained_port_exists(path, ports):
    assert {port for _, port, _ in parsed(path)} == PORTS
    assert ports >= PORTS


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_is_constrained_twice(path):
    found = parsed(path)
    assert len({(what, port) for what, port, _ in found}) == len(found)
    pins = [value for what, _, value in found if what == "pin"]
    assert len(pins) == len(set(pins)) == len(PORTS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_clock_has_the_frequency_that_the_readme_states(path):
    (frequency,) = [(port, int(value)) for what, port, value in parsed(path) if what == "megahertz"]
    row = re.search(rf"^\| `{path.name}` .*\| (\d+) MHz \|", README, re.MULTILINE)
    assert row is not None
    assert frequency == ("clk", int(row[1]))


def test_the_other_ports_have_as_many_bits_as_the_readme_states():
    soc = Soc(PRESETS["tiny"])
    pins = {path[0]: member for path, member, _ in soc.signature.flatten(soc) if path[0] in PORTS}
    assert set(pins) == PORTS - {"clk", "rst"}
    bits = sum(Shape.cast(member.shape).width for path, member, _ in soc.signature.flatten(soc) if path[0] not in PORTS)
    assert f"{bits} bits in all" in README


def test_the_configuration_in_the_readme_is_one(tmp_path):
    (text,) = re.findall(r"^ *```toml\n(.*?)^ *```", README, re.MULTILINE | re.DOTALL)
    path = tmp_path / "board.toml"
    path.write_text(textwrap.dedent(text))
    config = load_config(str(path))
    assert config.clock_hz == 25_000_000
    assert config.engine.macro.target == "ecp5"


def test_a_file_that_cannot_be_read_fails(tmp_path):
    path = tmp_path / "board.pcf"
    path.write_text("set_io clk 35\nset_oi rst 20\n")
    with pytest.raises(pytest.fail.Exception, match="'set_oi rst 20' is not understood"):
        parsed(path)
