# amaranth: UnusedElaboratable=no
"""What the pages say must be so: links, commands, numbers, examples."""

import dataclasses
import enum
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
from amaranth.hdl import Shape
from amaranth.lib import wiring
from cimarron import isa
from cimarron.config import PRESETS
from cimarron.engine.engine import Engine
from cimarron.isa import EVENT_SHIFT, JOB_FIELDS, PROGRAM_HEADER, Event, Profile
from cimarron.soc.soc import Soc
from cimarron_sim import firmware
from cimarron_sim.cli import main
from cimarron_sim.compiler.check import Place, check
from cimarron_sim.compiler.compile import compile
from cimarron_sim.firmware.build import compile_program
from cimarron_sim.frontend import load
from cimarron_sim.frontend.onnx_lowering import SUPPORTED as ONNX
from cimarron_sim.frontend.tflite_lowering import SUPPORTED as TFLITE
from cimarron_sim.graph import OPERATORS, Graph, Node, Quantization, Tensor
from cimarron_sim.reference import execute
from cimarron_sim.report.trace import TRACKS
from cimarron_sim.runner.serial_chip import SerialChip
from cimarron_sim.runner.timeline import PHASES
from click.testing import CliRunner
from config_file import soc_toml
from program_runner import BUILD, ProgramRunner

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "constraints" / "README.md"]
ISA_TEXT = Path(isa.__file__).read_text(encoding="utf-8")

each_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def examples(text: str, language: str) -> list[str]:
    """Contents of the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def code(text: str) -> str:
    """Everything between backticks, one piece per line, and the fenced blocks."""
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join([*blocks, *re.findall(r"`([^`]+)`", prose)])


def tables(text: str) -> Iterator[list[list[str]]]:
    """Tables as rows of cells, the heading first and without the rule below it."""
    for block in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        head, _, *rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in block.splitlines()]
        yield [head, *rows]


# Links and commands.


@each_page
def test_every_relative_link_exists(path):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


@each_page
def test_every_file_that_is_named_exists(path):
    named = set(
        re.findall(r"(?<![\w/.])(?:tests|tb|constraints|hdl|sim|bench|examples)/[\w./]+\w/?", code(path.read_text()))
    )
    missing = {name for name in named if not (ROOT / name).exists()}
    bare = set(re.findall(r"\b(?:test|tb)_\w+\.py", code(path.read_text())))
    missing |= {name for name in bare if not (ROOT / name.partition("_")[0].replace("test", "tests") / name).exists()}
    assert missing == set()


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@each_page
def test_every_make_target_exists(path):
    mentioned = set(re.findall(r"(?:^|[\s/])make ([a-z]+)", code(path.read_text(encoding="utf-8")), re.MULTILINE))
    assert mentioned <= make_targets()


@each_page
def test_every_command_and_option_exists(path):
    assert isinstance(main, click.Group)
    for name, rest in re.findall(r"(?:^|[\s/])cimarron ([a-z]+)(.*)", code(path.read_text()), re.MULTILINE):
        assert name in main.commands, f"there is no cimarron {name}"
        known = {option for parameter in main.commands[name].params for option in parameter.opts}
        options = set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", rest.partition("#")[0]))
        assert options <= known, f"cimarron {name} has no {options - known}"


def test_the_readme_mentions_what_the_tests_above_look_for():
    text = code((ROOT / "README.md").read_text(encoding="utf-8"))
    assert "make sim" in text
    assert "cimarron run" in text


# Numbers.


def comments(name: str) -> dict[str, str]:
    """What `isa.py` says behind each member of an enumeration; empty where it says nothing."""
    body = re.search(rf"^class {name}\(.*?\n(?=\n\n)", ISA_TEXT, re.MULTILINE | re.DOTALL)
    assert body is not None
    return dict(re.findall(r"^    (\w+) = \w+(?:  #: (.*))?$", body[0], re.MULTILINE))


def documented(subject: str) -> list[list[str]]:
    """Rows of the one table of all pages whose second heading is `subject`."""
    found = [rows for path in PAGES for head, *rows in tables(path.read_text()) if head[1] == f"`{subject}`"]
    assert len(found) == 1, f"{subject} has {len(found)} tables in the documentation, not one"
    return found[0]


@pytest.mark.parametrize(
    "name",
    [
        "Register", "Instruction", "MacroInstruction", "MacroFact", "JobEvent", "FlashRegister", "UartRegister",
        "TimerRegister", "SystemRegister", "Interrupt", "Event", "EngineError", "Opcode", "OutFormat", "Profile",
        "Step", "Mailbox", "HostCommand", "RunStatus", "HostRequest", "HostAnswer",
    ],
)  # fmt: skip
def test_every_enumeration_is_as_documented(name):
    enumeration: type[enum.IntEnum] = getattr(isa, name)
    rows = documented(name)
    assert [(int(value, 0), member) for value, member, _ in rows] == [(m.value, f"`{m.name}`") for m in enumeration]
    meanings = {member.strip("`"): text for _, member, text in rows}
    assert meanings == {member: text or meanings[member] for member, text in comments(name).items()}
    assert all(meanings.values())


def test_every_enumeration_of_the_contract_is_documented():
    listed = test_every_enumeration_is_as_documented.pytestmark[0].args[1]
    public = {
        name
        for name in isa.__all__
        if isinstance(value := getattr(isa, name), type) and issubclass(value, enum.IntEnum)
    }
    assert set(listed) == public


@pytest.mark.parametrize("opcode", JOB_FIELDS, ids=lambda opcode: opcode.name)
def test_every_job_field_is_as_documented(opcode):
    (rows,) = [rows for head, *rows in tables(page("program.md")) if head[2:3] == [f"`{opcode.name}`"]]
    assert rows == [
        [
            str(field.word),
            f"{field.low + field.bits - 1}..{field.low}" if field.bits > 1 else str(field.low),
            f"`{name}`",
            field.doc + (", signed" if field.signed else ""),
        ]
        for name, field in JOB_FIELDS[opcode].items()
    ]


def test_the_program_header_is_as_documented():
    rows = documented("PROGRAM_HEADER")
    assert [(int(offset, 0), name) for offset, name, _ in rows] == [
        (4 * index, f"`{name}`") for index, name in enumerate(PROGRAM_HEADER)
    ]
    assert all(meaning for _, _, meaning in rows)


@pytest.mark.parametrize("subject", ["HOST_IDENTITY", "HOST_RESULT"])
def test_the_words_of_answers_to_a_host_are_as_documented(subject):
    rows = documented(subject)
    assert [(int(word), name) for word, name, _ in rows] == [
        (index, f"`{name}`") for index, name in enumerate(getattr(isa, subject))
    ]
    assert all(meaning for _, _, meaning in rows)


@pytest.mark.parametrize("name", ["soc.md", "program.md", "host.md"])
def test_every_constant_has_the_documented_value(name):
    rows = [row for head, *rows in tables(page(name)) if head[1] == "constant" for row in rows]
    assert rows
    for value, names, _ in rows:
        assert int(value, 0) == sum(getattr(isa, part) for part in names.strip("`").split(" + "))


def test_every_address_is_in_the_address_map():
    (rows,) = [rows for head, *rows in tables(page("soc.md")) if head[0] == "address"]
    assert {names.strip("`").split()[0] for _, names, _ in rows} == {
        name for name in isa.__all__ if name.endswith("_BASE")
    }


def test_the_python_example_prints_a_compiled_network(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    compile(load(ROOT / "examples/digits/digits.onnx"), PRESETS["default"]).save("program")
    (text,) = examples(page("program.md"), "python")
    exec(text, {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["JOBS", *["JOB"] * 5, "END"]
    assert "'opcode': 2" in lines[2]


# Networks.


@pytest.mark.parametrize(("subject", "supported"), [("TFLite", TFLITE), ("ONNX", ONNX)], ids=["tflite", "onnx"])
def test_every_operator_that_is_read_is_documented(subject, supported):
    (rows,) = [rows for head, *rows in tables(page("networks.md")) if head[0] == f"`{subject}` operator"]
    assert [name for name, _ in rows] == [f"`{name}`" for name in sorted(supported)]


def no_operator(op: str) -> bool:
    """Whether the chip has nothing at all for an operator of the graph."""
    image, scale = (1, 4, 4, 4), Quantization.per_tensor(0.5)
    weights = Tensor("w", (4, 3, 3), np.dtype(np.int8), scale, np.ones((4, 3, 3), np.int8))
    ends = {name: Tensor(name, image, np.dtype(np.int8), scale) for name in ("x", "y")}
    inputs = ("x", "w") if op in ("fully_connected", "conv2d", "depthwise_conv2d") else ("x",) * OPERATORS[op][0]
    attributes = {
        "kernel": (1, 1), "stride": (1, 1), "dilation": (1, 1), "pads": (1, 1, 1, 1), "axes": (1, 2), "axis": 3,
        "value": 0, "clamp_min": -128, "clamp_max": 127, "multiplier": np.full(4, 1 << 30), "shift": np.zeros(4, int),
        "of": "average_pool",
    }  # fmt: skip
    node = Node("node", op, inputs, ("y",), attributes)
    graph = Graph("network", {"w": weights, **ends}, (node,), ("x",), ("y",), Profile.TFLM)
    try:
        (verdict,) = check(graph, PRESETS["default"])
    except ValueError:
        return False
    return verdict.place is Place.UNSUPPORTED and verdict.reason.startswith(f"there is no {op}")


def test_every_operator_of_the_graph_is_documented():
    (rows,) = [rows for head, *rows in tables(page("networks.md")) if head[0] == "operator of the graph"]
    places = {name: place for names, place in rows for name in re.findall(r"`(\w+)`", names)}
    assert set(places) == set(OPERATORS)
    assert {name for name, place in places.items() if place.startswith("not ")} == set(filter(no_operator, OPERATORS))


def call(*arguments: object) -> str:
    """Standard output of a command that must succeed."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Where the example has made its network and its inputs."""
    folder = tmp_path_factory.mktemp("network")
    make, _ = examples(page("networks.md"), "python")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(make, {"__name__": "example"})
        call(*shell_example()[0])
    return folder


def shell_example() -> list[list[str]]:
    (text,) = examples(page("networks.md"), "sh")
    return [line.split()[1:] for line in text.splitlines()]


def test_the_network_of_the_example_runs_on_the_chip(network, monkeypatch):
    monkeypatch.chdir(network)
    answer = call(*shell_example()[1])
    assert "conv2d" in answer
    assert "unsupported" not in answer


def report_fields(subject: str) -> dict[str, str]:
    """Meaning of each field of the report, or of one of its parts."""
    (rows,) = [rows for head, *rows in tables(page("report.md")) if head == ["field", "unit", f"`{subject}`"]]
    return {name.strip("`"): meaning for name, _, meaning in rows}


def report_parts(record: dict) -> dict[str, dict]:
    """An object of each kind in a report."""
    return {
        "report": record,
        "layers": record["layers"][1],
        "buffer": record["buffer"],
        "tensors": record["buffer"]["tensors"][0],
        "timeline": record["timeline"],
        "spans": record["timeline"]["spans"][0],
        "cpu": record["timeline"]["cpu"][0],
    }


@pytest.mark.cosim
@pytest.mark.slow
def test_the_example_equals_onnx_runtime_and_its_report_is_as_documented(network, monkeypatch):
    monkeypatch.chdir(network)
    call(*shell_example()[2], "--build-dir", ROOT / "build" / "sim")
    _, compare = examples(page("networks.md"), "python")
    exec(compare, {})
    record = json.loads(Path("results/report.json").read_text())
    for subject, part in report_parts(record).items():
        assert list(report_fields(subject)) == list(part)
    layer = record["layers"][1]
    for name in ("bounds", "stalls"):
        assert set(re.findall(r"`(\w+)`", report_fields("layers")[name])) == set(layer[name])


def test_the_schema_of_reports_demands_what_is_documented():
    schema = json.loads((ROOT / "sim/cimarron_sim/report/schema.json").read_text())
    kinds = {"layers": "layer", "tensors": "tensor", "timeline": "timeline", "spans": "span", "cpu": "activity"}
    parts = {"report": schema, "buffer": schema["properties"]["buffer"]}
    parts |= {subject: schema["$defs"][kind] for subject, kind in kinds.items()}
    for subject, part in parts.items():
        assert list(report_fields(subject)) == part["required"] == list(part["properties"])


def test_the_letters_of_a_timeline_are_documented():
    assert [(letter.strip("`"), name.strip("`")) for letter, name, _ in documented("phases")] == list(PHASES.items())


def test_the_tracks_of_a_trace_are_documented():
    (rows,) = [rows for head, *rows in tables(page("report.md")) if head[0] == "track"]
    assert [name.strip("`") for name, _ in rows] == list(TRACKS)


# The serial host.


@pytest.mark.cosim
def test_the_example_of_a_host_runs_the_digits(tmp_path, capsys):
    config = dataclasses.replace(PRESETS["tiny"], clock_hz=1_000_000, uart_baud=125_000)
    (tmp_path / "board.toml").write_text(soc_toml(config))
    graph = load(ROOT / "examples/digits/digits.onnx")
    program = compile(graph, config)
    program.save(tmp_path / "program")
    (text,) = examples(page("host.md"), "python")
    exec(text, names := {})
    x = np.arange(program.input.nbytes, dtype=program.input.dtype).reshape(program.input.shape)
    with SerialChip(config, ROOT / "build" / "sim") as chip:
        output = names["answer"](
            f"serial:{chip.path},timeout=30", str(tmp_path / "board.toml"), tmp_path / "program", x.tobytes()
        )
    np.testing.assert_array_equal(program.output.array(output), execute(graph, {graph.inputs[0]: x})[graph.outputs[0]])
    assert re.fullmatch(r"\d+ cycles, the engine was busy for \d+\n", capsys.readouterr().out)


# The engine as a part.


def test_the_ports_of_the_engine_are_as_documented():
    engine = Engine(PRESETS["default"].engine)
    actual = {"__".join(map(str, path)): member for path, member, _ in engine.signature.flatten(engine)}
    (rows,) = [rows for head, *rows in tables(page("soc.md")) if head[0] == "port"]
    found = {}
    for names, direction, widths, _ in rows:
        for name, bits in zip(re.findall(r"`(\w+)`", names), widths.split(", "), strict=True):
            found[name] = (wiring.In if direction == "in" else wiring.Out, int(bits))
    counters = {f"monitor__{name}" for name in ("busy", "compute", "operations")}
    counters |= {f"monitor__stall_{name}" for name in ("input", "weights", "output")}
    assert counters < set(actual)
    expected = {name: actual[name] for name in set(actual) - counters}
    assert found == {name: (member.flow, Shape.cast(member.shape).width) for name, member in expected.items()}


def c_example() -> str:
    (text,) = examples(page("soc.md"), "c")
    return text


def compiled_example(directory: Path) -> bytes:
    source = directory / "example.c"
    source.write_text(c_example(), encoding="utf-8")
    return compile_program([source], include=[Path(firmware.__file__).parent])


def test_the_c_example_compiles(tmp_path):
    assert compiled_example(tmp_path)


@pytest.mark.cosim
@pytest.mark.slow
def test_the_c_example_copies_its_words(tmp_path):
    system = ProgramRunner(Soc(PRESETS["tiny"]), "soc", BUILD)
    assert system.run(compiled_example(tmp_path), tmp_path).events == [Event.TEST << EVENT_SHIFT | 3]
