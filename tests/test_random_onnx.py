"""Random float networks, quantised by the command line: reference, ONNX Runtime and RTL agree."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import oracle
import pytest
from cimarron.config import PRESETS
from cimarron_sim.cli import main
from cimarron_sim.compiler import compile
from cimarron_sim.compiler.predict import predict
from cimarron_sim.frontend import load
from cimarron_sim.reference import execute
from cimarron_sim.runner.compare import compare_inference
from cimarron_sim.runner.simulation import Simulation
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: pip install 'cimarron[quantize]'")

CONFIG = PRESETS["default"]


class FloatNetwork:
    """A network of random operators and weights; ``last`` is what comes next to be read, an NCHW image at first."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.channels, self.height, self.width = (
            int(self.random.integers(*ends)) for ends in ((1, 5), (6, 17), (6, 17))
        )
        self.shape = 1, self.channels, self.height, self.width
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.last = "image"
        self.convolve(self.channels, 8)
        for _ in range(int(self.random.integers(1, 5))):
            self.append(
                str(self.random.choice(["wider", "depthwise", "add", "average", "average", "maximum", "concat"]))
            )
        self.finish(str(self.random.choice(["global", "mean", "window", "all"])))

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Append an operator; what it computes."""
        self.last = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [self.last], f"{op}_{len(self.nodes)}", **attributes))
        return self.last

    def constant(self, *shape: int) -> str:
        name = f"c{len(self.constants)}"
        deviation = 1 / np.sqrt(np.prod(shape[1:]))
        values = self.random.normal(0, deviation, shape).astype(np.float32)
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def convolve(self, inputs: int, outputs: int, groups: int = 1) -> str:
        """Append a convolution that keeps the image's size, mostly with a ReLU."""
        side = int(self.random.choice([1, 3]))
        weights = self.constant(outputs, inputs // groups, side, side)
        self.node("Conv", self.last, weights, self.constant(outputs), pads=[side // 2] * 4, group=groups)
        self.channels = outputs
        return self.node("Relu", self.last) if self.random.random() < 0.7 else self.last

    def append(self, kind: str) -> None:
        before, fits = self.last, min(self.height, self.width) > 3
        match kind:
            case "wider":
                self.convolve(self.channels, 12)
            case "depthwise":
                self.convolve(self.channels, self.channels, self.channels)
            case "add":
                self.node("Add", before, self.convolve(self.channels, self.channels))
            case "concat":
                channels = self.channels
                self.node("Concat", before, self.convolve(channels, 4), axis=1)
                self.channels += channels
            case "average" if fits:
                self.average()
            case "maximum" if fits:
                self.node("MaxPool", before, kernel_shape=[2, 2], strides=[2, 2])
                self.height, self.width = self.height // 2, self.width // 2

    def average(self) -> None:
        side, stride = int(self.random.choice([2, 3])), int(self.random.choice([1, 2]))
        pad, counted = int(side == 3 and self.random.random() < 0.5), int(self.random.integers(2))
        window = {"kernel_shape": [side, side], "strides": [stride] * 2, "pads": [pad] * 4}
        self.node("AveragePool", self.last, count_include_pad=counted, **window)
        self.height, self.width = ((size + 2 * pad - side) // stride + 1 for size in (self.height, self.width))

    def finish(self, kind: str) -> None:
        """Append a fully connected layer, and sometimes a softmax."""
        depth = self.channels
        match kind:
            case "global":
                self.node("GlobalAveragePool", self.last)
            case "mean":
                self.node("ReduceMean", self.last, axes=[2, 3])
            case "window":
                self.node("AveragePool", self.last, kernel_shape=[self.height, self.width])
            case _:
                depth *= self.height * self.width
        self.node("Flatten", self.last)
        outputs = int(self.random.integers(2, 12))
        self.node("Gemm", self.last, self.constant(depth, outputs), self.constant(outputs))
        if self.random.random() < 0.6:
            self.node("Softmax", self.last, axis=-1)

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes, "random", [helper.make_tensor_value_info("image", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)], self.constants,
        )  # fmt: skip
        return onnx.shape_inference.infer_shapes(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        )


@pytest.fixture
def quantised(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, np.ndarray]:
    """The int8 model of a seed, and images for it."""
    network = FloatNetwork(request.param)
    images = network.random.normal(0, 1, (8, *network.shape[1:])).astype(np.float32)
    onnx.save(network.model(), tmp_path / "float.onnx")
    np.save(tmp_path / "images.npy", images)
    command = ["quantize", "float.onnx", "--calibration", "images.npy", "--reduce-range", "-o", "int8.onnx"]
    result = CliRunner().invoke(main, [str(tmp_path / word) if "." in word else word for word in command])
    assert result.exit_code == 0, result.output
    return tmp_path / "int8.onnx", images


@pytest.mark.parametrize("quantised", range(30), indirect=True)
def test_random_networks_equal_onnx_runtime(quantised):
    path, images = quantised
    graph, data = load(path), path.read_bytes()
    (source,), (target,) = graph.inputs, graph.outputs
    for image in images:
        values = execute(graph, {source: graph.encode(source, image[np.newaxis])})
        (expected,) = oracle.run(data, {"image": image[np.newaxis]})
        np.testing.assert_array_equal(graph.decode(target, values[target]), expected)


@pytest.mark.cosim
@pytest.mark.parametrize("quantised", [1, 4, 9, 22, 27], indirect=True)
def test_random_networks_are_exact_on_the_system_and_take_the_cycles_predicted(quantised):
    path, images = quantised
    graph = load(path)
    program, (source,), (target,) = compile(graph, CONFIG), graph.inputs, graph.outputs
    inputs = [graph.encode(source, image[np.newaxis]) for image in images[:3]]
    result = Simulation(CONFIG).run(program, [x.tobytes() for x in inputs], processes=1)
    predicted = predict(program, CONFIG.engine)
    for sample, (x, inference) in enumerate(zip(inputs, result.inferences, strict=True)):
        assert not compare_inference(sample, inference, execute(graph, {source: x}), target)
        assert [layer.counters.busy for layer in inference.layers] == predicted
