"""A minimal numpy trainer for small classifiers: layers that know their gradient, and Adam."""

from dataclasses import dataclass, field

import numpy as np

__all__ = ["Conv", "Dense", "forward", "train"]


@dataclass(eq=False)
class _Layer:
    w: np.ndarray
    b: np.ndarray
    relu: bool
    gradients: list[np.ndarray] = field(default_factory=list)

    def _activate(self, z: np.ndarray) -> np.ndarray:
        self._active = z > 0 if self.relu else np.ones_like(z, bool)
        return z * self._active


class Dense(_Layer):
    """``y = x @ w.T + b``, then ReLU if asked; x of any shape is flattened."""

    def __init__(self, rng: np.random.Generator, inputs: int, outputs: int, relu: bool) -> None:
        w = rng.normal(0, np.sqrt(2 / inputs), (outputs, inputs))
        super().__init__(w, np.zeros(outputs), relu)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Output, shape (n, outputs)."""
        self._shape, self._x = x.shape, x.reshape(len(x), -1)
        return self._activate(self._x @ self.w.T + self.b)

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """Gradient with respect to the input; keeps those of the parameters."""
        gradient = gradient * self._active
        self.gradients = [gradient.T @ self._x, gradient.sum(0)]
        return (gradient @ self.w).reshape(self._shape)


class Conv(_Layer):
    """Convolution of NCHW images with square kernels, then ReLU; pads are (top, left, bottom, right)."""

    def __init__(
        self,
        rng: np.random.Generator,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int,
        pads: tuple[int, int, int, int],
    ) -> None:
        w = rng.normal(0, np.sqrt(2 / (inputs * kernel**2)), (outputs, inputs, kernel, kernel))
        super().__init__(w, np.zeros(outputs), relu=True)
        self.kernel, self.stride, self.pads = kernel, stride, pads

    def _taps(self, size: tuple[int, int]) -> list[tuple[int, int, slice, slice]]:
        span = [(pixels - self.kernel) // self.stride * self.stride + 1 for pixels in size]
        return [
            (i, j, slice(i, i + span[0], self.stride), slice(j, j + span[1], self.stride))
            for i in range(self.kernel)
            for j in range(self.kernel)
        ]

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Output, shape (n, outputs, height, width)."""
        top, left, bottom, right = self.pads
        self._x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
        taps = self._taps(self._x.shape[2:])
        z = sum(np.einsum("nchw,mc->nmhw", self._x[:, :, r, c], self.w[:, :, i, j]) for i, j, r, c in taps)
        return self._activate(z + self.b[:, None, None])

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """Gradient with respect to the input; keeps those of the parameters."""
        gradient = gradient * self._active
        dw, dx = np.zeros_like(self.w), np.zeros_like(self._x)
        for i, j, r, c in self._taps(self._x.shape[2:]):
            dw[:, :, i, j] = np.einsum("nmhw,nchw->mc", gradient, self._x[:, :, r, c], optimize=True)
            dx[:, :, r, c] += np.einsum("nmhw,mc->nchw", gradient, self.w[:, :, i, j], optimize=True)
        self.gradients = [dw, gradient.sum((0, 2, 3))]
        top, left, bottom, right = self.pads
        return dx[:, :, top : dx.shape[2] - bottom, left : dx.shape[3] - right]


def forward(layers: list[Dense | Conv], x: np.ndarray) -> list[np.ndarray]:
    """Output of every layer."""
    outputs = []
    for layer in layers:
        x = layer.forward(x)
        outputs.append(x)
    return outputs


def train(
    layers: list[Dense | Conv], rng: np.random.Generator, images: np.ndarray, labels: np.ndarray, epochs: int
) -> None:
    """Minimise the cross entropy with Adam and weight decay, in batches of 64.

    Every second batch on average is shifted by up to one pixel, and all of them are noisy.

    Parameters
    ----------
    layers : list
        Changed in place.
    rng : Generator
    images : float array, shape (n, 1, height, width)
        Pixels of 0 to 16.
    labels : int array, shape (n,)
    epochs : int
        The learning rate falls to 0 along a cosine.
    """
    parameters = [p for layer in layers for p in (layer.w, layer.b)]
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    height, width = images.shape[2:]
    step, steps = 0, epochs * -(-len(images) // 64)
    for _ in range(epochs):
        order = rng.permutation(len(images))
        for start in range(0, len(images), 64):
            batch = order[start : start + 64]
            top, left = rng.integers(0, 3, 2) if rng.random() < 0.5 else (1, 1)
            shifted = padded[batch, :, top : top + height, left : left + width]
            logits = forward(layers, shifted + rng.normal(0, 2, shifted.shape))[-1]
            probabilities = np.exp(logits - logits.max(1, keepdims=True))
            probabilities /= probabilities.sum(1, keepdims=True)
            probabilities[np.arange(len(batch)), labels[batch]] -= 1
            gradient = probabilities / len(batch)
            for layer in reversed(layers):
                gradient = layer.backward(gradient)
            step += 1
            rate = 2e-3 * (1 + np.cos(np.pi * step / steps))
            gradients = [g for layer in layers for g in layer.gradients]
            for p, g, (first, second) in zip(parameters, gradients, moments, strict=True):
                first += 0.1 * (g - first)
                second += 0.001 * (g * g - second)
                adam = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
                p -= rate * (adam + 0.02 * p)
