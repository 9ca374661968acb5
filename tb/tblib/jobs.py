"""Random, valid MAC jobs and the weight streams they read."""

import struct
from random import Random

from cimarron.config import EngineConfig
from cimarron.isa import Opcode, OutFormat, Profile, pack_job


def _record(rng: Random, profile: int, magnitude: int) -> bytes:
    """A requantisation record that maps sums of about ``magnitude`` onto a byte."""
    bias = rng.randrange(-magnitude, magnitude + 1)
    bits = max(0, magnitude.bit_length() - 7)
    if profile == Profile.TFLM:
        multiplier, shift = rng.randrange(2**30, 2**31), max(-31, 1 - bits)
    else:
        multiplier, shift = rng.randrange(2**23, 2**24), -24 - bits
    return struct.pack("<iIiI", bias, multiplier, shift, 0)


def _groups(rng: Random, config: EngineConfig, outputs: int) -> tuple[int, int, int]:
    """Group size, groups in a line and lines of a full tile of at most ``outputs``; one group may have any size."""
    lanes = config.lanes
    most = outputs // lanes
    if most == 0 or rng.random() < 0.4:
        return 0, 1, 1
    group_beats = rng.randrange(1, most + 1)
    columns = rng.randrange(1, most // group_beats + 1)
    return group_beats * lanes, columns, rng.randrange(1, most // group_beats // columns + 1)


def random_mac(rng: Random, config: EngineConfig, *, limit: int = 6) -> tuple[dict[str, int], bytes]:
    """Fields of a MAC job (without ``weight_addr``) and its weight stream.

    Input and output lie anywhere in the activation buffer, at any alignment, without overlapping.

    Parameters
    ----------
    rng : Random
    config : EngineConfig
    limit : int
        Largest image height, width and channel count.
    """
    macro = config.macro
    while True:
        channels = rng.choice((1, 2, 3, rng.randrange(1, 3 * limit)))
        height, width = rng.randrange(1, limit + 1), rng.randrange(1, limit + 1)
        kernel_h, kernel_w = rng.randrange(1, 4), rng.randrange(1, 4)
        stride_h, stride_w = rng.randrange(1, 3), rng.randrange(1, 3)
        dilation_h, dilation_w = rng.choice((1, 1, 2)), rng.choice((1, 1, 2))
        pad_top, pad_left = rng.randrange(kernel_h), rng.randrange(kernel_w)
        pad_bottom, pad_right = rng.randrange(kernel_h), rng.randrange(kernel_w)
        out_height = (height + pad_top + pad_bottom - dilation_h * (kernel_h - 1) - 1) // stride_h + 1
        out_width = (width + pad_left + pad_right - dilation_w * (kernel_w - 1) - 1) // stride_w + 1
        weight_bits = rng.choice(macro.weight_widths)
        outputs = macro.outputs(weight_bits)
        group_words, group_columns, group_lines = _groups(rng, config, outputs)
        groups = group_columns * group_lines
        tile_words = group_words * groups
        if groups == 1:
            tile_words = outputs if rng.random() < 0.7 else rng.randrange(1, outputs + 1)
            group_words = -(-tile_words // config.lanes) * config.lanes
        out_channels = rng.choice((1, tile_words, rng.randrange(1, 3 * outputs)))
        reduction = kernel_h * kernel_w * channels
        row_tiles = -(-reduction // macro.rows)
        tile_beats = -(-min(tile_words, out_channels) // config.lanes)
        psums = out_height * out_width * tile_beats * config.lanes if row_tiles > 1 else 0
        out_format = rng.choice(list(OutFormat))
        out_bytes = 4 if out_format == OutFormat.INT32 else 1
        word_tiles = -(-out_channels // tile_words)
        tile_base_step = rng.choice((0, 0, height * width * channels, rng.randrange(8)))
        in_size = height * width * channels + (word_tiles - 1) * tile_base_step
        out_size = out_height * out_width * word_tiles * tile_words * out_bytes
        fits = in_size + out_size <= config.act_buffer_bytes and psums <= config.psum_entries
        if out_height > 0 and out_width > 0 and fits and reduction * out_channels <= 40 * macro.rows * outputs:
            break
    gap = config.act_buffer_bytes - in_size - out_size
    first = rng.randrange(gap + 1)
    second = first + rng.randrange(gap - first + 1)
    in_addr, out_addr = (first, second + in_size) if rng.random() < 0.5 else (second + out_size, first)

    # Groups are pixels of a block, whose channels lie side by side, or each has an image of its own.
    group_bytes = tile_words // groups * out_bytes
    if rng.random() < 0.5:
        pixel_bytes = word_tiles * group_bytes
        output_steps = {
            "out_pixel_step": group_columns * pixel_bytes,
            "out_line_step": group_lines * group_columns * out_width * pixel_bytes,
            "out_tile_step": group_bytes,
            "group_step": pixel_bytes,
            "group_line_step": group_columns * out_width * pixel_bytes,
        }
    else:
        image_bytes = out_height * out_width * group_bytes
        output_steps = {
            "out_pixel_step": group_bytes,
            "out_line_step": out_width * group_bytes,
            "out_tile_step": groups * image_bytes,
            "group_step": image_bytes,
            "group_line_step": group_columns * image_bytes,
        }
    shared = rng.random() < 0.2

    row_bytes = width * channels
    dilated = dilation_w > 1
    profile = rng.choice(list(Profile))
    low, high = sorted(rng.sample(range(256) if out_format == OutFormat.UINT8 else range(-128, 128), 2))
    if rng.random() < 0.7:
        low, high = (0, 255) if out_format == OutFormat.UINT8 else (-128, 127)
    act_bits = rng.choice((8, 8, rng.randrange(1, macro.max_act_bits + 1)))
    fields = {
        "act_signed": rng.randrange(2),
        "weight_signed": rng.randrange(2),
        "act_bits": act_bits,
        "weight_bits": weight_bits,
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
        "dilation_h": dilation_h,
        "kernel_step": dilation_h * row_bytes,
        "out_width": out_width,
        "out_height": out_height,
        "kernel_h": kernel_h,
        "runs": kernel_w if dilated else 1,
        "pad_value": rng.randrange(256),
        "run_bytes": channels if dilated else kernel_w * channels,
        "run_step": dilation_w * channels,
        "row_tiles": row_tiles,
        "last_rows": reduction - (row_tiles - 1) * macro.rows,
        "word_tiles": word_tiles,
        "last_words": out_channels - (word_tiles - 1) * tile_words,
        "tile_words": tile_words,
        "tile_position_step": rng.choice((0, 0, rng.randrange(1, 2 * channels + 1))),
        "tile_base_step": tile_base_step,
        "shared_weights": int(shared),
        "out_base": out_addr,
        **output_steps,
        "group_words": group_words,
        "group_columns": group_columns,
        "edge_columns": rng.randrange(1, group_columns + 1),
        "edge_lines": rng.randrange(1, group_lines + 1),
        "out_zero_point": rng.randrange(256),
        "clamp_min": low & 0xFF,
        "clamp_max": high & 0xFF,
        "psum_entries": psums,
    }
    magnitude = int((2 ** (act_bits + weight_bits)) * reduction**0.5 / 4) + 1
    stream = bytearray()
    for word_tile in range(word_tiles):
        for _ in range(fields["last_words"] if word_tile == word_tiles - 1 else tile_words):
            record = _record(rng, profile, magnitude)
            stream += record.ljust(config.port_bytes * config.param_beats, b"\0")
        stream += rng.randbytes((macro.rows if shared else reduction) * config.port_bytes * config.row_beats)
        if shared:
            break
    return fields, bytes(stream)


def random_store(rng: Random, config: EngineConfig, memory: range, limit: int = 120) -> dict[str, int]:
    """Fields of a valid STORE job of at most ``limit`` bytes, from anywhere in the buffer to anywhere in ``memory``."""
    length = rng.choice((1, config.port_bytes, rng.randrange(1, limit + 1)))
    source = rng.choice((0, config.act_buffer_bytes - length, rng.randrange(config.act_buffer_bytes - length + 1)))
    return {"source": source, "destination": rng.choice(memory[: len(memory) - length]), "length": length}


def job_words(fields: dict[str, int]) -> list[int]:
    """Descriptor of a MAC job."""
    return pack_job(Opcode.MAC, **fields)
