"""The command line must answer a user's mistake with one sentence, and never leave half a result."""

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from cimarron.config import PRESETS, load_config
from cimarron_sim.cli import main
from cimarron_sim.compiler import Place, compile
from cimarron_sim.compiler.check import Verdict
from cimarron_sim.compiler.predict import jobs_of
from cimarron_sim.frontend import Operator, load
from cimarron_sim.listing import list_operators
from cimarron_sim.report import files
from cimarron_sim.report.files import NAMES
from cimarron_sim.runner import session
from cimarron_sim.runner.tools import ToolError
from click.testing import CliRunner
from onnx import TensorProto, helper
from qdq_model import QdqModel, layer_model
from report_record import made_up

RNG = np.random.default_rng(5)
WEIGHTS = RNG.integers(-128, 128, (12, 7)).astype(np.int8)


def model_file(path, op="MatMul"):
    """A quantised layer with 12 inputs and 7 outputs."""
    constants = {
        "sx": np.array(0.5, np.float32), "zx": np.array(3, np.int8), "w": WEIGHTS,
        "sw": np.array(0.25, np.float32), "zw": np.array(0, np.int8),
        "sy": np.array(16.0, np.float32), "zy": np.array(-7, np.int8),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["xq"], "quantize_x"),
        helper.make_node("DequantizeLinear", ["xq", "sx", "zx"], ["xd"], "dequantize_x"),
        helper.make_node("DequantizeLinear", ["w", "sw", "zw"], ["wd"], "dequantize_w"),
        helper.make_node(op, ["xd", "wd"], ["yd"], "layer"),
        helper.make_node("QuantizeLinear", ["yd", "sy", "zy"], ["yq"], "quantize_y"),
        helper.make_node("DequantizeLinear", ["yq", "sy", "zy"], ["y"], "dequantize_y"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 12))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 7))],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def expected(x):
    """The layer in exact arithmetic: every scale is a power of two."""
    xq = np.clip(np.rint(x / 0.5) + 3, -128, 127)
    acc = (xq - 3) @ WEIGHTS.astype(np.float64)
    return ((np.clip(np.rint(acc * 0.5 * 0.25 / 16) - 7, -128, 127) + 7) * 16).astype(np.float32)


@pytest.fixture
def model(tmp_path):
    """Path of a model that runs."""
    return model_file(tmp_path / "small.onnx")


@pytest.fixture
def inputs(tmp_path):
    """Path of two inputs for it."""
    path = tmp_path / "inputs.npy"
    np.save(path, RNG.normal(0, 20, (2, 12)).astype(np.float32))
    return path


def call(*arguments):
    """Run a command; its exit code, standard output and standard error."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def refusal(*arguments):
    """Run a command that must refuse its arguments: its one sentence."""
    code, stdout, stderr = call(*arguments)
    assert code == 2
    assert not stdout
    assert stderr.startswith("cimarron: ")
    assert stderr.count("\n") == 1
    return stderr.strip()


@pytest.mark.parametrize(
    "command", [[], ["check"], ["compile"], ["run"], ["report"], ["verilog"], ["registers"], ["bitstream"], ["doctor"]]
)
def test_every_command_has_help(command):
    code, stdout, _ = call(*command, "--help")
    assert code == 0
    assert "Usage: " in stdout


def test_check_lists_every_operator(model):
    code, stdout, _ = call("check", model, "--config", "tiny")
    assert code == 0
    assert re.search(r"layer\s+│ fully_connected\s+│ engine", stdout)
    assert re.search(r"│ x\s+│ quantize\s+│ host", stdout)


def test_check_counts_the_jobs_that_run(tmp_path):
    file = tmp_path / "narrow.toml"
    file.write_text("[engine]\nact_buffer_bytes = 512\n")
    digits = Path(__file__).parents[1] / "examples" / "digits" / "digits_conv.onnx"
    program = compile(load(digits), load_config(str(file)))
    jobs = {layer.name: len(jobs) for layer, jobs in zip(program.layers, jobs_of(program), strict=True)}
    del jobs["input"], jobs["output"]
    assert max(jobs.values()) > 1, "nothing is moved to main memory"
    code, stdout, _ = call("check", digits, "--config", file)
    assert code == 0
    assert {name: int(count) for name, count in re.findall(r"│ (\w+) .* (\d+) jobs? ", stdout)} == jobs


def test_check_explains_how_layers_are_cut(model):
    code, stdout, _ = call("check", model, "--config", "tiny", "--explain")
    assert code == 0
    assert re.search(r"layer\s+│ \d+ row tiles? x .* │\s+[\d,]+ │ fewest of \d+: ", stdout)
    assert re.search(r"cycles more: (compute|weights|activations|outputs)", stdout)


def test_check_names_what_is_unsupported(tmp_path):
    code, stdout, stderr = call("check", model_file(tmp_path / "other.onnx", op="BitShift"), "--config", "tiny")
    assert code == 2
    assert "BitShift" in stdout + stderr
    assert "Traceback" not in stderr


def test_check_refuses_too_many_weights_before_layers_are_cut(monkeypatch, tmp_path):
    monkeypatch.setattr("cimarron_sim.compiler.mapping.tilings", None)
    x, w = np.zeros((1, 1000), np.int8), np.ones((1000, 120), np.int8)
    path = tmp_path / "heavy.onnx"
    path.write_bytes(layer_model("MatMul", x, 0.5, 0, w, np.array(0.1), None, 0.5, 0).bytes())
    code, _, stderr = call("check", path, "--config", "tiny")
    assert code == 2
    assert "the network has 120000 bytes of weights, 98304 bytes of main memory are free" in " ".join(stderr.split())


def mixed_model(path, *, refused):
    """Conv, Relu, Tanh if it is to be refused, Flatten, MatMul."""
    made, scale, zero = QdqModel(), np.float32(0.5), np.int8(0)
    x = made.dequantise(made.input("x", (1, 3, 8, 8), np.int8), "x_real", scale, zero)
    x = made.node("Conv", [x, made.weights("w", np.ones((4, 3, 3, 3), np.int8), np.float32(0.1))], "conv_3")
    x = made.dequantise(made.quantise(made.node("Relu", [x], "relu_4"), "a", scale, zero), "a_real", scale, zero)
    if refused:
        x = made.dequantise(made.quantise(made.node("Tanh", [x], "tanh_5"), "t", scale, zero), "t_real", scale, zero)
    x = made.node("Flatten", [x], "flatten_6")
    x = made.node("MatMul", [x, made.weights("v", np.ones((144, 4), np.int8), np.float32(0.1))], "matmul_7")
    made.quantise(x, made.output("y", np.int8), scale, zero)
    path.write_bytes(made.bytes())
    return path


def rows_of(stdout):
    """Name, type and place in every line of a listing."""
    return [tuple(cell.strip() for cell in line.split("│")[1:4]) for line in stdout.splitlines() if line[:1] == "│"]


@pytest.mark.parametrize("refused", [False, True])
def test_check_has_a_row_for_every_operator_of_an_onnx_file(refused, tmp_path):
    code, stdout, _ = call("check", mixed_model(tmp_path / "mixed.onnx", refused=refused), "--config", "tiny")
    assert code == (2 if refused else 0)
    assert rows_of(stdout) == [
        ("conv_3", "conv2d", "engine"),
        ("relu_4", "Relu", "-"),
        *([("tanh_5", "Tanh", "unsupported")] if refused else []),
        ("flatten_6", "Flatten", "-"),
        ("matmul_7", "fully_connected", "engine"),
        (f"({5 if refused else 4} operators)", "DequantizeLinear", "-"),
        (f"({3 if refused else 2} operators)", "QuantizeLinear", "-"),
    ]
    assert re.search(r"relu_4 .*fused into 'conv_3'", stdout)
    assert re.search(r"flatten_6 .*view", stdout)


@pytest.mark.parametrize("refused", [False, True])
def test_check_has_a_row_for_every_operator_of_a_tflite_file(refused, tmp_path):
    made = pytest.importorskip("tflite_model").TfliteModel()
    x = made.tensor((1, 2, 6, 1), np.float32)
    made.inputs = [x]
    x = made.operator("QUANTIZE", [x], made.tensor((1, 2, 6, 1), np.int8, 0.5), "QuantizeOptions")
    if refused:
        x = made.operator("TANH", [x], made.tensor((1, 2, 6, 1), np.int8, 0.5))
    x = made.operator("RESHAPE", [x, made.numbers([1, 12])], made.tensor((1, 12), np.int8, 0.5), "ReshapeOptions")
    w = made.tensor((4, 12), np.int8, 0.1, data=np.ones((4, 12), np.int8))
    x = made.operator("FULLY_CONNECTED", [x, w, -1], made.tensor((1, 4), np.int8, 9.0), "FullyConnectedOptions")
    made.outputs = [
        made.operator("SOFTMAX", [x], made.tensor((1, 4), np.int8, 1 / 256, -128), "SoftmaxOptions", beta=1.0)
    ]
    path = tmp_path / "mixed.tflite"
    path.write_bytes(made.bytes())
    code, stdout, _ = call("check", path, "--config", "tiny")
    assert code == (2 if refused else 0)
    names = ["QUANTIZE", *(["TANH"] if refused else []), "RESHAPE", "FULLY_CONNECTED", "SOFTMAX"]
    rows = [row for row in rows_of(stdout) if row[1] != "quantize"]
    assert [name for name, _, _ in rows] == [f"{name.lower()}_{index}" for index, name in enumerate(names)]
    kinds = [("QUANTIZE", "host"), ("RESHAPE", "-"), ("fully_connected", "engine"), ("softmax", "cpu")]
    assert [row[1:] for row in rows] == kinds[:1] + ([("TANH", "unsupported")] if refused else []) + kinds[1:]


def test_check_says_what_it_could_not_examine():
    operators = [
        Operator("soft", "Gelu", "", "no layer does this", "compute it outside"),
        Operator("c", "Conv", "conv2d"),
    ]
    _, behind = list_operators(operators, [], {})
    assert (behind.place, behind.reason) == ("-", "not examined: its input comes from an unsupported operator")


def test_check_lists_layers_that_no_operator_of_the_file_is():
    operators = [Operator("a", "Conv", "conv2d"), Operator("b", "Conv", "conv2d")]
    verdicts = [
        Verdict("x", "quantize", Place.HOST, ""), Verdict("a", "conv2d", Place.ENGINE, ""),
        Verdict("rescale", "requantise", Place.CPU, ""), Verdict("b", "conv2d", Place.ENGINE, ""),
        Verdict("y", "dequantize", Place.HOST, ""),
    ]  # fmt: skip
    assert [row.name for row in list_operators(operators, verdicts, {})] == ["x", "a", "rescale", "b", "y"]


def test_compile_writes_a_program(model, tmp_path):
    code, stdout, _ = call("compile", model, "--config", "tiny", "-o", tmp_path / "program")
    assert code == 0
    assert re.search(r"3 layers, [\d,]+ cycles on the engine", stdout)
    manifest = json.loads((tmp_path / "program" / "program.json").read_text())
    assert [layer["op"] for layer in manifest["layers"]] == ["load", "fully_connected", "store"]


@pytest.mark.cosim
def test_run_leaves_outputs_and_a_report(model, inputs, tmp_path):
    output = tmp_path / "result"
    code, stdout, stderr = call("run", model, "--input", inputs, "--input", inputs, "--config", "tiny", "-o", output)
    assert code == 0, stderr
    assert "0 mismatches" in stdout
    assert "fully_connected" in stdout
    x = np.load(inputs)
    for index in range(4):
        answer = np.load(output / f"output_{index}.npy")
        np.testing.assert_array_equal(answer, expected(x[index % 2 : index % 2 + 1]))
    record = json.loads((output / "report.json").read_text())
    assert record["samples"] == 4
    assert record["mismatches"] == 0
    assert record["tensors_compared"] == 4 * 4
    assert record["config_hash"] == f"{PRESETS['tiny'].engine.hash:08x}"
    layer = record["layers"][1]
    assert layer["macs"] == 12 * 7
    assert layer["utilisation"] == pytest.approx(12 * 7 / (layer["cycles"] * 16 * 4 / 8))
    assert sorted(path.name for path in output.iterdir()) == sorted([*(f"output_{n}.npy" for n in range(4)), *NAMES])
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.cosim
def test_report_makes_every_file_anew_and_replaces_a_run_s(model, inputs, tmp_path):
    output = tmp_path / "result"
    assert call("run", model, "--input", inputs, "--config", "tiny", "-o", output)[0] == 0
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    for name in NAMES[1:]:
        (output / name).unlink()
    code, stdout, stderr = call("report", output)
    assert code == 0
    assert "0 mismatches" in stdout
    assert [line.rpartition("/")[2] for line in stderr.splitlines()] == list(NAMES)
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    assert call("run", model, "--input", inputs, "--config", "tiny", "-o", output)[0] == 0


def test_report_writes_elsewhere(tmp_path):
    (tmp_path / "report.json").write_text(json.dumps(made_up()))
    code, stdout, _ = call("report", tmp_path / "report.json", "-o", tmp_path / "there")
    assert code == 0
    assert "made up, one inference" in stdout
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == sorted(NAMES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json", "there"]


def test_what_is_no_report_is_refused(tmp_path):
    assert "does not exist: name a folder that `cimarron run` wrote" in refusal("report", tmp_path / "absent")
    assert "does not exist" in refusal("report", tmp_path)
    (tmp_path / "report.json").write_text("[]")
    assert "is no report: name the report.json" in refusal("report", tmp_path)
    (tmp_path / "report.json").write_text(json.dumps({**made_up(), "format": 1}))
    shown = made_up()["format"]
    assert f"has format 1, this version shows format {shown}: run the model again" in refusal("report", tmp_path)
    (tmp_path / "report.json").write_bytes(b"\xff\xfe")
    assert "is not JSON" in refusal("report", tmp_path)


def test_report_without_the_packages_of_the_page_names_the_command(tmp_path, monkeypatch):
    (tmp_path / "report.json").write_text(json.dumps(made_up()))
    monkeypatch.setattr(files, "find_spec", lambda name: None)
    code, stdout, stderr = call("report", tmp_path)
    assert code == 2
    assert "made up, one inference" in stdout
    assert "cimarron: no report.html without jinja2 and matplotlib: run `" in stderr
    assert "-m pip install 'cimarron[report]'`" in stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.csv", "report.json", "trace.json"]


@pytest.mark.cosim
def test_a_mismatch_is_printed_and_fails(model, inputs, tmp_path, monkeypatch):
    right = session.execute

    def wrong(graph, values):
        tensors = right(graph, values)
        tensors[graph.outputs[0]] = tensors[graph.outputs[0]] ^ 1
        return tensors

    monkeypatch.setattr(session, "execute", wrong)
    code, _, stderr = call("run", model, "--input", inputs, "--config", "tiny", "-o", tmp_path / "result")
    assert code == 1
    pattern = r"cimarron: sample 0, layer 'layer', index \[0, 0\]: expected -?\d+, got -?\d+ \(7 of 7 values differ\)"
    assert re.search(pattern, stderr)


def test_a_failed_run_leaves_nothing(model, inputs, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise ToolError("building the simulator failed with exit code 1")

    monkeypatch.setattr(session, "Simulation", fail)
    before = sorted(tmp_path.iterdir())
    code, _, stderr = call("run", model, "--input", inputs, "-o", tmp_path / "result")
    assert code == 1
    assert "cimarron: building the simulator failed" in stderr
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_with_other_files_is_not_replaced(model, inputs, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    sentence = refusal("run", model, "--input", inputs, "-o", tmp_path / "mine")
    assert "holds files that are no report: choose another output folder" in sentence
    assert (tmp_path / "mine" / "thesis.txt").is_file()


@pytest.mark.parametrize("command", ["check", "compile", "run"])
def test_a_missing_model_is_refused(command, inputs, tmp_path):
    options = {"check": [], "compile": ["-o", tmp_path / "p"], "run": ["--input", inputs, "-o", tmp_path / "r"]}
    assert "absent.onnx" in refusal(command, tmp_path / "absent.onnx", *options[command])


def test_a_file_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "text.onnx").write_text("not a model")
    assert "text.onnx" in refusal("check", tmp_path / "text.onnx")


def test_unknown_configurations_are_refused(model, tmp_path):
    presets = ", ".join(PRESETS)
    assert f"'huge' is neither a preset ({presets}) nor" in refusal("check", model, "--config", "huge")
    (tmp_path / "bad.toml").write_text("[engine.macro]\nrows = 1\n")
    assert "macro.rows must be" in refusal("check", model, "--config", tmp_path / "bad.toml")


def test_a_configuration_file_is_read(model, tmp_path):
    (tmp_path / "good.toml").write_text("ram_bytes = 65536\n[engine.macro]\nrows = 32\n")
    assert call("check", model, "--config", tmp_path / "good.toml")[0] == 0


@pytest.mark.parametrize(
    ("name", "array", "sentence"),
    [
        ("wide.npy", np.zeros((1, 13), np.float32), r"shape \(1, 13\); input 'x' takes \(1, 12\): reshape"),
        ("double.npy", np.zeros((1, 12), np.float64), "holds float64; input 'x' takes float32 or int8: convert"),
        ("empty.npy", np.zeros((0, 12), np.float32), r"shape \(0, 12\)"),
        ("objects.npy", np.array([{}]), "not a file that numpy can read"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(model, tmp_path, name, array, sentence):
    np.save(tmp_path / name, array)
    assert re.search(sentence, refusal("run", model, "--input", tmp_path / name, "-o", tmp_path / "r"))


def test_files_that_do_not_fit_are_refused(model, tmp_path):
    (tmp_path / "short.bin").write_bytes(bytes(11))
    sentence = refusal("run", model, "--input", tmp_path / "short.bin", "-o", tmp_path / "r")
    assert "has 11 bytes; input 'x' of shape (1, 12) takes 48 (as float32) or 12 (as int8)" in sentence
    assert "does not exist" in refusal("run", model, "--input", tmp_path / "none.bin", "-o", tmp_path / "r")
    np.savez(tmp_path / "two.npz", a=np.zeros(1), b=np.zeros(1))
    sentence = refusal("run", model, "--input", tmp_path / "two.npz", "-o", tmp_path / "r")
    assert "holds the arrays a, b: name the input's 'x'" in sentence
    (tmp_path / "cut.npz").write_bytes((tmp_path / "two.npz").read_bytes()[:100])
    assert "numpy can read" in refusal("run", model, "--input", tmp_path / "cut.npz", "-o", tmp_path / "r")


@pytest.mark.cosim
@pytest.mark.parametrize("name", ["x.bin", "q.bin", "q.npy", "x.npz"])
def test_every_kind_of_input_file_gives_the_same_answer(model, tmp_path, name):
    x = np.arange(-6, 6, dtype=np.float32)
    q = (x / 0.5 + 3).astype(np.int8)
    x.tofile(tmp_path / "x.bin")
    q.tofile(tmp_path / "q.bin")
    np.save(tmp_path / "q.npy", q)
    np.savez(tmp_path / "x.npz", x=x, other=q)
    code, _, stderr = call("run", model, "--input", tmp_path / name, "--config", "tiny", "-o", tmp_path / "r")
    assert code == 0, stderr
    np.testing.assert_array_equal(np.load(tmp_path / "r" / "output_0.npy"), expected(x[np.newaxis]))


def test_verilog_writes_the_tops(tmp_path):
    code, stdout, _ = call("verilog", "--config", "tiny", "--top", "macro", "--top", "engine", "-o", tmp_path / "v")
    assert code == 0
    for top in ("macro", "engine"):
        assert str(tmp_path / "v" / f"{top}.v") in stdout
        assert re.search(rf"^module {top}\(", (tmp_path / "v" / f"{top}.v").read_text(), re.MULTILINE)


def test_verilog_of_a_macro_with_a_self_test_is_that_of_both(tmp_path):
    path = tmp_path / "tested.toml"
    path.write_text("[engine.macro]\nrows = 16\nself_test = true\n")
    assert call("verilog", "--config", path, "--top", "macro", "-o", tmp_path / "v")[0] == 0
    text = (tmp_path / "v" / "macro.v").read_text()
    ports = re.search(r"^module macro\((.*?)\);", text, re.MULTILINE | re.DOTALL)
    assert ports is not None
    assert {"i_stream__payload", "test_start", "test_done", "test_failure"} <= set(re.findall(r"\w+", ports[1]))


def test_doctor_names_the_remedy_for_what_is_missing(monkeypatch, tmp_path):
    code, stdout, _ = call("doctor")
    assert code == 0
    assert "MISSING" not in stdout
    monkeypatch.setenv("PATH", str(tmp_path))
    code, stdout, stderr = call("doctor")
    assert code == 1
    assert "sudo apt-get install g++" in stdout
    assert "cimarron: missing: g++, make, perl" in stderr


def test_click_mistakes_have_the_same_exit_code(model):
    assert call("run", model)[0] == 2
    assert call("verilog", "--top", "chip", "-o", "x")[0] == 2
    assert call("fly")[0] == 2
