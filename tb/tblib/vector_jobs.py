"""Random, valid VECTOR jobs and the tables they read."""

from random import Random

import numpy as np
from cimarron.config import EngineConfig
from cimarron.isa import TABLE_WORDS, OutFormat, Profile

__all__ = ["random_vector"]


def _tables(rng: Random, binary: bool, magnitude: int) -> bytes:
    """Entries of about ``magnitude``, in some jobs large enough for their sums to wrap."""
    limit = rng.choice((magnitude, magnitude, 2**31))
    count = TABLE_WORDS << binary
    return np.array([rng.randrange(-limit, limit) for _ in range(count)], "<i4").tobytes()


def _scaling(rng: Random, profile: Profile, magnitude: int) -> dict[str, int]:
    """Multiplier and shift that map ``magnitude`` onto a byte."""
    bits = max(0, magnitude.bit_length() - 7)
    if profile is Profile.TFLM:
        return {"multiplier": rng.randrange(2**30, 2**31), "shift": max(-31, 1 - bits)}
    return {"multiplier": rng.choice((2**23, rng.randrange(2**23, 2**24))), "shift": -24 - bits}


def random_vector(rng: Random, config: EngineConfig, *, limit: int = 6) -> tuple[dict[str, int], bytes]:
    """Fields of a VECTOR job (without ``table_addr``) and its tables.

    Half of the jobs are elementwise: one pixel of any number of bytes. Tensors lie anywhere in the activation buffer,
    at any alignment; the output of an elementwise job may take the place of an operand.

    Parameters
    ----------
    rng : Random
    config : EngineConfig
    limit : int
        Largest height and width of an image.
    """
    elementwise = rng.random() < 0.5
    binary = rng.random() < (0.7 if elementwise else 0.2)
    while True:
        if elementwise:
            height = width = kernel_h = kernel_w = stride_h = stride_w = 1
            pad_top = pad_left = pad_bottom = pad_right = 0
            channels = rng.choice((1, config.act_port_bytes, rng.randrange(1, 40 * limit)))
        else:
            channels = rng.choice((1, 3, config.act_port_bytes, rng.randrange(1, 4 * limit)))
            height, width = rng.randrange(1, limit + 1), rng.randrange(1, limit + 1)
            kernel_h, kernel_w = rng.randrange(1, 4), rng.randrange(1, 4)
            stride_h, stride_w = rng.randrange(1, 3), rng.randrange(1, 3)
            # Windows of nothing but padding are part of the contract.
            pad_top, pad_left, pad_bottom, pad_right = (rng.randrange(4) for _ in range(4))
        out_height = (height + pad_top + pad_bottom - kernel_h) // stride_h + 1
        out_width = (width + pad_left + pad_right - kernel_w) // stride_w + 1
        gap = rng.choice((0, 0, rng.randrange(1, 9)))
        in_bytes, out_bytes = height * width * channels, out_height * out_width * (channels + gap)
        second_gap = rng.choice((gap, 0))
        second_bytes = out_height * out_width * (channels + second_gap) if binary else 0
        if out_height > 0 and out_width > 0 and in_bytes + out_bytes + second_bytes <= config.act_buffer_bytes:
            break
    sizes = [in_bytes, second_bytes, out_bytes]
    spare = config.act_buffer_bytes - sum(sizes)
    starts, at = [0, 0, 0], 0
    for index in rng.sample(range(3), 3):
        skip = rng.randrange(spare + 1)
        starts[index], at, spare = at + skip, at + skip + sizes[index], spare - skip
    in_addr, second_addr, out_addr = starts
    if elementwise and rng.random() < 0.5:
        out_addr = second_addr if binary and rng.random() < 0.5 else in_addr

    row_bytes = width * channels
    profile = rng.choice(list(Profile))
    magnitude = 1 << rng.randrange(1, 31)
    low, high = sorted(rng.sample(range(-128, 128), 2))
    out_format = rng.choice((OutFormat.INT8, OutFormat.UINT8))
    if rng.random() < 0.7:
        low, high = -128, 127
    offset = 0 if out_format == OutFormat.INT8 else 128
    fields = {
        "x_signed": rng.randrange(2),
        "binary": int(binary),
        "profile": profile,
        "out_format": out_format,
        "in_base": (in_addr - pad_top * row_bytes) & 0xFFFFFFFF,
        "row_bytes": row_bytes,
        "in_height": height,
        "first_row": -pad_top,
        "first_position": -pad_left * channels,
        "pixel_step": stride_w * channels,
        "line_step": stride_h * row_bytes,
        "stride_h": stride_h,
        "out_width": out_width,
        "out_height": out_height,
        "kernel_h": kernel_h,
        "kernel_w": kernel_w,
        "pixel_bytes": channels,
        "column_step": channels,
        "second_base": second_addr,
        "second_pixel_step": channels + second_gap,
        "out_base": out_addr,
        "out_pixel_step": channels + gap,
        "out_zero_point": rng.choice((0, rng.randrange(256))),
        "clamp_min": (low + offset) & 0xFF,
        "clamp_max": (high + offset) & 0xFF,
        **_scaling(rng, profile, magnitude),
    }
    return fields, _tables(rng, binary, magnitude)
