"""Emitted Verilog must depend on nothing but the component."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cimarron.config import MacroConfig
from cimarron.macro.macro import Macro
from cimarron_sim.runner.verilog import write_verilog
from cimarron_sim.runner.yosys import Verdict, check_equal


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


class Halves(wiring.Component):
    """Sum of two numbers; and members that are constant, passed through, or fed by what the component itself says."""

    low: In(4)
    high: In(4)
    two: In(2)
    carried: In(1)
    total: Out(6)
    again: Out(4)
    extended: Out(8)
    padded: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.total.eq(self.low + self.high + self.two + self.carried)
        kept = Signal(6)
        m.d.sync += kept.eq(self.total)
        m.d.comb += [
            self.again.eq(self.low),
            self.extended.eq(Cat(self.total, self.total[0].replicate(2))),
            self.padded.eq(Cat(Const(0, 2), kept)),
        ]
        return m


class Cut(wiring.Component):
    """Hands slices of one signal to its part, and names a signal of its own like the part."""

    x: In(8)
    y: Out(26)

    def elaborate(self, platform):
        m = Module()
        m.submodules.total = part = Halves()
        m.d.comb += [
            part.low.eq(self.x[:4]),
            part.high.eq(self.x[4:]),
            part.two.eq(2),
            part.carried.eq(part.total[5]),
            self.y.eq(Cat(part.total, part.again, part.extended, part.padded)),
        ]
        return m


def test_ports_of_a_part_are_its_members(tmp_path):
    text = write_verilog(Cut(), tmp_path, "cut").read_text()
    (ports,) = re.findall(r"^module \\cut.total \(([^)]*)\)", text, re.MULTILINE)
    # The constant and what the part says itself do not enter; what is passed through does not leave.
    assert set(ports.split(", ")) == {"clk", "rst", "low", "high", "total", "kept"}


@pytest.mark.formal
@pytest.mark.slow
@pytest.mark.parametrize("component", [Cut, lambda: Macro(MacroConfig(rows=4, words=2))], ids=["cut", "macro"])
def test_names_change_nothing(component, tmp_path):
    """Against what Amaranth writes by itself; and another design is told apart."""
    (tmp_path / "gold.il").write_text(rtlil.convert(component(), name="top", emit_src=False))
    text = write_verilog(component(), tmp_path, "top").read_text()
    (tmp_path / "other.v").write_text(re.sub(r"assign (\S+) += (\S+ ?) \+ ", r"assign \1 = \2 - ", text))
    gold = "read_rtlil gold.il"
    assert check_equal(gold, "read_verilog other.v", "top", tmp_path) is Verdict.REFUTED
    assert check_equal(gold, "read_verilog top.v", "top", tmp_path) is Verdict.PROVED
