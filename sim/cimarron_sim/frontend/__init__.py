"""From model files to the quantised graph."""

from pathlib import Path

from ..graph import Graph
from . import onnx
from .model import ModelError, Operator

__all__ = ["ModelError", "Operator", "inspect", "load"]

#: Bytes 4 to 8 of a TFLite flatbuffer.
_TFLITE = b"TFL3"


def _read(path: str | Path) -> bytes:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): check the path") from None
    if data[4:8] == _TFLITE:
        raise ModelError(f"{path} is a TFLite model, which cannot be imported: convert it to ONNX with tf2onnx")
    return data


def load(path: str | Path) -> Graph:
    """The quantised graph of a model file, whose content tells its format.

    Raises
    ------
    ModelError
        If the file is not a model, is malformed, or has operators that are not supported (all of them are named).
    """
    return onnx.load(_read(path), str(path))


def inspect(path: str | Path) -> tuple[Operator, ...]:
    """Verdict on every operator of a model file, in the order of execution.

    Raises
    ------
    ModelError
        If the file is not a model or is malformed; an operator that is not supported is no reason.
    """
    return onnx.inspect(_read(path), str(path))
