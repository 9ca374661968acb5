"""Steps of the CPU, by what `cimarron.isa.Step` says about them."""

from collections.abc import Sequence

import numpy as np
from cimarron.isa import WINDOW_WORDS, Step
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


def _window_sum(x: np.ndarray, window: dict[str, int], order: Sequence[int], index: int) -> np.float32:
    """Sum number `index`, each value and each addition one word of the order."""
    index, channel = divmod(index, window["channels"])
    index, column = divmod(index, window["out_width"])
    image, line = divmod(index, window["out_height"])
    row = image * window["height"] + line * window["stride_h"]
    corner = (row * window["width"] + column * window["stride_w"]) * window["channels"] + channel
    stack: list[np.float32] = []
    for word in order:
        stack.append(x[corner + word] if word >= 0 else stack.pop() + stack.pop())
    (total,) = stack
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
            x, y, count, rows, invert, table, numerators, ladder = words
            values = (tensor(x, count * rows) ^ invert).reshape(rows, count).astype(np.int64)
            differences = values.max(axis=1, keepdims=True) - values
            terms = np.frombuffer(memory, "<u8", 256, table)[differences].sum(axis=1, keepdims=True)
            quotients = np.frombuffer(memory, "<f4", 256, numerators)[differences] / np.ldexp(np.float32(terms), -28)
            result = _ladder(memory, ladder, _ordered(quotients))
        case Step.MEAN:
            x, low, high, y, *window, table, ladder, orders = words
            shape: dict[str, int] = dict(zip(WINDOW_WORDS, window, strict=True))
            real = np.frombuffer(memory, "<f4", 256, table)[tensor(x, int(np.prod(window[:4])))]
            count = int(np.prod([shape[name] for name in ("images", "out_height", "out_width", "channels")]))
            result, other = tensor(low, count).astype(np.int64), tensor(high, count)
            length = 2 * shape["kernel_h"] * shape["kernel_w"] - 1
            order = np.frombuffer(memory, "<i4", shape["orders"] * length, orders).reshape(-1, length)
            for index in np.flatnonzero(result != other).tolist():
                total = _window_sum(real, shape, order[index % len(order)], index)
                result[index] = _ladder(memory, ladder, _ordered(np.array([total])))[0]
        case _:
            raise ValueError(f"the CPU has no step {kind!r}")
    content = (result.astype(np.int64) & 0xFF).astype(np.uint8).tobytes()
    activations[y : y + len(content)] = content
