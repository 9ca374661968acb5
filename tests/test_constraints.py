"""A board's file must constrain ports that exist, each once and completely."""

import re
from pathlib import Path

import pytest
from cimarron.board.board import BOARDS

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "constraints").glob("*.[lpc][pcs][ft]"))
README = (ROOT / "constraints" / "README.md").read_text(encoding="utf-8")
PORTS = {"clk", "rst", "uart_rx", "uart_tx"}


def statements(path):
    """Lines without comments."""
    comment = "//" if path.suffix == ".cst" else "#"
    lines = (line.partition(comment)[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


def parsed(path):
    """Constraints of a file: (what, port, value) for each."""
    found = []
    for line in statements(path):
        for what, pattern in {
            "pin": r'(?:LOCATE COMP|IO_LOC) "([\w\[\]]+)" (?:SITE "(\w+)"|(\d+));'
            r"|set_io (?:-pullup yes )?([\w\[\]]+) (\w+)",
            "buffer": r'(?:IOBUF PORT|IO_PORT) "([\w\[\]]+)" (IO_TYPE=LVCMOS33(?: (?:PULLMODE|PULL_MODE|DRIVE)=\w+)?);',
            "megahertz": r'FREQUENCY PORT "(\w+)" (\d+) MHZ;|set_frequency (\w+) (\d+)',
        }.items():
            if match := re.fullmatch(pattern, line):
                port, value = filter(None, match.groups())
                found.append((what, port, value))
                break
        else:
            pytest.fail(f"{path.name}: {line!r} is not understood")
    return found


def ports_of(path):
    """Ports that a file must constrain, bit by bit."""
    board = BOARDS.get(path.stem)
    assert board is not None, path
    flash = {"flash_clk", "flash_copi", "flash_cs_n", "flash_cipo"} if path.stem == "icebreaker" else set()
    return PORTS | flash | {f"led[{index}]" for index in range(board.leds)}


def test_every_board_has_its_file():
    assert {board.pins for board in BOARDS.values()} == set(FILES)
    assert {path.stem for path in FILES} == set(BOARDS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_port_has_a_pin(path):
    assert {port for what, port, _ in parsed(path) if what == "pin"} == ports_of(path)


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix != ".pcf"], ids=lambda path: path.name)
def test_every_port_has_a_voltage(path):
    assert {port for what, port, _ in parsed(path) if what == "buffer"} == ports_of(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_is_constrained_twice(path):
    found = parsed(path)
    assert len({(what, port) for what, port, _ in found}) == len(found)
    pins = [value for what, _, value in found if what == "pin"]
    assert len(pins) == len(set(pins)) == len(ports_of(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_clock_has_the_frequency_that_the_readme_states(path):
    row = re.search(rf"^\| `{path.name}` .*\| (\d+) MHz \|", README, re.MULTILINE)
    assert row is not None
    # Files for Gowin cannot say it; the flow does.
    expected = [] if path.suffix == ".cst" else [("clk", row[1])]
    assert [(port, value) for what, port, value in parsed(path) if what == "megahertz"] == expected
    if path.stem in BOARDS:
        assert BOARDS[path.stem].oscillator_hz == int(row[1]) * 1_000_000


def test_a_file_that_cannot_be_read_fails(tmp_path):
    path = tmp_path / "board.pcf"
    path.write_text("set_io clk 35\nset_oi rst 20\n")
    with pytest.raises(pytest.fail.Exception, match="'set_oi rst 20' is not understood"):
        parsed(path)
