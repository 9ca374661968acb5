"""What is sampled must be synchronised: found in designs that do and in designs that do not."""

import json

import pytest
from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, ClockSignal, Instance, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import AsyncFFSynchronizer, FFSynchronizer
from amaranth.lib.wiring import In, Out
from cimarron.board.board import find_board
from cimarron_sim.fpga.crossings import ELABORATE, CrossingError, examine_module
from cimarron_sim.runner.yosys import run_yosys
from echo_top import EchoTop


def examine(top, folder):
    """Report on a top."""
    folder.mkdir(exist_ok=True)
    (folder / "top.il").write_text(rtlil.convert(top, name="top", emit_src=False))
    cells = "read_verilog -lib +/ecp5/cells_bb.v\n"
    commands = ELABORATE.replace("; ", "\n")
    script = f"read_rtlil top.il\n{cells}hierarchy -top top\n{commands}\nselect top\nwrite_json -selected top.json\n"
    run_yosys(script, folder, purpose="elaborating a test")
    return examine_module(json.loads((folder / "top.json").read_text())["modules"]["top"])


class Sampler(wiring.Component):
    """An input, and an output that depends on it in the way that a function describes."""

    def __init__(self, build):
        self._build = build
        super().__init__({"i": In(1), "clk": In(1), "other": In(1), "rst": In(1), "o": Out(4)})

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain("sync")
        m.d.comb += [ClockSignal().eq(self.clk), ResetSignal().eq(0)]
        self._build(m, self)
        return m


def synchronised(m, ports):
    line = Signal()
    m.submodules.synchronizer = FFSynchronizer(ports.i, line)
    m.d.sync += ports.o.eq(ports.o + line)


def unsynchronised(m, ports):
    m.d.sync += ports.o.eq(ports.o + ports.i)


def one_flip_flop(m, ports):
    line = Signal()
    m.d.sync += [line.eq(ports.i), ports.o.eq(ports.o + line)]


def logic_before(m, ports):
    first, line = Signal(name="first"), Signal(name="line")
    m.d.sync += [first.eq(ports.i & ports.o[0]), line.eq(first), ports.o.eq(ports.o + line)]


def sampled_twice(m, ports):
    for index in range(2):
        line = Signal(name=f"line{index}")
        m.submodules[f"synchronizer{index}"] = FFSynchronizer(ports.i, line)
        m.d.sync += ports.o[index].eq(line)


def first_stage_read_elsewhere(m, ports):
    first, line = Signal(name="first"), Signal(name="line")
    m.d.sync += [first.eq(ports.i), line.eq(first), ports.o.eq(ports.o + line)]
    m.d.sync += ports.o[3].eq(first)


def as_enable(m, ports):
    with m.If(ports.i):
        m.d.sync += ports.o.eq(ports.o + 1)


def from_another_clock(m, ports):
    m.domains.other = ClockDomain("other", reset_less=True)
    count = Signal(2)
    m.d.comb += ClockSignal("other").eq(ports.other)
    m.d.other += count.eq(count + 1)
    m.d.sync += ports.o.eq(count)


def of_one_loop(m, ports):
    m.domains.fast = ClockDomain("fast", reset_less=True)
    m.domains.slow = ClockDomain("slow", reset_less=True)
    m.submodules.pll = Instance("EHXPLLL", i_CLKI=ports.clk, o_CLKOS=ClockSignal("slow"), o_CLKOS2=ClockSignal("fast"))
    count = Signal(2)
    m.d.fast += count.eq(count + ports.o)
    m.d.slow += ports.o.eq(count)


def from_another_clock_synchronised(m, ports):
    m.domains.other = ClockDomain("other", reset_less=True)
    toggle, line = Signal(), Signal()
    m.d.comb += ClockSignal("other").eq(ports.other)
    m.d.other += toggle.eq(~toggle)
    m.submodules.synchronizer = FFSynchronizer(toggle, line)
    m.d.sync += ports.o.eq(ports.o + line)


def asynchronous_end_of_reset(m, ports):
    m.domains.hasty = ClockDomain("hasty", async_reset=True)
    m.d.comb += [ClockSignal("hasty").eq(ports.clk), ResetSignal("hasty").eq(ports.rst)]
    m.d.hasty += ports.o.eq(ports.o + 1)


def synchronised_end_of_reset(m, ports):
    held, settled = Signal(), Signal()
    m.submodules.catch = AsyncFFSynchronizer(ports.rst, held)
    m.submodules.settle = FFSynchronizer(held, settled)
    m.d.sync += ports.o.eq(ports.o + settled)


def one_stage_of_reset(m, ports):
    m.domains.held = ClockDomain("held", async_reset=True)
    held, settled = Signal(name="held", init=1), Signal()
    m.d.comb += [ClockSignal("held").eq(ports.clk), ResetSignal("held").eq(ports.rst)]
    m.d.held += held.eq(0)
    m.submodules.settle = FFSynchronizer(held & ports.o[0], settled)
    m.d.sync += ports.o.eq(ports.o + settled)


def clock_made_by_logic(m, ports):
    m.domains.gated = ClockDomain("gated", reset_less=True)
    m.d.comb += ClockSignal("gated").eq(ports.clk & ports.o[0])
    m.d.sync += ports.o[0].eq(~ports.o[0])
    m.d.gated += ports.o[1].eq(~ports.o[1])


@pytest.mark.parametrize("build", [synchronised, synchronised_end_of_reset, from_another_clock_synchronised])
def test_a_synchroniser_is_listed_and_good(build, tmp_path):
    report = examine(Sampler(build), tmp_path)
    assert report.problems == ()
    assert report.crossings
    report.require_good()


@pytest.mark.parametrize(
    ("build", "problem"),
    [
        (unsynchronised, "pin i at D of o.*: it comes through logic"),
        (one_flip_flop, "pin i at D of line: its output is read in|pin i at D of line: its output goes into logic"),
        (logic_before, "pin i at D of first: it comes through logic"),
        (sampled_twice, "it is sampled in 2 places"),
        (first_stage_read_elsewhere, "pin i at D of first: its output is read in 2 places"),
        (as_enable, "pin i at .* of o.*: it (goes past a synchroniser|comes through logic)"),
        (from_another_clock, r"flip-flop count.*: it|flip-flop count.*: its"),
        (asynchronous_end_of_reset, "pin rst at ARST of o.*: "),
        (one_stage_of_reset, "pin rst at ARST of held: its output goes into logic"),
        (clock_made_by_logic, "the clock .* is made by logic"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_not_a_synchroniser_is_a_problem(build, problem, tmp_path):
    report = examine(Sampler(build), tmp_path)
    with pytest.raises(CrossingError, match=problem):
        report.require_good()


def test_clocks_of_one_loop_are_timed_not_synchronised(tmp_path):
    report = examine(Sampler(of_one_loop), tmp_path)
    assert report.problems == ()
    assert report.clocks == {"cell pll.CLKOS": 2, "cell pll.CLKOS2": 2}
    assert report.crossings == ()


def test_a_board_has_one_clock_and_lists_its_three_asynchronous_inputs(tmp_path):
    report = examine(EchoTop(find_board("icepi_zero"), 50_000_000), tmp_path)
    assert report.problems == ()
    assert list(report.clocks) == ["cell pll.pll.CLKOS"]
    assert {crossing.source for crossing in report.crossings} == {
        "pin rst", "pin uart_rx", "cell pll.pll.LOCK", "flip-flop reset$22.caught",
    }  # fmt: skip
    # The reset reaches the system synchronously, and only the first synchroniser asynchronously.
    asynchronous = {name: count for name, count in report.resets.items() if name.startswith("asynchronous")}
    assert list(asynchronous.values()) == [2]
    assert report.resets["synchronous reset"] > 50
    assert sum(report.resets.values()) == sum(report.clocks.values())


class Careless(EchoTop):
    """The same with the serial line led past its synchroniser."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        peek = Signal()
        m.d.sync += peek.eq(peek ^ self.uart_rx)
        keep = Signal(attrs={"keep": 1})
        m.d.comb += keep.eq(peek)
        return m


def test_a_board_that_samples_its_serial_line_twice_is_refused(tmp_path):
    report = examine(Careless(find_board("icepi_zero"), 50_000_000), tmp_path)
    with pytest.raises(CrossingError, match=r"pin uart_rx at D of (peek|keep): it comes through logic"):
        report.require_good()
