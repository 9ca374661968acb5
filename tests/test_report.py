"""Every form of a report must say what its JSON says, and no name may break any of them."""

import csv
import io
import json
from itertools import pairwise

import numpy as np
import pytest
from cimarron.config import PRESETS
from cimarron_sim.report.columns import layer_csv
from cimarron_sim.report.files import NAMES, ReportError, read_report, write_report
from cimarron_sim.report.trace import TRACKS, trace
from cimarron_sim.runner.session import run_model
from cimarron_sim.runner.timeline import PHASES, runs
from networks import two_layers
from report_record import made_up

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


@pytest.mark.cosim
def test_the_port_brings_exactly_what_the_layers_stream(session):
    record = session.record
    beats = sum(length for letter, _, length in runs(record["timeline"]["port"]) if letter == "b")
    assert beats * record["port_bytes"] == sum(layer["streamed_bytes"] for layer in record["layers"])
    assert sum(length for _, _, length in runs(record["timeline"]["port"])) == record["timeline"]["cycles"]


@pytest.mark.cosim
def test_spans_end_where_layers_do(session):
    record = session.record
    spans = record["timeline"]["spans"]
    ends = np.cumsum([layer["cycles"] for layer in record["layers"]])
    assert {span["layer"]: span["end"] for span in spans} == dict(enumerate(ends))
    assert all(a["end"] <= b["begin"] < b["end"] for a, b in pairwise(spans))


@pytest.mark.cosim
def test_costs_of_a_layer_add_up(session):
    for layer in session.record["layers"]:
        assert layer["cycles"] == layer["compute"] + sum(layer["stalls"].values()) + layer["rest"]


@pytest.mark.cosim
def test_the_buffer_plan_is_where_the_layers_wrote(session):
    program, buffer = session.program, session.record["buffer"]
    assert buffer["bytes"] == PRESETS["tiny"].engine.act_buffer_bytes
    written = [(layer.output.tensor, layer.output.address, layer.output.nbytes) for layer in program.layers]
    assert [(t["tensor"], t["address"], t["bytes"]) for t in buffer["tensors"]] == written
    # The network is a chain: each tensor is read by the next layer alone.
    assert [(t["first"], t["last"]) for t in buffer["tensors"]] == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.cosim
def test_a_real_report_is_read_back(session, tmp_path):
    write_report(tmp_path, session.record)
    assert read_report(tmp_path) == json.loads(json.dumps(session.record))


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
        ("hand over", 0, 4), ("hand over", 10, 2), ("hand over", 44, 4), ("softmax", 80, 15), ("answer", 95, 5),
    ]  # fmt: skip
    assert events(record, "memory port") == [("beat", 5, 3), ("beat", 12, 20)]


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
        (spoiled(format=1), "has format 1, this version shows format 2: run the model again"),
        (spoiled(format="<b>"), "has format '<b>', this version"),
        (spoiled(layers=[]), "is damaged: layers: .*: run the model again"),
        (spoiled(samples="2"), "is damaged: samples: '2' is not of type 'integer'"),
        (spoiled(timeline={**made_up()["timeline"], "phases": "c4<b>"}), "is damaged: timeline"),
        (
            spoiled(timeline={**made_up()["timeline"], "spans": [{"layer": 3, "on": "cpu", "begin": 0, "end": 1}]}),
            r"is damaged: timeline.spans\[0\] contradicts",
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
