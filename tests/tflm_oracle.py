"""tflite-micro as the oracle of the TFLM profile."""

import numpy as np
import pytest

_runtime = pytest.importorskip(
    "tflite_micro.python.tflite_micro.runtime", reason="needs tflite-micro, a development package"
)

__all__ = ["run", "run_all"]


def run(model: bytes, *inputs: np.ndarray) -> np.ndarray:
    """The only output of `model`, whose inputs are given in its order."""
    return run_all(model, 1, *inputs)[0]


def run_all(model: bytes, outputs: int, *inputs: np.ndarray) -> list[np.ndarray]:
    """All outputs of `model`, which has so many."""
    interpreter = _runtime.Interpreter.from_bytes(model, arena_size=1 << 20)
    for index, array in enumerate(inputs):
        interpreter.set_input(array, index)
    interpreter.invoke()
    return [interpreter.get_output(index) for index in range(outputs)]
