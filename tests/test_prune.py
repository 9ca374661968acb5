"""Channels that do not depend on the input cost nothing, and change nothing."""

import numpy as np
import pytest
from cimarron.config import PRESETS
from cimarron.isa import Profile
from cimarron_sim.compiler import compile
from cimarron_sim.compiler.prune import prune
from cimarron_sim.graph import Tensor
from cimarron_sim.reference.execute import execute
from random_graphs import Builder, run_on_model

DEFAULT = PRESETS["default"]


def kill(builder: Builder, layer: int, dead: list[int], bias: int) -> None:
    """Make all weights of some outputs 0, and give them a bias."""
    weights, biases = (builder.tensors[f"layer{layer}.{what}"] for what in ("w", "b"))
    assert weights.data is not None
    assert biases.data is not None
    for tensor, value in ((weights, 0), (biases, bias)):
        data = tensor.data.copy()
        data[dead] = value
        builder.tensors[tensor.name] = Tensor(
            tensor.name, tensor.shape, tensor.dtype, tensor.quantization, data, tensor.bits
        )


def network(profile: Profile, bias: int, pad: int, seed: int = 3) -> Builder:
    """Two pointwise layers, each with dead outputs, around a depthwise one."""
    builder = Builder((2, 6, 5, 3), profile=profile, seed=seed).conv2d(16, (3, 3), zero_point=-128, clamp=(-128, 127))
    builder.depthwise_conv2d(1, (3, 3), pads=(pad,) * 4, zero_point=-100, clamp=(-100, 127))
    builder.conv2d(12, (1, 1), zero_point=5).conv2d(4, (2, 1))
    kill(builder, 0, [0, 2, 3, 7, 8, 9, 15], bias)
    kill(builder, 2, [1, 2, 4, 5, 11], 3000)
    return builder


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize(("bias", "pad"), [(0, 1), (-5000, 1), (4000, 0), (4000, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_results_are_those_of_the_whole_network(profile, bias, pad, seed):
    builder = network(profile, bias, pad, seed)
    graph, x = builder.graph(), builder.input()
    expected = execute(graph, {"x": x})
    program = compile(graph, DEFAULT)
    output, snapshots = run_on_model(program, DEFAULT, x.tobytes())
    for layer in program.layers:
        got = layer.output.array(snapshots[layer.last_job].stored(layer.output))
        np.testing.assert_array_equal(got, expected[layer.output.tensor], err_msg=layer.name)
    np.testing.assert_array_equal(program.output.array(output), expected[graph.outputs[0]])


def test_dead_channels_are_neither_computed_nor_stored():
    # 7 dead outputs of 16 leave 9; the next multiple of 4 keeps three of them.
    layers = compile(network(Profile.TFLM, 0, 1).graph(), DEFAULT).layers
    assert [layer.output.shape[-1] for layer in layers] == [3, 12, 12, 8, 4, 4]
    assert layers[2].macs == 2 * 4 * 3 * 9 * 12


def test_a_channel_that_padding_would_show_stays():
    pruning = prune(network(Profile.TFLM, 4000, 1).graph(), 1)
    assert "layer0.y" not in pruning.absent
    assert len(pruning.absent["layer2.y"]) == 5
    assert len(prune(network(Profile.TFLM, 4000, 0).graph(), 1).absent["layer0.y"]) == 7


def test_channels_that_others_read_stay():
    builder = Builder((1, 4, 4, 3)).conv2d(8, (1, 1), zero_point=-128)
    kill(builder, 0, [1, 2], 0)
    assert not prune(builder.graph(), 1).absent
    builder.max_pool((2, 2), stride=(2, 2))
    assert not prune(builder.graph(), 1).absent


def test_a_layer_keeps_at_least_one_channel():
    builder = Builder((1, 4, 4, 3)).conv2d(8, (1, 1), zero_point=-128).conv2d(3, (1, 1))
    kill(builder, 0, list(range(8)), 0)
    assert prune(builder.graph(), 1).graph.tensors["layer0.y"].shape == (1, 4, 4, 1)
    assert prune(builder.graph(), 4).graph.tensors["layer0.y"].shape == (1, 4, 4, 4)
