"""Emitted Verilog must depend on nothing but the component."""

import os
import re
import subprocess
import sys
from pathlib import Path

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cimarron_sim.runner.verilog import write_verilog


class Adder(wiring.Component):
    """One registered sum."""

    a: In(8)
    b: In(8)
    total: Out(9)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.total.eq(self.a + self.b)
        return m


def test_verilog_has_the_name_and_no_path(tmp_path):
    path = write_verilog(Adder(), tmp_path / "deep" / "er", "adder")
    assert path == tmp_path / "deep" / "er" / "adder.v"
    text = path.read_text()
    assert re.search(r"^module adder\(", text, re.MULTILINE)
    assert "src" not in text
    assert str(Path(__file__).parent) not in text


def test_verilog_is_the_same_in_every_process(tmp_path):
    here = write_verilog(Adder(), tmp_path / "here", "adder").read_text()
    program = (
        "import sys; sys.path[:0] = [sys.argv[1]]\n"
        "from test_runner_verilog import Adder\n"
        "from cimarron_sim.runner.verilog import write_verilog\n"
        "write_verilog(Adder(), sys.argv[2], 'adder')\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "AMARANTH_USE_YOSYS": "system"}
    command = [sys.executable, "-c", program, str(Path(__file__).parent), str(tmp_path / "there")]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path)
    assert (tmp_path / "there" / "adder.v").read_text() == here


def test_an_unchanged_file_is_left_alone(tmp_path):
    path = write_verilog(Adder(), tmp_path, "adder")
    os.utime(path, (1, 1))
    assert write_verilog(Adder(), tmp_path, "adder").stat().st_mtime == 1
    path.write_text("something else")
    assert write_verilog(Adder(), tmp_path, "adder").stat().st_mtime > 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["adder.v"]
