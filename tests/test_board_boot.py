"""The system on a board comes up by itself, and again when the button is pressed."""

import re
import shutil
import subprocess
from dataclasses import replace

import pytest
from cimarron.board.board import find_board
from cimarron.board.top import BoardTop
from cimarron.soc.sources import core_source
from cimarron_sim.firmware import load
from cimarron_sim.runner.verilog import write_verilog
from echo_top import ROOT

GREETING = "Cimarron"


@pytest.mark.cosim
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
@pytest.mark.parametrize("name", ["icepi_zero", "tang_nano_20k"])
def test_the_firmware_greets_after_configuration_and_after_the_button(name, tmp_path):
    board = find_board(name)
    # Only the baud rate is not the board's: the simulator is slow.
    config = replace(board.config, uart_baud=board.config.clock_hz // 8)
    top = write_verilog(BoardTop(board, config, ram_init=load(config.cpu)), tmp_path, "board")
    parameters = {
        "OSCILLATOR_HZ": float(board.oscillator_hz),
        "BAUD": float(config.uart_baud),
        "RESET_LOW": int(board.reset_low),
        "LEDS": board.leds,
        "CHARACTERS": len(GREETING),
    }
    options = [f"-Pbench.{parameter}={value}" for parameter, value in parameters.items()]
    program = tmp_path / "bench.vvp"
    sources = [ROOT / "tests" / "board_bench.v", top, core_source(config)]
    subprocess.run(["iverilog", "-g2005-sv", "-s", "bench", *options, "-o", program, *sources], check=True)
    done = subprocess.run(["vvp", "-n", program], check=True, text=True, capture_output=True)
    assert "silent" not in done.stdout
    assert "no stop bit" not in done.stdout
    assert done.stdout.count(GREETING) == 2, done.stdout
    lights = {when: bits for when, bits in re.findall(r"(\w+): led ([01xz]+)", done.stdout)}
    # Light 1 tells that the reset is over, and light 3 that the engine is in error.
    on = "0" if board.leds_low else "1"
    assert lights["before"][-2] != on
    assert lights["after"][-2] == lights["again"][-2] == on
    assert lights["after"][-4] == lights["again"][-4] != on
