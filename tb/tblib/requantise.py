"""Stimulus and model of the requantiser, on the level of its pins."""

import math
from collections.abc import Iterator
from random import Random

import numpy as np
from cimarron.isa import Profile
from cimarron_sim.reference.requantise import narrow, quantize_multiplier, requantise_onnx, requantise_tflm

__all__ = ["PIN_BITS", "edge_pins", "expected_value", "random_pins", "tie_pins"]

#: Input pins that describe a value, and their widths.
PIN_BITS = {
    "acc": 32,
    "multiplier": 32,
    "shift": 8,
    "profile": 1,
    "out_unsigned": 1,
    "zero_point": 8,
    "clamp_min": 8,
    "clamp_max": 8,
}

_MAGNITUDES = (0, 1, 2, 3, 2**24 - 1, 2**24, 2**24 + 1, 2**30, 2**31 - 128, 2**31 - 1)
_ACC_EDGES = (*_MAGNITUDES, *(-magnitude for magnitude in _MAGNITUDES[1:]), -(2**31))


def _pins(**numbers: int) -> dict[str, int]:
    """Numbers as raw bits."""
    return {name: numbers[name] & (1 << bits) - 1 for name, bits in PIN_BITS.items()}


def _number(raw: int, bits: int) -> int:
    return raw - (1 << bits) if raw >> bits - 1 else raw


def expected_value(pins: dict[str, int]) -> int:
    """Raw bits that the reference computes for the raw bits on the input pins."""
    acc, shift = _number(pins["acc"], 32), _number(pins["shift"], 8)
    if pins["profile"] == Profile.TFLM:
        scaled = requantise_tflm(acc, pins["multiplier"], shift)
    else:
        scaled = requantise_onnx(acc, math.ldexp(pins["multiplier"], shift))
    zero_point, low, high = (pins[name] for name in ("zero_point", "clamp_min", "clamp_max"))
    if pins["out_unsigned"]:
        return int(narrow(scaled, zero_point, low, high, np.uint8))
    return int(narrow(scaled, _number(zero_point, 8), _number(low, 8), _number(high, 8), np.int8)) & 0xFF


def scale_pins(profile: Profile, scale: float) -> dict[str, int]:
    """Multiplier and shift of a scale."""
    if profile == Profile.TFLM:
        multiplier, shift = quantize_multiplier(scale)
    else:
        fraction, exponent = math.frexp(float(np.float32(scale)))
        multiplier, shift = int(fraction * 2**24), exponent - 24
    return {"multiplier": multiplier, "shift": shift}


def random_pins(rng: Random) -> dict[str, int]:
    """A value of the kind that tells roundings apart: most results lie close to a half, or exactly on it."""
    profile = rng.choice(list(Profile))
    acc = rng.choice((-1, 1)) * rng.getrandbits(rng.randint(1, 31)) or rng.choice(_ACC_EDGES)
    half = rng.randint(0, 300) + 0.5
    match rng.randrange(5):
        case 0:
            scaling = scale_pins(profile, 2.0 ** rng.randint(-31, 3))
        case 1 | 2:
            scaling = scale_pins(profile, half / max(1, abs(acc)))
        case 3:
            # A factor of few bits makes the product itself end in a half.
            scaling = scale_pins(profile, rng.randrange(1, 2**12) * 2.0 ** rng.randint(-40, -6))
        case _ if profile == Profile.TFLM:
            scaling = {"multiplier": rng.getrandbits(31), "shift": rng.randint(-31, 30)}
        case _:
            scaling = {"multiplier": rng.getrandbits(23) | 1 << 23, "shift": rng.randint(-128, 104)}
    unsigned = rng.getrandbits(1)
    low, high = (0, 255) if unsigned else (-128, 127)
    clamps = (low, high) if rng.randrange(4) else sorted((rng.randint(low, high), rng.randint(low, high)))
    return _pins(
        acc=acc,
        **scaling,
        profile=profile,
        out_unsigned=unsigned,
        zero_point=rng.choice((low, 0, high, rng.randint(low, high))),
        clamp_min=clamps[0],
        clamp_max=clamps[1],
    )


def _plain_pins(profile: Profile, acc: int, multiplier: int, shift: int) -> dict[str, int]:
    """No zero point, no clamps, int8."""
    return _pins(
        acc=acc,
        multiplier=multiplier,
        shift=shift,
        profile=profile,
        out_unsigned=0,
        zero_point=0,
        clamp_min=-128,
        clamp_max=127,
    )


def edge_pins(profile: Profile) -> Iterator[dict[str, int]]:
    """Extreme accumulators times extreme multipliers, with every shift that makes a difference."""
    if profile == Profile.TFLM:
        multipliers, shifts = (0, 1, 2**30, 2**31 - 1), range(-31, 31)
    else:
        multipliers, shifts = (0, 2**23, 2**23 + 1, 2**24 - 1), (-128, *range(-57, 10), 104)
    for shift in shifts:
        for multiplier in multipliers:
            for acc in _ACC_EDGES:
                yield _plain_pins(profile, acc, multiplier, shift)


def tie_pins(profile: Profile) -> Iterator[dict[str, int]]:
    """Products whose last bit decides the first rounding, where the first rounding decides the second."""
    if profile == Profile.TFLM:
        # An odd accumulator has an inverse, so the lower 31 bits of the product can be chosen: a half and a bit.
        for acc in range(-127, 128, 2):
            for offset in (-1, 0, 1):
                yield _plain_pins(profile, acc, (2**30 + offset) * pow(acc, -1, 2**31) % 2**31, 0)
        return
    # k + 1/2 and a little, as a product of two floats that has one or two bits more than a float.
    for k in range(127):
        for product_bits in (25, 26):
            point = product_bits - (2 * k + 1).bit_length()
            for product in ((2 * k + 1 << point) + offset for offset in (-3, -1, 1, 3)):
                for acc in range(3, 200, 2):
                    scale, rest = divmod(product, acc)
                    if rest == 0 and scale < 2**24:
                        scaling = scale_pins(profile, math.ldexp(scale, -point - 1))
                        yield _plain_pins(profile, acc, **scaling)
                        yield _plain_pins(profile, -acc, **scaling)
