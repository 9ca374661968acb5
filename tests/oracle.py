"""ONNX Runtime as the oracle of the ONNX profile."""

import functools

import numpy as np
import pytest
from qdq_model import layer_model

onnxruntime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: pip install 'cimarron[oracle]'")

__all__ = ["run", "saturates", "weight_limit"]


def run(model: bytes, inputs: dict[str, np.ndarray], *, integers: bool = True, fused: bool = True) -> list[np.ndarray]:
    """Outputs of `model`.

    Parameters
    ----------
    model : bytes
    inputs : dict of str to array
    integers : bool
        Compute QDQ groups of int8 in integers, as ONNX Runtime does by default on Arm; by default on x86 it does
        so for uint8 only and computes int8 in float32, whose rounding differs once in a million values. Without
        it, uint8 is exact on processors without VNNI, too.
    fused : bool
        Let ONNX Runtime replace groups of operators. Without it every operator computes what ONNX defines, and
        additions and pools do so in float32.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if not fused:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.qdqisint8allowed" if integers else "session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, inputs)


@functools.cache
def saturates(dtype: type = np.int8) -> bool:
    """Whether products of such activations with int8 weights are summed in saturating 16 bits.

    X86 processors without VNNI do that, some for uint8 alone.
    """
    limits = np.iinfo(dtype)
    x = np.full((1, 64), limits.max, dtype)
    w = np.full((64, 1), 127, np.int8)
    model = layer_model("MatMul", x, 1.0, limits.min, w, np.array(1.0), None, 2.0**14, 0)
    return bool(run(model.bytes(), {"x": x})[0][0, 0] != np.rint(64 * 255 * 127 / 2**14))


def weight_limit() -> int:
    """Largest magnitude of a weight for which the oracle is exact on this machine."""
    return 63 if saturates(np.int8) or saturates(np.uint8) else 127
