"""Operators that only move or compare integers, between tensors of different scales."""

import dataclasses

import numpy as np

from ..graph import Quantization, Tensor
from .draft import Draft
from .values import Elementwise, Integers

__all__ = ["add_elementwise", "is_same"]


def is_same(tensor: Tensor, dtype: np.dtype, quantization: Quantization) -> bool:
    """Whether the same integers mean the same numbers."""
    scale = tensor.quantization
    return (
        scale is not None
        and tensor.dtype == dtype
        and bool(scale.scale == quantization.scale and scale.zero_point == quantization.zero_point)
    )


def add_elementwise(
    draft: Draft, value: Elementwise, name: str, dtype: np.dtype, quantization: Quantization
) -> Integers:
    """Append the nodes for an operator without weights, whose result is wanted as the tensor `name`.

    Rounding to integers never falls, so it commutes with moving values, with the greatest of them and with clamps.
    A join or padding of other scales is one of rescaled inputs; a maximum is rescaled behind, where less is left.

    Parameters
    ----------
    draft : Draft
    value : Elementwise
    name : str
    dtype : numpy dtype
    quantization : Quantization
        Of the result.
    """
    if value.op not in ("concat", "max_pool", "pad"):
        return draft.add_elementwise(value, name, dtype, quantization)
    if value.op == "max_pool":
        return _pooled(draft, value, name, dtype, quantization)
    low, high = quantization.quantize(np.array(value.bounds), dtype).tolist()
    is_clamped = (low, high) != (np.iinfo(dtype).min, np.iinfo(dtype).max)
    inputs: list[str] = []
    for index, source in enumerate(value.inputs):
        if is_same(draft.tensors[source], dtype, quantization) and not is_clamped:
            inputs.append(source)
        else:
            part = f"{name}.rescaled{index}"
            inputs.append(_rescale(draft, value, source, part, dtype, quantization).tensor)
    attributes = value.attributes
    if "value" in attributes:
        padding = int(quantization.quantize(np.array(attributes["value"]), dtype))
        attributes = {**attributes, "value": min(max(padding, low), high)}
    whole = dataclasses.replace(value, inputs=tuple(inputs), attributes=attributes)
    return draft.add_elementwise(whole, name, dtype, quantization)


def _pooled(draft: Draft, value: Elementwise, name: str, dtype: np.dtype, quantization: Quantization) -> Integers:
    x = draft.tensors[value.inputs[0]]
    if is_same(x, dtype, quantization):
        return draft.add_elementwise(value, name, dtype, quantization)
    assert x.quantization is not None
    free = dataclasses.replace(value, low=-np.inf, high=np.inf)
    pooled = draft.add_elementwise(free, f"{name}.pooled", x.dtype, x.quantization)
    result = _rescale(draft, value, pooled.tensor, name, dtype, quantization)
    return dataclasses.replace(result, positions=value.positions)


def _rescale(
    draft: Draft, value: Elementwise, source: str, name: str, dtype: np.dtype, quantization: Quantization
) -> Integers:
    """The tensor `source` inside the bounds of `value`, in another scale."""
    shape = draft.tensors[source].shape
    step = Elementwise(
        name=f"{name}.scale",
        operator=value.operator,
        op="requantise",
        inputs=(source,),
        shape=shape,
        positions=np.arange(int(np.prod(shape))).reshape(shape),
        attributes={},
        low=value.low,
        high=value.high,
    )
    return draft.add_elementwise(step, name, dtype, quantization)
