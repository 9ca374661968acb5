"""Every form of a report must say what its JSON says, and no name may break any of them."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from itertools import groupby, pairwise

import numpy as np
import pytest
from cimarron.config import PRESETS
from cimarron.isa import JOB_WORDS, Profile
from cimarron_sim.report import files
from cimarron_sim.report.columns import layer_csv
from cimarron_sim.report.files import NAMES, ReportError, read_report, write_report
from cimarron_sim.report.page import page
from cimarron_sim.report.plots import INKS, execution_over_time, shares_over_time
from cimarron_sim.report.table import print_run, run_summary
from cimarron_sim.report.trace import TRACKS, trace
from cimarron_sim.report.words import layer_costs, remarks, shortened
from cimarron_sim.runner.session import run_model
from cimarron_sim.runner.timeline import PHASES, runs
from networks import two_layers
from random_graphs import Builder
from report_record import made_up
from rich.console import Console

#: Names that a model file may well contain.
HOSTILE = (
    '<script>alert("1")</script>',
    "=1+1, \"a\"\n</style>&amp;'{{ 7*7 }}' $\\frac{1}$ \x00\x1b[31m",
    "층 名前 🙂 \ud800 " + "long/name;" * 40,
)


@pytest.fixture(scope="module")
def session():
    """One inference on the simulated chip."""
    array = np.random.default_rng(2).integers(-128, 128, (1, 20)).astype(np.int8)
    return run_model(two_layers(), PRESETS["tiny"], [array])


# Timeline.


@pytest.mark.cosim
def test_phases_counted_by_cycle_equal_the_engine_s_counters(session):
    record = session.record
    assert record["timeline"]["resolution"] == 1
    cycles = "".join(letter * length for letter, _, length in runs(record["timeline"]["phases"]))
    assert len(cycles) == record["timeline"]["cycles"] == record["cycles_per_inference"]
    begin = 0
    for layer in record["layers"]:
        part = cycles[begin : begin + layer["cycles"]]
        begin += layer["cycles"]
        stalls = layer["stalls"]
        assert part.count("c") == layer["compute"]
        assert part.count("a") == stalls["input"]
        assert part.count("w") == stalls["weights"]
        assert part.count("o") == stalls["output"]
        assert part.count("f") == layer["rest"]
        assert part.count("i") == stalls["control"]


def check_beats(record):
    """The port brings what the layers stream and, where the engine reads them itself, the jobs' descriptors."""
    beats = sum(length for letter, _, length in runs(record["timeline"]["port"]) if letter == "b")
    more = beats - sum(layer["streamed_bytes"] for layer in record["layers"]) / record["port_bytes"]
    jobs = sum(span["on"] == "engine" for span in record["timeline"]["spans"])
    assert more in (0, jobs * -(-4 * JOB_WORDS // record["port_bytes"]))


@pytest.mark.cosim
def test_the_port_brings_exactly_what_the_layers_stream(session):
    record = session.record
    check_beats(record)
    assert sum(length for _, _, length in runs(record["timeline"]["port"])) == record["timeline"]["cycles"]


@pytest.mark.cosim
def test_spans_end_where_layers_do(session):
    record = session.record
    spans = record["timeline"]["spans"]
    ends = np.cumsum([layer["cycles"] for layer in record["layers"]])
    assert {span["layer"]: span["end"] for span in spans} == dict(enumerate(ends))
    assert all(a["end"] <= b["begin"] < b["end"] for a, b in pairwise(spans))


# CPU.


def check_cpu(record):
    """No gap, no overlap, steps in order; waiting begins while the engine works and ends when it no longer does."""
    timeline = record["timeline"]
    cpu = timeline["cpu"]
    assert cpu[0]["begin"] == 0
    assert all(a["end"] == b["begin"] for a, b in pairwise(cpu))
    assert sum(part["end"] - part["begin"] for part in cpu) == record["cycles_per_inference"]
    assert all(part["begin"] < part["end"] for part in cpu)
    assert all((a["step"], a["waits"]) != (b["step"], b["waits"]) for a, b in pairwise(cpu))
    steps = [part["step"] for part in cpu]
    assert steps[0] is None
    assert [step for step, _ in groupby(steps[1:])] == list(range(max(steps[1:]) + 1))
    assert (cpu[0]["kind"], cpu[-1]["kind"]) == ("command", "end")
    for part in cpu:
        assert part["bus"] <= part["end"] - part["begin"]
        assert part["instructions"] <= part["end"] - part["begin"]


def idle_cycles(timeline, begin, end):
    """Clock cycles from `begin` to `end` in which the engine had no job."""
    idle = [(first, first + length) for letter, first, length in runs(timeline["phases"]) if letter == "i"]
    return sum(max(0, min(end, high) - max(begin, low)) for low, high in idle)


#: Clock cycles from a look at the engine's status to the next: the way through the wait loop, as waveforms have it.
LOOK = 15


@pytest.mark.cosim
def test_the_cpu_s_cycles_are_those_of_the_inference(session):
    check_cpu(session.record)


@pytest.mark.cosim
def test_the_cpu_waits_only_while_the_engine_works(session):
    timeline = session.record["timeline"]
    waits = [part for part in timeline["cpu"] if part["waits"]]
    assert waits
    for part in waits:
        # The engine is done when the CPU looks next.
        assert 0 <= idle_cycles(timeline, part["begin"], part["end"]) < LOOK
        assert idle_cycles(timeline, part["begin"], part["end"] - LOOK) == 0
    # Between the hand-over and its first look, the CPU executes while the engine works.
    (step,) = [
        part for part in timeline["cpu"] if part["step"] == waits[0]["step"] and part["end"] == waits[0]["begin"]
    ]
    assert step["kind"] == "end"
    assert idle_cycles(timeline, step["begin"], step["end"]) < step["end"] - step["begin"]


@pytest.mark.cosim
def test_costs_of_a_layer_add_up(session):
    for layer in session.record["layers"]:
        assert layer["cycles"] == layer["compute"] + sum(layer["stalls"].values()) + layer["rest"]


@pytest.mark.cosim
def test_the_buffer_plan_is_where_the_layers_wrote(session):
    program, buffer = session.program, session.record["buffer"]
    assert buffer["bytes"] == PRESETS["tiny"].engine.act_buffer_bytes
    *layers, store = program.layers
    assert store.op == "store"
    written = [(layer.output.tensor, layer.output.address, layer.output.nbytes) for layer in layers]
    assert [(t["tensor"], t["address"], t["bytes"]) for t in buffer["tensors"]] == written
    # The network is a chain: each tensor is read by the next layer alone, the last one by what stores it.
    assert [(t["first"], t["last"]) for t in buffer["tensors"]] == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.cosim
def test_a_real_report_is_read_back(session, tmp_path):
    write_report(tmp_path, session.record)
    assert read_report(tmp_path) == json.loads(json.dumps(session.record))


@pytest.fixture(scope="module")
def long_record():
    """An inference that is too long to be recorded cycle by cycle, with a layer on the CPU."""
    builder = Builder((1, 10, 10, 16), np.int8, 0, Profile.TFLM, 5)
    for _ in range(4):
        builder.conv2d(16, (5, 5), pads=(2, 2, 2, 2))
    builder.max_pool((2, 2), (2, 2)).conv2d(8, (1, 1)).softmax()
    array = np.random.default_rng(4).integers(-128, 128, (1, 10, 10, 16)).astype(np.int8)
    session = run_model(builder.graph(), PRESETS["tiny"], [array])
    assert not session.mismatches
    return session.record


@pytest.mark.cosim
def test_windows_keep_every_cycle(long_record):
    timeline, layers = long_record["timeline"], long_record["layers"]
    resolution = timeline["resolution"]
    assert resolution > 1
    assert timeline["cycles"] <= 2**18 * resolution
    assert len(list(runs(timeline["phases"]))) + len(list(runs(timeline["port"]))) <= 2**15
    total = dict.fromkeys(PHASES, 0)
    for letter, _, length in runs(timeline["phases"]):
        total[letter] += length
    assert sum(total.values()) == timeline["cycles"]
    assert total["c"] == sum(layer["compute"] for layer in layers)
    assert total["w"] == sum(layer["stalls"]["weights"] for layer in layers)
    check_beats(long_record)
    # No run lies further away from where it was than a window is wide.
    end = 0
    for layer in layers:
        end += layer["cycles"]
        before = sum(
            max(0, min(length, end - begin)) for letter, begin, length in runs(timeline["phases"]) if letter == "c"
        )
        assert abs(before - sum(part["compute"] for part in layers[: layers.index(layer) + 1])) <= resolution


@pytest.mark.cosim
def test_what_the_cpu_computes_is_its_own(long_record):
    assert long_record["layers"][-2]["on"] == "cpu"
    for span in long_record["timeline"]["spans"]:
        layer = long_record["layers"][span["layer"]]
        assert span["on"] == layer["on"]
        if span["on"] == "cpu":
            # The engine rests: what is not the step itself is the firmware's way to it.
            assert 0.9 * layer["cycles"] < span["end"] - span["begin"] <= layer["cycles"]


@pytest.mark.cosim
def test_a_step_of_the_cpu_waits_for_the_engine_and_then_executes(long_record):
    timeline = long_record["timeline"]
    check_cpu(long_record)
    (softmax,) = [index for index, layer in enumerate(long_record["layers"]) if layer["on"] == "cpu"]
    begin, first, then = [part for part in timeline["cpu"] if part["layer"] == softmax]
    assert [part["kind"] for part in (begin, first, then)] == ["softmax"] * 3
    assert [part["waits"] for part in (begin, first, then)] == [False, True, False]
    # Begun while the engine works, it ends behind the engine's last job, where the step's span begins.
    (span,) = [span for span in timeline["spans"] if span["on"] == "cpu"]
    assert begin["begin"] < 0.1 * span["begin"]
    assert span["begin"] <= first["end"] < span["begin"] + LOOK
    # The next step is begun when the word with its number arrives in memory.
    assert span["end"] <= then["end"] < span["end"] + 100
    assert then["instructions"] > 100
    # Between the hand-over and the last job, it has nothing else to do.
    assert first["end"] - first["begin"] > 0.99 * span["begin"]


# CSV.


@pytest.mark.parametrize("names", [("input", "conv", "softmax"), HOSTILE], ids=["plain", "hostile"])
def test_csv_equals_json(names):
    record = made_up(names)
    rows = list(csv.DictReader(io.StringIO(layer_csv(record), newline="")))
    assert len(rows) == 3
    for row, layer in zip(rows, record["layers"], strict=True):
        assert row.pop("shape") == "1x2x2x3"
        for group in ("bounds", "stalls"):
            assert {name: int(row.pop(f"{group}_{name}")) for name in layer[group]} == layer[group]
        for name in ("layer", "op", "on"):
            assert row.pop(name) == layer[name]
        assert {name: float(value) for name, value in row.items()} == {
            name: value
            for name, value in layer.items()
            if name not in ("layer", "op", "on", "shape", "bounds", "stalls")
        }


# Trace.


def events(record, track):
    """Complete events of a track, by name and cycles."""
    number = TRACKS.index(track) + 1
    found = [event for event in trace(record)["traceEvents"] if event["ph"] == "X" and event["tid"] == number]
    return [(event["name"], event["args"]["cycle"], event["args"]["cycles"]) for event in found]


def test_the_trace_shows_layers_jobs_and_steps():
    record = made_up()
    assert events(record, "layers") == [("input", 0, 10), ("conv", 10, 70), ("softmax", 80, 15)]
    assert events(record, "engine: jobs") == [("input", 4, 6), ("conv", 12, 32), ("conv", 48, 32)]
    assert events(record, "CPU") == [
        ("take command", 0, 2), ("hand over", 2, 5), ("wait for engine", 7, 38), ("hand over", 45, 5),
        ("wait for engine", 50, 31), ("softmax", 81, 14), ("answer", 95, 5),
    ]  # fmt: skip
    assert events(record, "memory port") == [("beat", 5, 3), ("beat", 12, 20)]


def test_a_core_that_is_the_engine_itself_hands_nothing_over():
    record = made_up()
    record["config"]["engine_in"] = "software"
    assert {name for name, _, _ in events(record, "CPU")} == {
        "take command", "run jobs", "wait for engine", "softmax", "answer",
    }  # fmt: skip


def test_durations_of_phases_add_up():
    record = made_up()
    phases = events(record, "engine: phases")
    layers = record["layers"]
    causes = ("input", "weights", "output")
    for name, total in (
        ("compute", sum(layer["compute"] for layer in layers)),
        ("rest", sum(layer["rest"] for layer in layers)),
        *((f"stall_{cause}", sum(layer["stalls"][cause] for layer in layers)) for cause in causes),
    ):
        assert sum(length for phase, _, length in phases if phase == name) == total
    assert {name for name, _, _ in phases} == set(PHASES.values()) - {"idle"}


@pytest.mark.parametrize("clock_hz", [50_000_000, 48_000_000, 3_333_333, 1_700_000_000])
def test_events_are_what_the_format_demands(clock_hz):
    # As the format's description has it: complete events have ts and dur in microseconds, and those of a thread nest.
    document = trace(made_up(clock_hz=clock_hz))
    assert next(iter(document)) == "traceEvents"
    ends = {}
    for event in document["traceEvents"]:
        assert isinstance(event["name"], str)
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "thread_name", "thread_sort_index")
            continue
        assert event["ph"] == "X"
        # Perfetto rounds both to nanoseconds.
        begin, duration = round(event["ts"] * 1000), round(event["dur"] * 1000)
        assert begin >= ends.get(event["tid"], 0)
        assert event["ts"] == pytest.approx(event["args"]["cycle"] * 1e6 / clock_hz, abs=0.00051)
        assert event["dur"] == pytest.approx(event["args"]["cycles"] * 1e6 / clock_hz, abs=0.00101)
        ends[event["tid"]] = begin + duration


def test_a_report_without_timeline_has_a_trace_without_events():
    assert {event["ph"] for event in trace({**made_up(), "timeline": None})["traceEvents"]} == {"M"}


# HTML.


class Page(HTMLParser):
    """Elements, texts and attributes of a page, as a browser would see them."""

    VOID = {"meta", "br", "link", "img", "input", "hr"}

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.rows, self.ids, self.references = [], [], [], [], []
        self.script = self.style = self.prose = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]
        for name, value in attributes:
            self.references += [value] if name.endswith(("href", "src")) else re.findall(r"url\(([^)]*)\)", value or "")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        inside = self.open[-1] if self.open else ""
        if inside == "script":
            self.script += data
        elif inside == "style":
            self.style += data
        else:
            self.prose += data
            if "tr" in self.open and self.rows[-1]:
                self.rows[-1][-1] += data.strip()


@pytest.fixture(scope="module", params=[("input", "conv", "softmax"), HOSTILE], ids=["plain", "hostile"])
def names(request):
    return request.param


@pytest.fixture(scope="module")
def shown(names):
    """The page of the report made up."""
    return Page(page({**made_up(names), "model": names[0], "mismatch_list": [f"layer {names[1]!r}"], "mismatches": 1}))


def test_the_page_needs_nothing_else(shown):
    # Every reference leads to an element of the page itself.
    assert shown.references
    assert {reference.partition("#")[0] for reference in shown.references} == {""}
    assert {reference[1:] for reference in shown.references} <= set(shown.ids)
    assert "url(" not in shown.style
    assert "@import" not in shown.style
    assert {tag for tag, _ in shown.elements} & {"link", "img", "iframe", "object", "embed", "image", "base"} == set()
    policies = [a["content"] for tag, a in shown.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"]


def test_identifiers_are_unique(shown):
    assert len(shown.ids) == len(set(shown.ids))


def test_names_are_text_and_never_markup(shown, names):
    assert [tag for tag, _ in shown.elements].count("script") == 1
    assert not any(attribute.startswith("on") for _, attributes in shown.elements for attribute in attributes)
    layers = [row[1] for row in shown.rows[1:4]]
    assert layers == ["".join(c if c.isprintable() else "\ufffd" for c in name).strip() for name in names]
    assert "49" not in shown.prose


def test_the_table_says_what_the_record_says(shown):
    assert [row[3] for row in shown.rows[1:]] == ["10", "70", "15", "5", "100"]
    conv = shown.rows[2]
    assert conv[:1] + conv[2:] == [
        "1", "conv2d", "70", "70.0%", "40", "1,120", "16.0", "50.0%", "40", "3", "9", "2", "10", "6",
    ]  # fmt: skip
    assert shown.rows[3][2:5] == ["softmax, CPU", "15", "15.0%"]


def test_every_colour_exists_in_light_in_dark_and_on_paper(shown):
    used = set(re.findall(r"var\(--([\w-]+)\)", str(shown.elements) + shown.style))
    modes = [set(re.findall(r"--([\w-]+):", block)) for block in re.findall(r":root \{(.*?)\}", shown.style, re.DOTALL)]
    assert len(modes) == 3
    assert all(used == mode for mode in modes)
    # Of the colours that stand for them while the figures are drawn, none is left.
    assert not any(ink in str(shown.elements) for ink in INKS.values())


def test_the_page_has_a_figure_of_each_kind(shown):
    svgs = [attributes for tag, attributes in shown.elements if tag == "svg"]
    assert len(svgs) == 4
    assert all("viewbox" in attributes and "width" not in attributes for attributes in svgs)
    for word in ("clock cycles", "multiply-accumulates per cycle", "macro: 32 per cycle", "byte address"):
        assert word in shown.prose


def test_pages_without_some_figures_are_whole():
    record = {**made_up(), "timeline": None}
    record["layers"] = [record["layers"][0], record["layers"][2]]
    record["buffer"] = {"bytes": 64, "tensors": []}
    assert [tag for tag, _ in Page(page(record)).elements].count("svg") == 2


def test_what_only_a_simulation_knows_is_not_said_of_a_board():
    simulation = ("simulated_cycles", "simulation_seconds", "simulation_cpu_seconds", "simulated_cycles_per_second")
    record = {**made_up(), "timeline": None, **dict.fromkeys(simulation)}
    record["layers"] = [record["layers"][1]]
    record["buffer"] = {"bytes": 64, "tensors": []}
    shown = Page(page(record))
    assert [tag for tag, _ in shown.elements].count("svg") == 2
    assert "simulated" not in shown.prose
    assert "its firmware counted the cycles" in shown.prose
    assert run_summary(record).endswith("\ncycles are those that the chip's firmware measured")


def test_shares_over_time_are_those_of_the_phases():
    record = made_up()
    shares = shares_over_time(record["timeline"], 7)
    width = record["timeline"]["cycles"] / 7
    total = {cause: sum(parts) * width for cause, parts in shares.items()}
    assert total == pytest.approx(
        {"compute": 40, "input": 3, "weights": 9, "output": 2, "rest": 16, "control": 4 + 2 + 4 + 5, "cpu": 15}
    )
    assert [sum(parts) for parts in zip(*shares.values(), strict=True)] == pytest.approx([1] * 7)


def test_execution_over_time_is_that_of_the_cpu():
    timeline = made_up()["timeline"]
    shares = execution_over_time(timeline, 10)
    # It waits from 7 to 45 and from 50 to 81.
    assert shares == pytest.approx([0.7, 0, 0, 0, 0.5, 0, 0, 0, 0.9, 1])
    assert sum(execution_over_time(timeline, 7)) * 100 / 7 == pytest.approx(100 - 38 - 31)


# Words.


def test_costs_in_words_add_up():
    for layer in made_up()["layers"]:
        assert sum(layer_costs(layer).values()) == layer["cycles"]
    assert layer_costs(made_up()["layers"][2])["cpu"] == 15
    # A cause that has no word of its own is not lost.
    conv = made_up()["layers"][1]
    conv["stalls"] |= {"another": conv["stalls"].pop("weights"), "weights": 0}
    assert sum(layer_costs(conv).values()) == conv["cycles"]


def test_layers_that_the_cpu_dominates_are_named():
    record = made_up()
    assert remarks(record) == ["layer 'softmax' runs on the CPU and takes 15% of the inference, 15 cycles"]
    record["layers"][1]["stalls"]["control"] = 35
    record["mismatches"] = 2
    assert remarks(record) == [
        "2 of 8 tensors differ from the reference",
        "layer 'conv', 70% of the inference: the engine waited for the CPU's job in 50% of its cycles",
        "layer 'softmax' runs on the CPU and takes 15% of the inference, 15 cycles",
    ]
    assert remarks({**made_up(), "cycles_per_inference": 1000}) == []


def test_the_terminal_shows_hostile_names_as_they_are():
    names = ("[red]x[/nothing]", "\x1b]0;title\x07[bold", HOSTILE[2])
    text = io.StringIO()
    print_run({**made_up(names), "model": "[/]"}, Console(file=text, width=400, force_terminal=False))
    assert "[red]x[/nothing]" in text.getvalue()
    assert "[/], one inference" in text.getvalue()
    assert "\x1b" not in text.getvalue()
    text.getvalue().encode()


def test_a_long_name_keeps_both_ends():
    assert shortened("abcdefghij", 10) == "abcdefghij"
    assert shortened("abcdefghijk", 10) == "abcd…ghijk"


def test_without_its_packages_there_is_no_page_and_no_old_one(tmp_path, monkeypatch):
    write_report(tmp_path, made_up())
    monkeypatch.setattr(files, "find_spec", lambda name: None if name == "matplotlib" else name)
    assert [path.name for path in write_report(tmp_path, made_up())] == list(NAMES[:3])
    assert not (tmp_path / "report.html").exists()
    assert files.page_obstacle().startswith("no report.html without matplotlib: run `")
    assert files.page_obstacle().endswith("-m pip install 'cimarron[report]'`")


# Files.


@pytest.mark.parametrize("names", [("input", "conv", "softmax"), HOSTILE], ids=["plain", "hostile"])
def test_what_is_read_gives_the_same_files(tmp_path, names):
    record = made_up(names)
    first = write_report(tmp_path / "a", record)
    assert [path.name for path in first] == list(NAMES)
    second = write_report(tmp_path / "b", read_report(tmp_path / "a" / "report.json"))
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(NAMES)


def test_the_report_made_up_is_one(tmp_path):
    write_report(tmp_path, made_up())
    assert read_report(tmp_path) == made_up()


def spoiled(**fields):
    return json.dumps({**made_up(), **fields})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is not JSON: name the report.json"),
        ("[" * 100_000, "is not JSON: name the report.json"),
        ('{"layers": []}', "is no report: name the report.json"),
        ("[]", "is no report"),
        (spoiled(format=3), "has format 3, this version shows format 4: run the model again"),
        (spoiled(format="<b>"), "has format '<b>', this version"),
        (spoiled(layers=[]), "is damaged: layers: .*: run the model again"),
        (spoiled(samples="2"), "is damaged: samples: '2' is not of type 'integer'"),
        (spoiled(timeline={**made_up()["timeline"], "phases": "c4<b>"}), "is damaged: timeline"),
        (
            spoiled(timeline={**made_up()["timeline"], "spans": [{"layer": 3, "on": "cpu", "begin": 0, "end": 1}]}),
            r"is damaged: timeline.spans\[0\] contradicts",
        ),
        (
            spoiled(timeline={**made_up()["timeline"], "cpu": made_up()["timeline"]["cpu"][1:]}),
            r"is damaged: timeline.cpu\[0\] contradicts",
        ),
        (
            spoiled(timeline={**made_up()["timeline"], "cpu": made_up()["timeline"]["cpu"][:-1]}),
            r"is damaged: timeline.cpu does not end with the inference",
        ),
        (
            spoiled(buffer={"bytes": 64, "tensors": [{**made_up()["buffer"]["tensors"][0], "last": 3}]}),
            r"is damaged: buffer.tensors\[0\] contradicts",
        ),
    ],
)  # fmt: skip
def test_what_is_no_report_is_refused(tmp_path, text, sentence):
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ReportError, match=sentence):
        read_report(path)


def test_a_missing_report_is_refused(tmp_path):
    with pytest.raises(ReportError, match=r"report\.json does not exist: name a folder that `cimarron run` wrote"):
        read_report(tmp_path)
