"""Trains, quantises and writes the two example networks, ``digits.onnx`` and ``digits_conv.onnx``.

Int8 throughout: weights symmetric with a scale per output channel, activations with a scale and zero point per
tensor from the ranges seen in training, bias int32. The files are QDQ graphs with float32 inputs and outputs. Seeds
are fixed; another BLAS can still round a weight differently, so the committed files are the reference.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from digits import SCALE, ZERO_POINT, held_out, training
from onnx import TensorProto, helper, numpy_helper
from train import Conv, Dense, forward, train

_HERE = Path(__file__).parent


class _Writer:
    """Collects the operators and constants of a QDQ graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def parameters(self, name: str, scale: np.ndarray | float, zero_point: np.ndarray) -> list[str]:
        scales = self.constant(f"{name}_scale", np.array(scale, np.float32))
        return [scales, self.constant(f"{name}_zero_point", zero_point)]

    def dequantised(self, name: str, integers: np.ndarray, scale: np.ndarray) -> str:
        parameters = self.parameters(name, scale, np.zeros(scale.shape, integers.dtype))
        return self.node("DequantizeLinear", [self.constant(f"{name}_int", integers), *parameters], name, axis=0)

    def requantised(self, name: str, real: str, scale: float, zero_point: int, last: str | None = None) -> str:
        parameters = self.parameters(name, scale, np.array(zero_point, np.int8))
        integers = self.node("QuantizeLinear", [real, *parameters], f"{name}_int")
        return self.node("DequantizeLinear", [integers, *parameters], last or name)


def _range(values: np.ndarray) -> tuple[float, int]:
    """Scale and zero point by which int8 covers `values` and 0."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scale = float(np.float32((high - low) / 255))
    return scale, int(np.clip(np.rint(-128 - low / scale), -128, 127))


def _quantised(layers: list[Dense | Conv], images: np.ndarray, name: str) -> onnx.ModelProto:
    """The QDQ model of `layers`, calibrated with `images` (in the model's own input shape)."""
    graph = _Writer()
    shape = [1, *images.shape[1:]]
    value = graph.requantised("image_q", "image", SCALE, ZERO_POINT)
    in_scale = np.float32(SCALE)
    flat = len(shape) == 2
    for index, (layer, output) in enumerate(zip(layers, forward(layers, images), strict=True), 1):
        label = f"conv{index}" if isinstance(layer, Conv) else f"fc{index}"
        last = index == len(layers)
        w_scale = (np.abs(layer.w).max(tuple(range(1, layer.w.ndim))) / 127).astype(np.float32)
        steps = layer.w / w_scale.reshape(-1, *[1] * (layer.w.ndim - 1))
        w = graph.dequantised(f"{label}_w", np.rint(steps).clip(-127, 127).astype(np.int8), w_scale)
        b_scale = in_scale * w_scale
        b = graph.dequantised(f"{label}_b", np.rint(layer.b / b_scale).astype(np.int32), b_scale)
        if isinstance(layer, Conv):
            kernel, stride = [layer.kernel] * 2, [layer.stride] * 2
            real = graph.node("Conv", [value, w, b], label, kernel_shape=kernel, strides=stride, pads=list(layer.pads))
        else:
            if not flat:
                value, flat = graph.node("Flatten", [value], "flatten"), True
            real = graph.node("Gemm", [value, w, b], label, transB=1)
        if layer.relu:
            real = graph.node("Relu", [real], f"{label}_relu")
        scale, zero_point = _range(output)
        value = graph.requantised(f"{label}_q", real, scale, zero_point, "logits" if last else None)
        in_scale = np.float32(scale)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 10])
    proto = helper.make_graph(graph.nodes, name, [image], [logits], graph.constants)
    model = helper.make_model(
        proto, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="cimarron examples/digits"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def fully_connected() -> onnx.ModelProto:
    """64 - 72 - 40 - 10."""
    rng = np.random.default_rng(7)
    images, labels = training()
    layers: list[Dense | Conv] = [
        Dense(rng, 64, 72, relu=True), Dense(rng, 72, 40, relu=True), Dense(rng, 40, 10, relu=False)
    ]  # fmt: skip
    train(layers, rng, images.reshape(-1, 1, 8, 8), labels, epochs=120)
    return _quantised(layers, images, "digits")


def convolutional() -> onnx.ModelProto:
    """8 x 8 x 1, 3 x 3 to 12 channels, 3 x 3 with stride 2 to 4 x 4 x 20, 10."""
    rng = np.random.default_rng(11)
    images, labels = training()
    layers: list[Dense | Conv] = [
        Conv(rng, 1, 12, 3, 1, (1, 1, 1, 1)), Conv(rng, 12, 20, 3, 2, (0, 0, 1, 1)), Dense(rng, 320, 10, relu=False)
    ]  # fmt: skip
    images = images.reshape(-1, 1, 8, 8)
    train(layers, rng, images, labels, epochs=40)
    return _quantised(layers, images, "digits_conv")


def accuracy(model: onnx.ModelProto) -> float:
    """Fraction of the held-out digits that ONNX Runtime recognises."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    shape = session.get_inputs()[0].shape
    images, labels = held_out()
    answers = [session.run(None, {"image": image.reshape(shape)})[0].argmax() for image in images]
    return float(np.mean(np.array(answers) == labels))


if __name__ == "__main__":
    for build in (fully_connected, convolutional):
        made = build()
        path = _HERE / f"{made.graph.name}.onnx"
        path.write_bytes(made.SerializeToString(deterministic=True))
        print(f"{path.name}: {accuracy(made):.4f} of {len(held_out()[1])} held-out digits")
