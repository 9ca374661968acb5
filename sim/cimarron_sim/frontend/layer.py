"""Weights, biases and geometry of layers, checked and brought to the graph's form."""

import dataclasses

import numpy as np

from ..graph import MAX_VALUES
from .model import ModelError, Unsupported
from .values import Constant, QuantizedConstant, Value

__all__ = ["convolution", "integer_bias", "layer_weights", "pooling", "transposed"]


def layer_weights(value: Value | None, axis: int) -> QuantizedConstant:
    """A layer's weights: as int8 with zero point 0 if they fit so, else with the type and zero points they have.

    Parameters
    ----------
    value : Value
    axis : int
        Of the output channels, the only one that may have several scales.

    Raises
    ------
    Unsupported
        If they are not constant, or have a scale per input, or more than 8 bits.
    ModelError
        If there are none.
    """
    if not isinstance(value, QuantizedConstant):
        raise Unsupported("its weights are not constant integers", "quantise the model with quantize_static")
    quantization = value.quantization
    if quantization.axis not in (None, axis):
        raise Unsupported("its weights have a scale per input", "quantise weights per output channel")
    kind = value.data.dtype.name
    if not kind.startswith(("int", "uint")):
        raise Unsupported(f"its weights are {kind}", "quantise weights to 8 bits")
    if not value.data.size:
        raise ModelError(f"weights of the shape {value.data.shape} hold nothing: export the model again")
    stored = value.data.astype(np.int64)
    data = stored - quantization.along(quantization.zero_point, value.data.ndim)
    limit = 1 << value.bits - 1
    if data.min() < -limit or data.max() >= limit:
        if kind not in ("int4", "int8", "uint4", "uint8"):
            raise Unsupported(f"its weights are {kind}", "quantise weights to 8 bits")
        return dataclasses.replace(value, data=stored.astype(np.uint8 if kind[0] == "u" else np.int8))
    symmetric = dataclasses.replace(quantization, zero_point=np.zeros_like(quantization.zero_point))
    return QuantizedConstant(data.astype(np.int8), symmetric, value.bits)


def transposed(weights: QuantizedConstant) -> QuantizedConstant:
    """A weight matrix with its axes exchanged."""
    axis = weights.quantization.axis
    quantization = dataclasses.replace(weights.quantization, axis=None if axis is None else 1 - axis)
    return QuantizedConstant(weights.data.T, quantization, weights.bits)


def integer_bias(label: str, bias: QuantizedConstant | Constant, products: np.ndarray) -> np.ndarray:
    """A layer's bias in units of ``x_scale * w_scale``.

    Parameters
    ----------
    label : str
        Of the layer, for sentences.
    bias : QuantizedConstant or Constant
        Integers, or real numbers, which are rounded as ONNX Runtime does.
    products : float32 array, shape (M,)
        ``x_scale * w_scale`` of every output.

    Returns
    -------
    int32 array, shape (M,)

    Raises
    ------
    ModelError
        If the shape, type or scale does not belong to the layer.
    """
    data = bias.data
    if data.size not in (1, products.size) or (data.ndim and data.shape[-1] != data.size):
        raise ModelError(f"layer {label!r} has {products.size} outputs but a bias of {data.shape}: let the sizes agree")
    data = np.broadcast_to(data.reshape(-1), products.shape)
    if isinstance(bias, Constant):
        if data.dtype != np.float32 or not np.all(np.isfinite(data)):
            raise ModelError(f"layer {label!r} has a bias that is not finite in float32: export the model again")
        if not np.all(products > 0):
            raise ModelError(f"layer {label!r} has scales whose product underflows: quantise the model again")
        limits = np.iinfo(np.int32)
        with np.errstate(over="ignore"):
            steps = data / products
        return np.clip(np.rint(steps).astype(np.float64), limits.min, limits.max).astype(np.int32)
    if data.dtype != np.int32 or np.any(bias.quantization.zero_point):
        raise ModelError(f"layer {label!r} has a bias that is not int32 with zero point 0: quantise the model again")
    # ONNX Runtime never looks at this scale, so a rounding error in it is harmless.
    if not np.allclose(bias.quantization.scale, products, rtol=1e-3, atol=0):
        raise ModelError(f"layer {label!r} has a bias whose scale is not x_scale * w_scale: quantise the model again")
    return np.ascontiguousarray(data)


def convolution(
    label: str, attributes: dict, size: tuple[int, int], kernel: tuple[int, int], depth: int
) -> tuple[dict[str, tuple[int, ...]], tuple[int, int]]:
    """Geometry of a convolution, each pair vertical first.

    Parameters
    ----------
    label : str
        Of the operator, for sentences.
    attributes : dict
        ``strides``, ``dilations``, ``kernel_shape``, and ``pads`` or ``auto_pad``.
    size, kernel : tuple of int
        Pixels of the input and of the weights.
    depth : int
        Values of the input per pixel.

    Returns
    -------
    attributes : dict
        Of the graph's node: ``stride``, ``dilation``, ``pads`` (top, left, bottom, right).
    output : tuple of int
        Pixels of the output.

    Raises
    ------
    ModelError
        If an attribute is impossible, or the kernel is larger than the padded input, or the padding is absurd.
    """
    stride, dilation = (tuple(attributes.get(key, (1, 1))) for key in ("strides", "dilations"))
    for name, pair in (("strides", stride), ("dilations", dilation)):
        if len(pair) != 2 or not all(1 <= step < 1 << 31 for step in pair):
            raise ModelError(f"{label} has the {name} {list(pair)}, not two positive numbers: export the model again")
    if tuple(attributes.get("kernel_shape", kernel)) != kernel:
        raise ModelError(f"{label} has another kernel_shape than its weights, {list(kernel)}: export the model again")
    pads = _pads(label, attributes, size, kernel, stride, dilation)
    top, left, bottom, right = pads
    padded = size[0] + top + bottom, size[1] + left + right
    if padded[0] * padded[1] * depth > MAX_VALUES:
        raise ModelError(f"{label} pads its input to {list(padded)} pixels of {depth} values: pad it less")
    extent = dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1
    if extent[0] > padded[0] or extent[1] > padded[1]:
        raise ModelError(f"{label} spans {list(extent)} pixels of an input of {list(padded)}: pad the input")
    output = (padded[0] - extent[0]) // stride[0] + 1, (padded[1] - extent[1]) // stride[1] + 1
    return {"stride": stride, "dilation": dilation, "pads": pads}, output


def pooling(label: str, kernel: tuple[int, ...]) -> tuple[int, int]:
    """The window of a pool, which no weights bound.

    Raises
    ------
    ModelError
        If a side is not 1 to 2**15.
    """
    if len(kernel) != 2 or not all(1 <= side <= 1 << 15 for side in kernel):
        raise ModelError(f"{label} has the window {list(kernel)}, not two sides of 1 to 32768: export the model again")
    return kernel[0], kernel[1]


def _pads(
    label: str, attributes: dict, size: tuple[int, ...], kernel: tuple[int, ...], stride: tuple, dilation: tuple
) -> tuple[int, int, int, int]:
    """Explicit padding, or that by which the output has ceil(size / stride) pixels."""
    auto = attributes.get("auto_pad", b"NOTSET").decode()
    if auto in ("NOTSET", "VALID"):
        pads = tuple(attributes.get("pads", ())) or (0, 0, 0, 0)
        if len(pads) != 4 or min(pads) < 0:
            raise ModelError(f"{label} has the pads {list(pads)}, not four numbers from 0 on: slice its input instead")
        return (0, 0, 0, 0) if auto == "VALID" else pads
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        raise ModelError(f"{label} has the auto_pad {auto!r}, which ONNX does not know: export the model again")
    before, after = [], []
    for pixels, taps, step, spread in zip(size, kernel, stride, dilation, strict=True):
        total = max(0, (-(-pixels // step) - 1) * step + spread * (taps - 1) + 1 - pixels)
        before.append(total - total // 2 if auto == "SAME_LOWER" else total // 2)
        after.append(total - before[-1])
    return before[0], before[1], after[0], after[1]
