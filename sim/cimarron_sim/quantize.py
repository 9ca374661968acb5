"""A float ONNX model to an int8 one, by ONNX Runtime's quantiser."""

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from .float_model import rewrite
from .frontend import ModelError, load
from .graph import Port
from .inputs import InputError, read_arrays
from .runner.tools import MissingToolError

__all__ = ["quantize"]

#: What a model has that somebody quantised before.
_QUANTISED = (
    "ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul",
    "QuantizeLinear",
)  # fmt: skip

#: ONNX opset from which weights can have a scale per channel, and to which older models are converted.
_OPSET = 13


def quantize(
    model: Path, calibration: Sequence[Path], output: Path, *, per_channel: bool = True, reduce_range: bool = False
) -> int:
    """Write a model in QDQ form: activations int8, weights int8 with zero point 0, biases int32.

    Scales of activations are those of the least and greatest value that the calibration inputs lead to.

    Parameters
    ----------
    model : Path
        ONNX file with one float32 input.
    calibration : sequence of Path
        Files of inputs, see `read_arrays`; real ones, as many as make every activation show its range.
    output : Path
        Written only if the result can be imported.
    per_channel : bool
        A scale per output channel of the weights, instead of one for all.
    reduce_range : bool
        Weights of 7 bits, for processors on which ONNX Runtime adds products in saturating 16 bits.

    Returns
    -------
    int
        Inputs that were used.

    Raises
    ------
    MissingToolError
        If ONNX Runtime is not installed.
    ModelError
        If the file is no float model with one float32 input, or what comes of it cannot be imported.
    InputError
        If a file does not hold inputs of the model.
    """
    try:
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError:
        raise MissingToolError(
            "cimarron quantize needs ONNX Runtime, which is not installed: pip install 'cimarron[quantize]'"
        ) from None
    proto = _float_model(model)
    port = _only_input(proto, model)
    arrays = [array for path in calibration for array in read_arrays(path, port, (port.dtype,))]
    if not all(np.isfinite(array).all() for array in arrays):
        raise InputError(f"calibration inputs of {port.name!r} hold values that are not finite: clean the arrays")

    class Reader(quantization.CalibrationDataReader):
        """Hands the inputs out, one at a time."""

        rest = iter(arrays)

        def get_next(self) -> dict[str, np.ndarray] | None:
            array = next(self.rest, None)
            return None if array is None else {port.name: array}

    with tempfile.TemporaryDirectory(prefix="cimarron-") as scratch, _quiet():
        source, prepared, result = Path(scratch, "float"), Path(scratch, "prepared"), Path(scratch, "int8", output.name)
        result.parent.mkdir()
        onnx.save(proto, source)
        try:
            # Folds batch normalisation into convolutions, and what is constant. It takes a file: of a model in memory
            # it moves integers such as shapes to a file of their own, which its next step does not find.
            quant_pre_process(source, prepared, skip_symbolic_shape=True)
            onnx.save(rewrite(onnx.load(prepared)), prepared)
            quantization.quantize_static(
                prepared, result, Reader(), quant_format=quantization.QuantFormat.QDQ, per_channel=per_channel,
                reduce_range=reduce_range,
                activation_type=quantization.QuantType.QInt8, weight_type=quantization.QuantType.QInt8,
                extra_options={"WeightSymmetric": True, "ActivationSymmetric": False},
            )  # fmt: skip
        except Exception as error:
            # ONNX Runtime has no common class for its errors.
            reason = str(error).strip().splitlines()[0:1]
            raise ModelError(
                f"{model} is refused by ONNX Runtime's quantiser ({reason[0] if reason else type(error).__name__}):"
                " check it with onnx.checker"
            ) from None
        load(result)
        output.write_bytes(result.read_bytes())
    return len(arrays)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What goes wrong is an exception; the rest is advice to those who call the quantiser themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def _float_model(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): check the path") from None
    except (DecodeError, ValueError):
        model = onnx.ModelProto()
    if not model.graph.node:
        raise ModelError(f"{path} is not an ONNX model or is cut short: export it again")
    found = sorted({node.op_type for node in model.graph.node} & set(_QUANTISED))
    if found:
        raise ModelError(f"{path} is quantised already (it has {', '.join(found)}): use it as it is")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise ModelError(f"{path} has weights outside the file: store them inside with onnx.save_model")
    try:
        onnx.checker.check_model(model)
        if all(entry.version < _OPSET for entry in model.opset_import if entry.domain in ("", "ai.onnx")):
            model = onnx.version_converter.convert_version(model, _OPSET)
    except Exception as error:
        # The checker has its own class, the converter a RuntimeError.
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path} is malformed ({reason}): export it again") from None
    return model


def _only_input(model: onnx.ModelProto, path: Path) -> Port:
    """The model's input; a batch of unknown size becomes 1, in the model, too."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs: list[Any] = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise ModelError(f"{path} has {len(inputs)} inputs, one can be calibrated: cut the model")
    (value,) = inputs
    kind = value.type.tensor_type
    if kind.elem_type != onnx.TensorProto.FLOAT:
        name = onnx.TensorProto.DataType.Name(kind.elem_type).lower()
        raise ModelError(f"{path} has the input {value.name!r} of {name}, not float32: export it in float32")
    sizes = []
    for axis, dimension in enumerate(kind.shape.dim):
        if dimension.WhichOneof("value") != "dim_value" and axis == 0:
            dimension.dim_value = 1
        sizes.append(dimension.dim_value)
    if not sizes or min(sizes) < 1:
        raise ModelError(f"{path} has the input {value.name!r} of unknown shape {sizes}: export it with fixed sizes")
    return Port(value.name, tuple(sizes), np.dtype(np.float32))
