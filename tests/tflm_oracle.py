"""tflite-micro as the oracle of the TFLM profile."""

import numpy as np
import pytest

_runtime = pytest.importorskip(
    "tflite_micro.python.tflite_micro.runtime", reason="needs tflite-micro, a development package"
)

__all__ = ["run"]


def run(model: bytes, *inputs: np.ndarray) -> np.ndarray:
    """The only output of `model`, whose inputs are given in its order."""
    interpreter = _runtime.Interpreter.from_bytes(model, arena_size=1 << 20)
    for index, array in enumerate(inputs):
        interpreter.set_input(array, index)
    interpreter.invoke()
    return interpreter.get_output(0)
