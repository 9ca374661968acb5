"""Small networks for tests, made of seeded random numbers."""

import numpy as np
from cimarron.isa import Profile
from cimarron_sim.graph import Graph, Node, Quantization, Tensor

__all__ = ["two_layers"]


def two_layers(seed: int = 1) -> Graph:
    """20 inputs, 11 hidden values, 5 outputs: no size is a multiple of any tile."""
    rng = np.random.default_rng(seed)

    def activation(name: str, size: int) -> Tensor:
        return Tensor(name, (1, size), np.dtype(np.int8), Quantization.per_tensor(0.1))

    def weights(name: str, shape: tuple[int, int]) -> Tensor:
        return Tensor(
            name,
            shape,
            np.dtype(np.int8),
            Quantization.per_tensor(0.01),
            rng.integers(-128, 128, shape).astype(np.int8),
        )

    tensors = [activation("x", 20), activation("h", 11), activation("y", 5)]
    tensors += [weights("w1", (11, 20)), weights("w2", (5, 11))]
    tensors.append(Tensor("b1", (11,), np.dtype(np.int32), None, rng.integers(-1000, 1000, 11).astype(np.int32)))
    relu = {"clamp_min": 0, "clamp_max": 127, "scale": np.full(11, 0.002, np.float32)}
    linear = {"clamp_min": -128, "clamp_max": 127, "scale": np.full(5, 0.003, np.float32)}
    nodes = (
        Node("fc1", "fully_connected", ("x", "w1", "b1"), ("h",), relu),
        Node("fc2", "fully_connected", ("h", "w2"), ("y",), linear),
    )
    return Graph("two", {t.name: t for t in tensors}, nodes, ("x",), ("y",), Profile.ONNX, "ab" * 32)
