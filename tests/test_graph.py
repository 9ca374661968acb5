"""The quantised graph: refuses contradictions, translates between the caller's arrays and the device's."""

import numpy as np
import pytest
from cimarron.isa import Profile
from cimarron_sim.graph import Graph, GraphError, Node, Port, Quantization, Tensor


def _tensors(**changes):
    tensors = {
        "x": Tensor("x", (1, 3), np.dtype(np.int8), Quantization.per_tensor(0.5, -1)),
        "w": Tensor("w", (2, 3), np.dtype(np.int8), Quantization.per_tensor(1.0, 0), np.ones((2, 3), np.int8)),
        "y": Tensor("y", (1, 2), np.dtype(np.int8), Quantization.per_tensor(2.0, 3)),
    }
    return tensors | changes


def _node(**changes):
    values = {
        "name": "fc", "op": "fully_connected", "inputs": ("x", "w"), "outputs": ("y",),
        "attributes": {"clamp_min": -128, "clamp_max": 127, "scale": np.ones(2, np.float32)},
    }  # fmt: skip
    return Node(**values | changes)


def _graph(**changes):
    values = {
        "name": "g", "tensors": _tensors(), "nodes": (_node(),), "inputs": ("x",), "outputs": ("y",),
        "profile": Profile.ONNX,
    }  # fmt: skip
    return Graph(**values | changes)


def test_graph_that_is_consistent_is_accepted():
    assert _graph().nodes[0].name == "fc"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"nodes": (_node(), _node(name="again"))}, "node 'again' defines tensor 'y' a second time"),
        ({"nodes": (_node(), _node())}, "two nodes are called 'fc'"),
        ({"nodes": ()}, "the graph's outputs uses tensor 'y', which nothing computes before it"),
        ({"nodes": (_node(inputs=("x", "v")),)}, "node 'fc' uses tensor 'v', which does not exist"),
        ({"nodes": (_node(inputs=("y", "w")),)}, "node 'fc' uses tensor 'y', which nothing computes before it"),
        ({"nodes": (_node(outputs=("z",)),)}, "node 'fc' defines tensor 'z', which does not exist"),
        ({"nodes": (_node(op="gelu"),)}, "node 'fc' has the unknown operator 'gelu'"),
        ({"nodes": (_node(inputs=("x",)),)}, "node 'fc' (fully_connected) takes 2 to 3 inputs, not 1"),
        ({"nodes": (_node(outputs=()),)}, "node 'fc' (fully_connected) has one output, not 0"),
        ({"nodes": (_node(attributes={"clamp_min": 0}),)}, "lacks the attribute clamp_max, scale"),
        ({"profile": Profile.TFLM}, "lacks the attribute multiplier, shift"),
        ({"inputs": ("x", "w")}, "the graph's inputs defines tensor 'w' a second time"),
    ],
)
def test_contradiction_is_refused_in_one_sentence(changes, sentence):
    with pytest.raises(GraphError) as caught:
        _graph(**changes)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("op", "attributes", "missing"),
    [
        ("depthwise_conv2d", {}, "stride, pads, dilation, clamp_min, clamp_max, multiplier, shift"),
        ("average_pool", {"kernel": (1, 1)}, "stride, pads, clamp_min, clamp_max"),
        ("max_pool", {"stride": (1, 1)}, "kernel, pads, clamp_min, clamp_max"),
        ("mean", {"axes": (1,)}, "multiplier, shift"),
        ("requantise", {"multiplier": 1}, "clamp_min, clamp_max, shift"),
        ("softmax", {}, "multiplier, shift"),
        ("pad", {"value": 0}, "pads"),
        ("concat", {}, "axis"),
    ],
)
def test_operators_say_which_attribute_they_lack(op, attributes, missing):
    inputs = ("x", "w") if op == "depthwise_conv2d" else ("x",)
    node = _node(op=op, inputs=inputs, attributes=attributes)
    with pytest.raises(GraphError) as caught:
        _graph(nodes=(node,), profile=Profile.TFLM)
    assert str(caught.value) == f"node 'fc' ({op}) lacks the attribute {missing}"


@pytest.mark.parametrize("op", ["average_pool", "real_mean", "requantise", "softmax"])
def test_operators_without_weights_need_no_scaling_in_profile_onnx(op):
    window = {"kernel": (1, 1), "stride": (1, 1), "pads": (0, 0, 0, 0), "clamp_min": -128, "clamp_max": 127}
    assert _graph(nodes=(_node(op=op, inputs=("x",), attributes=window),)).nodes[0].op == op


def test_means_of_integers_need_their_scale_in_profile_onnx():
    with pytest.raises(GraphError, match="lacks the attribute scale"):
        _graph(nodes=(_node(op="mean", inputs=("x",), attributes={"axes": (1,)}),))


def test_int32_output_needs_neither_scale_nor_clamps():
    tensors = _tensors(y=Tensor("y", (1, 2), np.dtype(np.int32)))
    assert _graph(tensors=tensors, nodes=(_node(attributes={}),)).tensors["y"].zero_point == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("t", (2,), np.dtype(np.float32)), "tensor 't' must be int8, uint8 or int32, not float32"),
        (
            ("t", (2**20, 2**20), np.dtype(np.int8)),
            "tensor 't' of shape (1048576, 1048576) has more than 16777216 values",
        ),
        (("t", (2, 0), np.dtype(np.int8)), "tensor 't' must have a positive size on every axis, not (2, 0)"),
        (
            ("t", (2,), np.dtype(np.int8), None, np.zeros(3, np.int8)),
            "tensor 't' is int8 (2,), but its data is int8 (3,)",
        ),
    ],
)
def test_tensor_checks_itself(arguments, sentence):
    with pytest.raises(GraphError) as caught:
        Tensor(*arguments)
    assert str(caught.value) == sentence


def test_tensor_knows_its_width():
    assert Tensor("t", (2, 3), np.dtype(np.int32)).nbytes == 24
    assert Tensor("t", (2, 3), np.dtype(np.int32)).bits == 32
    assert Tensor("t", (2, 3), np.dtype(np.int8), bits=4).bits == 4


def test_zero_point_per_channel_is_not_one_number():
    tensor = Tensor("t", (2,), np.dtype(np.int8), Quantization(np.ones(2), np.zeros(2), 0))
    with pytest.raises(GraphError, match="tensor 't' has a zero point per channel"):
        _ = tensor.zero_point


def test_quantization_needs_matching_shapes():
    with pytest.raises(GraphError, match="needs scale and zero_point of one shape with 0 dimensions"):
        Quantization(np.ones(2), np.zeros(2))


def test_quantize_rounds_ties_to_even_and_saturates():
    steps = Quantization.per_tensor(0.5, 10).quantize(
        np.array([0.25, 0.75, -0.25, -0.75, 1e30, -np.inf]), np.dtype(np.uint8)
    )
    assert steps.tolist() == [10, 12, 10, 8, 255, 0]


def test_dequantize_works_along_an_axis():
    quantization = Quantization(np.array([0.5, 2.0]), np.array([1, -1]), 1)
    assert quantization.dequantize(np.array([[1, 1], [3, -3]], np.int8)).tolist() == [[0, 4], [1, -4]]


def _image_graph():
    # 1 x 2 x 1 x 2 (NCHW) for the caller; 1 x 1 x 2 x 2 (NHWC) for the device.
    port = Port("image", (1, 2, 1, 2), np.dtype(np.float32), np.array([0, 2, 1, 3]))
    tensor = Tensor("x", (1, 1, 2, 2), np.dtype(np.int8), Quantization.per_tensor(0.5, 1))
    return Graph("g", {"x": tensor}, (), ("x",), ("x",), Profile.ONNX, ports={"x": port})


def test_encode_quantises_and_reorders():
    device = _image_graph().encode("x", np.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 2, 1, 2))
    assert device.shape == (1, 1, 2, 2)
    assert device.tobytes() == bytes([3, 7, 5, 9])


def test_encode_takes_integers_as_they_are():
    device = _image_graph().encode("x", np.array([1, 2, 3, 4], np.int8).reshape(1, 2, 1, 2))
    assert device.tobytes() == bytes([1, 3, 2, 4])


def test_decode_is_the_inverse_of_encode():
    graph, array = _image_graph(), np.array([1.0, 2.0, 3.0, 4.0], np.float32).reshape(1, 2, 1, 2)
    assert np.array_equal(graph.decode("x", graph.encode("x", array)), array)


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((1, 1, 2, 2)), "'image' has shape (1, 2, 1, 2), not (1, 1, 2, 2): reshape the array"),
        (np.full((1, 2, 1, 2), np.nan), "'image' holds values that are not a number: clean the array"),
        (np.zeros((1, 2, 1, 2), np.int64), "'image' takes int8 or float32, not int64: convert the array"),
    ],
)
def test_encode_refuses_another_array(array, sentence):
    with pytest.raises(GraphError) as caught:
        _image_graph().encode("x", array)
    assert str(caught.value) == sentence


def test_decode_refuses_another_size():
    with pytest.raises(GraphError, match="tensor 'x' holds 4 values of int8, not 5 of int8"):
        _image_graph().decode("x", np.zeros(5, np.int8))


@pytest.mark.parametrize(("profile", "expected"), [(Profile.ONNX, [0, 2, 0, -2]), (Profile.TFLM, [1, 2, -1, -2])])
def test_quantize_breaks_ties_as_the_profile_wants(profile, expected):
    quantization = Quantization.per_tensor(2.0)
    real = np.array([1.0, 3.0, -1.0, -3.0], np.float32)
    assert quantization.quantize(real, np.dtype(np.int8), profile).tolist() == expected
