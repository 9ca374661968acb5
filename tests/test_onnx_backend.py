"""ONNX's own node tests of the quantised operators: expected values from the standard's authors, through every part.

Their models have weights and scales as inputs; here those become initialisers, because the chip's are loaded once.
"""

import importlib
import warnings

import numpy as np
import onnx
import pytest
from cimarron.config import PRESETS
from cimarron_sim.compiler import compile
from cimarron_sim.frontend import ModelError
from cimarron_sim.frontend import onnx as frontend
from cimarron_sim.graph import Graph, Quantization
from cimarron_sim.reference import execute
from cimarron_sim.runner.session import run_model
from onnx import numpy_helper
from random_graphs import run_on_model

with warnings.catch_warnings():
    # Some of them overflow on purpose.
    warnings.simplefilter("ignore")
    from onnx.backend.test.case import node as cases

    for operator in (
        "convinteger",
        "dequantizelinear",
        "matmulinteger",
        "qlinearconv",
        "qlinearmatmul",
        "quantizelinear",
    ):
        importlib.import_module(f"onnx.backend.test.case.node.{operator}")

TINY = PRESETS["tiny"]

#: Why a layer cannot be run, by part of its name; the model is refused with these words.
REFUSED = {"_3D_": "its weights have 3 dimensions"}

#: Types of QuantizeLinear and DequantizeLinear that no activation of the chip has; everything else must be right.
FOREIGN = ("e4m3fn", "e5m2", "int16", "uint16", "int2", "uint2", "int4", "uint4", "float4e2m1", "blocked")

CASES = {case.name: case for case in cases._NodeTestCases}
LAYERS = [name for name in CASES if "quantizelinear" not in name]
RUN = [name for name in LAYERS if not any(part in name for part in REFUSED)]
CONVERSIONS = [name for name in CASES if name not in LAYERS]


def arrays(name: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Inputs and the only output of a case."""
    ((inputs, outputs),) = CASES[name].data_sets
    return [np.asarray(array) for array in inputs], np.asarray(outputs[0])


def frozen(name: str) -> tuple[bytes, np.ndarray, np.ndarray]:
    """A layer's model with all inputs but the first made constant, its input, and its output."""
    model = onnx.ModelProto()
    model.CopyFrom(CASES[name].model)
    inputs, expected = arrays(name)
    for value, array in zip(list(model.graph.input)[1:], inputs[1:], strict=True):
        model.graph.initializer.append(numpy_helper.from_array(array, value.name))
        model.graph.input.remove(value)
    return model.SerializeToString(), inputs[0], expected


def loaded(name: str) -> tuple[Graph, np.ndarray, np.ndarray]:
    data, x, expected = frozen(name)
    return frontend.load(data, name), x, expected


def test_all_operators_have_cases():
    assert {part for part in ("qlinearconv", "qlinearmatmul", "matmulinteger", "convinteger", "_quantizelinear")
            if not any(part in name for name in CASES)} == set()  # fmt: skip
    assert len(RUN) >= 8


@pytest.mark.parametrize("name", RUN)
def test_layer_equals_the_standard(name):
    graph, x, expected = loaded(name)
    (source,), (target,) = graph.inputs, graph.outputs
    encoded = graph.encode(source, x)
    answer = execute(graph, {source: encoded})[target]
    assert answer.dtype == expected.dtype
    np.testing.assert_array_equal(graph.decode(target, answer), expected)
    output, _ = run_on_model(compile(graph, TINY), TINY, encoded.tobytes())
    assert output == answer.tobytes()


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in RUN])
def test_layer_is_refused_with_its_reason(name):
    (reason,) = (reason for part, reason in REFUSED.items() if part in name)
    with pytest.raises(ModelError, match=reason):
        loaded(name)


@pytest.mark.cosim
@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_layer_on_the_system_equals_the_standard(name):
    graph, x, expected = loaded(name)
    session = run_model(graph, TINY, [x], processes=1)
    assert not session.mismatches
    np.testing.assert_array_equal(session.outputs[0], expected)


@pytest.mark.parametrize("name", [name for name in CONVERSIONS if not any(part in name for part in FOREIGN)])
def test_conversion_equals_the_standard(name):
    """These two are the host's work: there is nothing for the chip in a model of one of them."""
    (values, scale, *rest), expected = arrays(name)
    axis = 1 if scale.ndim else None
    points = rest[0] if rest else np.zeros(scale.shape)
    quantization = Quantization(scale, points.astype(np.int32), axis)
    if name.startswith("test_quantize"):
        answer = quantization.quantize(values, expected.dtype)
    else:
        answer = quantization.dequantize(values)
    assert answer.dtype == expected.dtype
    np.testing.assert_array_equal(answer, expected)
