"""Handwritten digits, as the two example networks see them.

The data comes with scikit-learn: 1797 images of 8 x 8 pixels, each pixel 0 to 16. The last 360 of a fixed shuffle
are held out; the networks have never seen them.

``python digits.py FILE.npz`` writes the held-out images and their labels.
"""

import sys

import numpy as np
from sklearn.datasets import load_digits

__all__ = ["HELD_OUT", "SCALE", "ZERO_POINT", "held_out", "quantised", "training"]

HELD_OUT = 360

#: Input quantisation of both networks: ``pixel = SCALE * (integer - ZERO_POINT)``, exact for every pixel.
SCALE = 0.125
ZERO_POINT = -128


def _shuffled() -> tuple[np.ndarray, np.ndarray]:
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(2024).permutation(len(labels))
    return images[order].astype(np.float32), labels[order]


def training() -> tuple[np.ndarray, np.ndarray]:
    """Images (float32, shape (1437, 64), pixels row by row) and labels (shape (1437,)) to train with."""
    images, labels = _shuffled()
    return images[:-HELD_OUT], labels[:-HELD_OUT]


def held_out() -> tuple[np.ndarray, np.ndarray]:
    """Images (float32, shape (360, 64), pixels row by row) and labels (shape (360,)) to judge with."""
    images, labels = _shuffled()
    return images[-HELD_OUT:], labels[-HELD_OUT:]


def quantised(images: np.ndarray) -> np.ndarray:
    """`images` as the int8 that the networks compute with, same shape."""
    return (images / SCALE + ZERO_POINT).astype(np.int8)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python digits.py FILE.npz")
    pixels, digits = held_out()
    np.savez(sys.argv[1], images=pixels, int8=quantised(pixels), labels=digits)
