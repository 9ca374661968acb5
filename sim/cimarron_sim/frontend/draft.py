"""The graph while it grows: tensors, layers, and the order in which values lie in memory."""

import dataclasses

import numpy as np
from cimarron.isa import Profile

from ..graph import Graph, Node, Port, Quantization, Tensor
from .layer import integer_bias
from .model import ModelError, Unsupported
from .part import part_of
from .values import Elementwise, Integers, Layer, Reals

__all__ = ["Draft"]


class Draft:
    """A graph of profile ONNX under construction.

    Reshapes and transpositions change only the positions at which elements are expected; they are settled where
    a layer reads them. Convolutions read NHWC; a fully connected layer's weight columns are permuted to the order
    of its input. The first layer that reads an input of the model chooses the input's order in memory.

    Parameters
    ----------
    name : str
    """

    def __init__(self, name: str) -> None:
        #: By name; a layer's output has the name of its integers in the model.
        self.tensors: dict[str, Tensor] = {}
        #: The caller's side of inputs and outputs, by tensor name.
        self.ports: dict[str, Port] = {}
        self._name = name
        self._nodes: list[Node] = []
        self._inputs: list[str] = []
        self._outputs: list[str] = []
        #: Inputs whose order in memory is still to be chosen.
        self._free: set[str] = set()
        #: Where the elements of an input, counted as the caller does, lie in memory.
        self._places: dict[str, np.ndarray] = {}

    def add_input(self, name: str, port: Port, dtype: np.dtype, quantization: Quantization | None) -> None:
        """Define the input tensor `name`, seen by the caller as `port`."""
        self.add_loose(name, port.shape, dtype, quantization)
        self.ports[name] = port
        self._inputs.append(name)

    def add_loose(self, name: str, shape: tuple[int, ...], dtype: np.dtype, quantization: Quantization | None) -> None:
        """Define a tensor that comes from nowhere: what an operator that is not supported would compute."""
        self.tensors[name] = Tensor(name, shape, dtype, quantization)
        self._free.add(name)
        self._places[name] = np.arange(self.tensors[name].size)

    def add_output(self, name: str, value: Integers | Reals) -> None:
        """Make `value` the output that the caller knows as `name`.

        Raises
        ------
        ModelError
            If another input or output is the same tensor.
        """
        if value.tensor in self.ports:
            raise ModelError(f"output {name!r} and {self.ports[value.tensor].name!r} are one tensor: keep one")
        dtype = np.dtype(np.float32) if isinstance(value, Reals) else self.tensors[value.tensor].dtype
        self._outputs.append(value.tensor)
        self.ports[value.tensor] = Port(name, value.positions.shape, dtype, _order(value.positions.reshape(-1)))

    def graph(self, model_hash: str) -> Graph:
        """The finished graph."""
        ports = dict(self.ports)
        for name in self._inputs:
            ports[name] = dataclasses.replace(ports[name], order=_order(self._places[name]))
        return Graph(
            self._name, self.tensors, tuple(self._nodes), tuple(self._inputs), tuple(self._outputs),
            Profile.ONNX, model_hash, ports,
        )  # fmt: skip

    def part(self) -> Graph:
        """The layers that are there, whether or not the graph will ever be finished."""
        return part_of(self._name, self.tensors, self._nodes, Profile.ONNX)

    def add_layer(self, layer: Layer, name: str, dtype: np.dtype, quantization: Quantization) -> Integers:
        """Append the node for `layer`, whose result is wanted as the tensor `name`.

        Returns
        -------
        Integers
            The result in the model's layout.

        Raises
        ------
        ModelError
            If the scales or the bias cannot be represented.
        """
        label = self._label(layer.name, name)
        # ONNX Runtime computes (x_scale * w_scale) / y_scale in this order, rounding each step to float32.
        outputs = layer.weights.data.shape[0]
        with np.errstate(over="ignore", under="ignore"):
            products = np.broadcast_to(layer.input_quantization.scale * layer.weights.quantization.scale, outputs)
            scale = products / quantization.scale
        if not np.all(np.isfinite(scale)):
            raise ModelError(f"layer {label!r} has scales whose quotient overflows: quantise the model again")

        inputs = [layer.input, self.constant(f"{label}.weights", layer.weights.data, layer.weights.quantization)]
        self.tensors[inputs[1]] = dataclasses.replace(self.tensors[inputs[1]], bits=layer.weights.bits)
        if layer.bias is not None:
            bias = integer_bias(label, layer.bias, products)
            inputs.append(self.constant(f"{label}.bias", bias, Quantization(products, np.zeros(outputs), 0)))

        attributes = {**layer.attributes, "scale": scale, **_clamps(layer.bounds, quantization, dtype)}
        return self._finish(
            layer, label, tuple(inputs), Tensor(name, layer.memory_shape, dtype, quantization), attributes
        )

    def add_sums(self, layer: Layer, name: str, scale: np.ndarray) -> Reals:
        """Append the node for a layer whose 32-bit sums are wanted as the tensor `name`, `scale` real numbers each.

        Parameters
        ----------
        layer : Layer
            Its bias, if any, is int32.
        name : str
        scale : float32 array, shape () or (outputs,)

        Raises
        ------
        ModelError
            If the bias is another one.
        """
        label, outputs = self._label(layer.name, name), layer.weights.data.shape[0]
        inputs = [layer.input, self.constant(f"{label}.weights", layer.weights.data, layer.weights.quantization)]
        if layer.bias is not None:
            data = layer.bias.data
            if data.dtype != np.int32 or data.size not in (1, outputs):
                raise ModelError(
                    f"layer {label!r} has {outputs} outputs but a bias of {data.dtype} {data.shape}: let them agree"
                )
            bias = np.ascontiguousarray(np.broadcast_to(data.reshape(-1), outputs))
            inputs.append(self.constant(f"{label}.bias", bias, Quantization.per_tensor(1.0)))
        shape = layer.memory_shape
        axis = None if scale.ndim == 0 else len(shape) - 1
        quantization = Quantization(scale, np.zeros(scale.shape, np.int32), axis)
        tensor = Tensor(name, shape, np.dtype(np.int32), quantization)
        integers = self._finish(layer, label, tuple(inputs), tensor, layer.attributes)
        return Reals(name, integers.positions, quantization)

    def add_elementwise(
        self, value: Elementwise, name: str, dtype: np.dtype, quantization: Quantization | None
    ) -> Integers:
        """Append the node for an operator without weights, whose result is wanted as the tensor `name`."""
        label = self._label(value.name, name)
        attributes = dict(value.attributes)
        if quantization is not None:
            attributes |= _clamps(value.bounds, quantization, dtype)
            if value.op == "mean":
                attributes["scale"] = self._mean_scale(label, value, quantization)
        self.tensors[name] = Tensor(name, value.shape, dtype, quantization)
        self._nodes.append(Node(label, value.op, value.inputs, (name,), attributes))
        return Integers(name, value.positions)

    def _mean_scale(self, label: str, value: Elementwise, quantization: Quantization) -> np.float32:
        """As ONNX Runtime's QLinearGlobalAveragePool has it: ``x_scale / (y_scale * count)``, float32 at each step."""
        x = self.tensors[value.inputs[0]]
        assert x.quantization is not None
        count = np.prod([x.shape[axis] for axis in value.attributes["axes"]])
        with np.errstate(over="ignore", under="ignore", divide="ignore"):
            scale = np.float32(x.quantization.scale / np.float32(quantization.scale * np.float32(count)))
        if not np.isfinite(scale):
            raise ModelError(f"layer {label!r} has scales whose quotient overflows: quantise the model again")
        return scale

    def _label(self, wanted: str, name: str) -> str:
        """A name that no other node has: the operator's, or that of its result."""
        return wanted if all(node.name != wanted for node in self._nodes) else name

    def _finish(self, layer: Layer, label: str, inputs: tuple[str, ...], y: Tensor, attributes: dict) -> Integers:
        self.tensors[y.name] = y
        self._nodes.append(Node(label, layer.op, inputs, (y.name,), attributes))
        positions = np.arange(y.size)
        if layer.op == "fully_connected":
            return Integers(y.name, positions.reshape(layer.shape))
        return Integers(y.name, positions.reshape(y.shape).transpose(0, 3, 1, 2))

    def ordered(self, value: Reals | Integers) -> str:
        """Name of `value` as a tensor in its own order; NHWC for four dimensions.

        Raises
        ------
        Unsupported
            If it lies in memory in another order.
        """
        wanted = value.positions.transpose(0, 2, 3, 1) if value.positions.ndim == 4 else value.positions
        memory = self._settled(value.tensor, wanted)
        if not np.array_equal(memory.reshape(-1), np.arange(self.tensors[value.tensor].size)):
            raise Unsupported("its input would have to be moved in memory", "feed it in the order it is computed")
        return self._reshaped(value.tensor, wanted.shape)

    def matrix(self, value: Reals) -> tuple[str, np.ndarray]:
        """Name of `value` as a matrix (its last axis the columns), and the model's column at each column in memory.

        Raises
        ------
        Unsupported
            If its rows do not lie in memory one after the other, in one order.
        """
        rows = value.positions.reshape(-1, value.positions.shape[-1])
        memory = self._settled(value.tensor, rows)
        if not np.array_equal(memory, memory[0] + rows.shape[1] * np.arange(rows.shape[0])[:, None]):
            raise Unsupported("its input would have to be moved in memory", "feed it in the order it is computed")
        return self._reshaped(value.tensor, rows.shape), np.argsort(memory[0])

    def _settled(self, tensor: str, wanted: np.ndarray) -> np.ndarray:
        """Where the positions `wanted` lie in memory: in that order, if no layer has chosen another before."""
        if tensor in self._free:
            self._free.remove(tensor)
            self._places[tensor] = _inverse(wanted.reshape(-1))
            self.tensors[tensor] = dataclasses.replace(self.tensors[tensor], shape=wanted.shape)
        return self._places[tensor][wanted] if tensor in self._places else wanted

    def _reshaped(self, tensor: str, shape: tuple[int, ...]) -> str:
        source = self.tensors[tensor]
        if source.shape == shape:
            return tensor
        name = f"{tensor}.{'x'.join(map(str, shape))}"
        if name not in self.tensors:
            self.tensors[name] = dataclasses.replace(source, name=name, shape=shape)
            self._nodes.append(Node(f"reshape {name}", "reshape", (tensor,), (name,)))
        return name

    def constant(self, name: str, data: np.ndarray, quantization: Quantization) -> str:
        """Define a tensor of constant values; its name."""
        self.tensors[name] = Tensor(name, data.shape, data.dtype, quantization, data)
        return name


def _inverse(permutation: np.ndarray) -> np.ndarray:
    """Where each number stands in a permutation."""
    inverse = np.empty_like(permutation)
    inverse[permutation] = np.arange(permutation.size)
    return inverse


def _order(positions: np.ndarray) -> np.ndarray | None:
    return None if np.array_equal(positions, np.arange(positions.size)) else _inverse(positions)


def _clamps(bounds: tuple[float, float], quantization: Quantization, dtype: np.dtype) -> dict[str, int]:
    clamp_min, clamp_max = (int(bound) for bound in quantization.quantize(np.array(bounds), dtype))
    return {"clamp_min": clamp_min, "clamp_max": clamp_max}
