"""TFLite files: `tflite_file` reads them, `tflite_lowering` lowers the operators, here is what comes of it."""

import hashlib

from ..graph import Graph, GraphError
from .model import ModelError, require_supported
from .part import Survey
from .tflite_file import read_model
from .tflite_lowering import SUPPORTED, TfliteLowering

__all__ = ["load", "survey"]


def load(data: bytes, path: str) -> Graph:
    """The quantised graph of a TFLite file, in profile TFLM.

    Parameters
    ----------
    data : bytes
        Content of the file.
    path : str
        What sentences call it.

    Raises
    ------
    ModelError
        If it is not a model that can be imported.
    """
    lowering = _lower(data, path)
    require_supported(lowering.operators, SUPPORTED, path)
    try:
        return lowering.graph(hashlib.sha256(data).hexdigest())
    except GraphError as error:
        raise ModelError(f"{path} contradicts itself ({error}): convert the model again") from None


def survey(data: bytes, path: str) -> Survey:
    """Every operator of a TFLite file, and the layers that are understood."""
    lowering = _lower(data, path)
    try:
        return Survey(tuple(lowering.operators), {}, lowering.part())
    except GraphError as error:
        raise ModelError(f"{path} contradicts itself ({error}): convert the model again") from None


def _lower(data: bytes, path: str) -> TfliteLowering:
    lowering = TfliteLowering(read_model(data, path))
    try:
        lowering.lower()
    except GraphError as error:
        raise ModelError(f"{path} contradicts itself ({error}): convert the model again") from None
    return lowering
