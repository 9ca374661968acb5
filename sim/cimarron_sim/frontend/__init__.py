"""From model files to the quantised graph."""

from pathlib import Path
from types import ModuleType

from ..graph import Graph
from . import onnx, tflite
from .model import ModelError, Operator
from .part import Survey

__all__ = ["ModelError", "Operator", "Survey", "load", "survey"]

#: Bytes 4 to 8 of a TFLite flatbuffer.
_TFLITE = b"TFL3"


def _read(path: str | Path) -> bytes:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): check the path") from None
    return data


def _format(data: bytes) -> ModuleType:
    return tflite if data[4:8] == _TFLITE else onnx


def load(path: str | Path) -> Graph:
    """The quantised graph of a model file, whose content tells its format.

    Raises
    ------
    ModelError
        If the file is not a model, is malformed, or has operators that are not supported (all of them are named).
    """
    data = _read(path)
    return _format(data).load(data, str(path))


def survey(path: str | Path) -> Survey:
    """Verdict on every operator of a model file, in the order of execution, and the layers that are understood.

    Raises
    ------
    ModelError
        If the file is not a model or is malformed; an operator that is not supported is no reason.
    """
    data = _read(path)
    return _format(data).survey(data, str(path))
