"""A network of the visual wake words benchmark's shapes with weights of our own: MobileNet v1 0.25, 96 x 96 x 3.

Shapes, strides and the rounding of the padding are those of MLPerf Tiny's person detection (Howard et al.,
"MobileNets", 2017, with a width of 0.25); everything else is drawn from a seed. What trained networks have, and random
bytes have not, is put in: scales per channel that span orders of magnitude, ReLU6, channels that training left
without a weight, and sums that fill the output's range.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["SIZE", "VwwLayer", "onnx_bytes", "tflite_bytes", "vww_image", "vww_layers"]

#: Pixels of an image in each direction.
SIZE = 96

#: Stride of the depthwise half and outputs of the pointwise half of each pair of layers.
_PAIRS = [
    (1, 16), (2, 32), (1, 32), (2, 64), (1, 64), (2, 128), (1, 128), (1, 128), (1, 128), (1, 128), (1, 128), (2, 256),
    (1, 256),
]  # fmt: skip

#: Scale and zero point of the image, and of the last two layers.
_IMAGE = (np.float32(1 / 255), -128)
_SCORES = (np.float32(0.06), 7)
_SHARES = (np.float32(1 / 256), -128)

#: Sums before ReLU6 have this mean and deviation, and the activations behind it these.
_MEAN, _DEVIATION = 1.5, 2.5
_ACTIVE_MEAN, _ACTIVE_DEVIATION = 2.05, 1.9

_DENSE = 2


@dataclass(frozen=True, eq=False)
class VwwLayer:
    """One layer with weights.

    Parameters
    ----------
    op : str
        ``"conv"``, ``"depthwise"`` or ``"dense"``.
    stride : int
    weights : int8 array, shape (outputs, kernel, kernel, channels)
        With one channel in a depthwise layer.
    scale : float32 array, shape (outputs,)
        Of the weights.
    bias : int32 array, shape (outputs,)
    x, y : (float32, int)
        Scale and zero point of input and output.
    size : int
        Pixels of the output in each direction.
    """

    op: str
    stride: int
    weights: np.ndarray
    scale: np.ndarray
    bias: np.ndarray
    x: tuple[np.float32, int]
    y: tuple[np.float32, int]
    size: int

    @property
    def outputs(self) -> int:
        """Output channels."""
        return self.weights.shape[0]

    @property
    def pads(self) -> tuple[int, int]:
        """Rows (and columns) before and behind the image, as SAME pads an even size: at stride 2 behind it only."""
        return (0, 0) if self.weights.shape[1] == 1 else (0, 1) if self.stride == 2 else (1, 1)


def _layer(
    rng: np.random.Generator, op: str, stride: int, shape: tuple[int, ...], x: tuple[np.float32, int],
    y: tuple[np.float32, int], size: int, moments: tuple[float, float], limit: int,
) -> VwwLayer:  # fmt: skip
    """A layer whose sums have `_MEAN` and `_DEVIATION` when its inputs have the moments given."""
    outputs, mean, deviation = shape[0], *moments
    real = rng.normal(0, 1, shape)
    weights = np.rint(limit * real / np.abs(real).max(axis=(1, 2, 3), keepdims=True)).astype(np.int8)
    flat = weights.reshape(outputs, -1).astype(np.float64)
    spread = _DEVIATION * np.exp(rng.normal(0, 0.4, outputs))
    scale = (spread / (deviation * np.linalg.norm(flat, axis=1))).astype(np.float32)
    offset = rng.normal(_MEAN, 1.0, outputs) - mean * scale * flat.sum(axis=1)
    bias = np.rint(offset / (x[0] * scale)).astype(np.int32)
    if op != "dense":
        # Training leaves some channels without a weight; converters give those whatever scale they like.
        dead = rng.choice(outputs, max(1, outputs // 16), replace=False)
        weights[dead] = 0
        scale[dead] = rng.choice([1e-12, 1e-6, 1.0], dead.size).astype(np.float32)
        bias[dead] = rng.integers(-(2**20), 2**20, dead.size)
    return VwwLayer(op, stride, weights, scale, bias, x, y, size)


def vww_layers(seed: int = 1, limit: int = 127) -> list[VwwLayer]:
    """Convolution, thirteen pairs of a depthwise and a pointwise one, fully connected.

    Between the last two lies an average pool of all pixels, behind the last a softmax.

    Parameters
    ----------
    seed : int
    limit : int
        Largest magnitude of a weight.
    """
    rng = np.random.default_rng(seed)
    x, size, channels, layers = _IMAGE, SIZE, 3, []
    moments = (0.5, 0.29)

    def append(op: str, stride: int, shape: tuple[int, ...]) -> None:
        nonlocal x, size, channels, moments
        # Two thirds use the whole range for ReLU6, the others have its bounds somewhere within.
        y = np.float32(6 / 255), -128
        if rng.random() < 1 / 3:
            y = np.float32(6 / rng.uniform(120, 250)), int(rng.integers(-128, 0))
        size = -(-size // stride)
        layers.append(_layer(rng, op, stride, shape, x, y, size, moments, limit))
        x, channels, moments = y, shape[0], (_ACTIVE_MEAN, _ACTIVE_DEVIATION)

    append("conv", 2, (8, 3, 3, 3))
    for stride, outputs in _PAIRS:
        append("depthwise", stride, (channels, 3, 3, 1))
        append("conv", 1, (outputs, 1, 1, channels))
    layers.append(
        _layer(rng, "dense", 1, (_DENSE, 1, 1, channels), x, _SCORES, 1, (_ACTIVE_MEAN, _ACTIVE_DEVIATION), limit)
    )
    return layers


def vww_image(seed: int = 1) -> np.ndarray:
    """An image with edges, gradients, noise and saturated parts.

    Returns
    -------
    int8 array, shape (1, 96, 96, 3)
    """
    rng = np.random.default_rng([seed, 96])
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    image = rng.normal(0, 12, (SIZE, SIZE, 3))
    for _ in range(12):
        angle, place = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.8, 2)
        side = (columns - place[0]) * np.cos(angle) + (rows - place[1]) * np.sin(angle)
        image += (side > 0)[..., None] * rng.normal(0, 60, 3) + side[..., None] * rng.normal(0, 80, 3)
    return np.clip(np.rint(image), -128, 127).astype(np.int8)[None]


def tflite_bytes(seed: int = 1, *, taps: bool = False) -> bytes:
    """The network as a TFLite file; with ``taps``, what every operator computes is an output, in their order."""
    from tflite_model import TfliteModel

    made, layers = TfliteModel(), vww_layers(seed)
    last = source = made.tensor((1, SIZE, SIZE, 3), np.int8, *_IMAGE)
    for layer in layers:
        if layer.op == "dense":
            # All pixels to one, and the image to a vector.
            size, depth = layers[-2].size, layers[-2].outputs
            pooled = made.tensor((1, 1, 1, depth), np.int8, *layer.x)
            window = {"padding": 1, "strideH": size, "strideW": size, "filterHeight": size, "filterWidth": size}
            last = made.operator("AVERAGE_POOL_2D", [last], pooled, "Pool2DOptions", **window)
            flat = made.tensor((1, depth), np.int8, *layer.x)
            last = made.operator("RESHAPE", [last, made.numbers([1, depth])], flat)
        depthwise, outputs = layer.op == "depthwise", layer.outputs
        data, axis = layer.weights, 0
        if depthwise:
            data, axis = np.ascontiguousarray(data.transpose(3, 1, 2, 0)), 3
        elif layer.op == "dense":
            data = data.reshape(outputs, -1)
        w = made.tensor(data.shape, np.int8, layer.scale, 0, axis=axis, data=data)
        b = made.tensor((outputs,), np.int32, layer.x[0] * layer.scale, 0, data=layer.bias)
        if layer.op == "dense":
            y = made.tensor((1, outputs), np.int8, *layer.y)
            last = made.operator("FULLY_CONNECTED", [last, w, b], y, "FullyConnectedOptions")
            continue
        y = made.tensor((1, layer.size, layer.size, outputs), np.int8, *layer.y)
        table = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
        options = {"depthMultiplier": 1} if depthwise else {}
        last = made.operator(
            "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", [last, w, b], y, table, **options, padding=0,
            strideH=layer.stride, strideW=layer.stride, dilationHFactor=1, dilationWFactor=1,
            fusedActivationFunction=3,
        )  # fmt: skip
    shares = made.tensor((1, _DENSE), np.int8, *_SHARES)
    made.inputs, made.outputs = [source], [made.operator("SOFTMAX", [last], shares, "SoftmaxOptions", beta=1.0)]
    if taps:
        made.outputs = [operator.outputs[0] for operator in made.operators]
    return made.bytes()


def onnx_bytes(seed: int = 1, *, limit: int = 127, taps: bool = False) -> bytes:
    """The network as an ONNX file in QDQ form, of images in NCHW; ``limit`` and ``taps`` as above, tensors by name."""
    from qdq_model import QdqModel

    made = QdqModel()
    real = made.dequantise(made.input("image", (1, 3, SIZE, SIZE), np.int8), "image_real", _IMAGE[0], np.int8(-128))
    for index, layer in enumerate(vww_layers(seed, limit)):
        name, outputs = f"{layer.op}{index}", layer.outputs
        data = np.ascontiguousarray(layer.weights.transpose(0, 3, 1, 2))
        b = made.weights(f"{name}_b", layer.bias, (layer.x[0] * layer.scale).astype(np.float32))
        if layer.op == "dense":
            pool = made.quantise(
                made.node("GlobalAveragePool", [real], "mean"), "mean_int", layer.x[0], np.int8(layer.x[1])
            )
            real = made.node("Flatten", [made.dequantise(pool, "mean_real", layer.x[0], np.int8(layer.x[1]))], "flat")
            w = made.weights(f"{name}_w", data.reshape(outputs, -1), layer.scale)
            result = made.node("Gemm", [real, w, b], name, transB=1)
        else:
            w = made.weights(f"{name}_w", data, layer.scale)
            before, behind = layer.pads
            result = made.node(
                "Conv", [real, w, b], name, strides=[layer.stride] * 2, pads=[before, before, behind, behind],
                group=outputs if layer.op == "depthwise" else 1,
            )  # fmt: skip
            bounds = [made.constant(f"{name}_low", np.float32(0)), made.constant(f"{name}_high", np.float32(6))]
            result = made.node("Clip", [result, *bounds], f"{name}_active")
        integers = made.quantise(result, f"{name}_int", layer.y[0], np.int8(layer.y[1]))
        real = made.dequantise(integers, f"{name}_real", layer.y[0], np.int8(layer.y[1]))
    made.quantise(made.node("Softmax", [real], "shares", axis=-1), made.output("y", np.int8), _SHARES[0], np.int8(-128))
    if taps:
        tensors = [node.output[0] for node in made.nodes if node.op_type == "QuantizeLinear"]
        for name in tensors[:-1]:
            made.output(name, np.int8)
    return made.bytes()
