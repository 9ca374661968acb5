"""Steps of the CPU, by what `cimarron.isa.Step` says about them."""

from collections.abc import Sequence

import numpy as np
from cimarron.isa import Step
from cimarron_sim.reference.fixed_point import multiply, reciprocal, round_shift

__all__ = ["compute"]


def _ladder(memory: bytes, offset: int, inputs: np.ndarray) -> np.ndarray:
    count, lowest = np.frombuffer(memory, "<i4", 2, offset)
    return (lowest + np.searchsorted(np.frombuffer(memory, "<i4", count, offset + 8), inputs, side="right")).ravel()


def _ordered(real: np.ndarray) -> np.ndarray:
    bits = real.astype(np.float32).view(np.int32)
    return np.where(bits < 0, bits ^ 0x7FFF_FFFF, bits)


def _softmax(x: np.ndarray, exponentials: np.ndarray) -> np.ndarray:
    """Parts of 256, as gemmlowp computes them; x has shape (rows, values)."""
    terms = exponentials[x.max(axis=1, keepdims=True) - x]
    total = round_shift(terms, 12).sum(axis=1, keepdims=True)
    bits = np.floor(np.log2(total)).astype(np.int64) + 1
    shares = multiply(terms, reciprocal((total << 32 - bits) - (1 << 31)))
    return np.minimum(round_shift(shares, bits - 20 + 23), 255)


def _window_sums(x: np.ndarray, window: Sequence[int]) -> np.ndarray:
    images, height, width, channels, kernel_h, kernel_w, stride_h, stride_w, out_h, out_w = window
    x = x.reshape(images, height, width, channels)
    total = np.zeros((images, out_h, out_w, channels), np.float32)
    for h in range(kernel_h):
        for w in range(kernel_w):
            rows = slice(h, h + (out_h - 1) * stride_h + 1, stride_h)
            total += x[:, rows, w : w + (out_w - 1) * stride_w + 1 : stride_w]
    return total


def compute(kind: Step, words: Sequence[int], activations: bytearray, memory: bytes) -> None:
    """Execute one step.

    Parameters
    ----------
    kind : Step
    words : sequence of int
        Its operands.
    activations : bytearray
        The activation buffer, changed in place.
    memory : bytes
        From the start of the program on.
    """

    def tensor(address: int, count: int, dtype: str = "u1") -> np.ndarray:
        return np.frombuffer(bytes(activations), dtype, count, address)

    match kind:
        case Step.COMBINE:
            a, b, y, count, table = words
            pairs = np.frombuffer(memory, np.uint8, 65536, table).reshape(256, 256)
            result = pairs[tensor(a, count), tensor(b, count)]
        case Step.NARROW:
            x, y, count, ladder = words
            result = _ladder(memory, ladder, tensor(x, count, "<i4"))
        case Step.SOFTMAX:
            x, y, count, rows, invert_x, invert_y, table = words
            values = (tensor(x, count * rows) ^ invert_x).reshape(rows, count).astype(np.int64)
            exponentials = np.frombuffer(memory, "<i4", 256, table).astype(np.int64)
            result = _softmax(values, exponentials) ^ invert_y
        case Step.SHARE:
            x, y, count, rows, table, ladder = words
            powers = np.frombuffer(memory, "<u8", 512, table).reshape(256, 2).astype(np.float64)
            terms = (powers[:, 0] * 2.0 ** -powers[:, 1])[tensor(x, count * rows)].reshape(rows, count)
            result = _ladder(memory, ladder, _ordered(terms / terms.sum(axis=1, keepdims=True)))
        case Step.MEAN:
            x, y, *window, table, ladder = words
            values = tensor(x, int(np.prod(window[:4])))
            real = np.frombuffer(memory, "<f4", 256, table)[values]
            result = _ladder(memory, ladder, _ordered(_window_sums(real, window)))
        case _:
            raise ValueError(f"the CPU has no step {kind!r}")
    content = (result.astype(np.int64) & 0xFF).astype(np.uint8).tobytes()
    activations[y : y + len(content)] = content
