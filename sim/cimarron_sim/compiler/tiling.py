"""Cuts a layer into jobs that fit the macro and the partial-sum memory."""

from dataclasses import dataclass, replace

import numpy as np
from cimarron.config import EngineConfig
from cimarron.isa import Opcode, OutFormat, Profile, pack_job

from .bound import mac_bound
from .errors import CompileError
from .layer import MacLayer, Walk

__all__ = ["Stripe", "Tiling", "jobs", "tile"]


@dataclass(frozen=True)
class Stripe:
    """A rectangle of the output that one job computes, in output pixels."""

    row: int
    rows: int
    column: int
    columns: int

    @property
    def pixels(self) -> int:
        """Output pixels."""
        return self.rows * self.columns


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How a layer is cut.

    Parameters
    ----------
    weight_bits : int
        Width the macro computes with: the narrowest it has that holds the weights.
    walk : Walk
        That of the layer; in a depthwise layer, ``run_bytes`` is the number of channels of a word tile.
    tile_outputs : int
        Outputs of a full word tile.
    row_tiles, last_rows, word_tiles, last_words : int
        As in `cimarron.isa.JOB_FIELDS`.
    pixel_entries : int
        Partial sums one output pixel needs, 0 if the reduction is one tile.
    stripes : tuple of Stripe
        One job each, for every image of a batch.
    """

    weight_bits: int
    walk: Walk
    tile_outputs: int
    row_tiles: int
    last_rows: int
    word_tiles: int
    last_words: int
    pixel_entries: int
    stripes: tuple[Stripe, ...]

    def tile_rows(self, rows: int) -> list[int]:
        """Rows of each row tile, for a macro of ``rows``."""
        return [rows] * (self.row_tiles - 1) + [self.last_rows]

    @property
    def tile_words(self) -> list[int]:
        """Outputs of each word tile."""
        return [self.tile_outputs] * (self.word_tiles - 1) + [self.last_words]


def _cut(total: int, tile_size: int) -> tuple[int, int]:
    """Number of tiles, and the size of the last one."""
    tiles = -(-total // tile_size)
    return tiles, total - (tiles - 1) * tile_size


def _stripes(height: int, width: int, pixels: int) -> tuple[Stripe, ...]:
    """Rectangles of at most ``pixels``: bands of whole rows, or pieces of single rows."""
    if pixels >= width:
        step = min(height, pixels // width)
        return tuple(Stripe(row, min(step, height - row), 0, width) for row in range(0, height, step))
    return tuple(
        Stripe(row, 1, column, min(pixels, width - column))
        for row in range(height)
        for column in range(0, width, pixels)
    )


def _weight_bits(layer: MacLayer, config: EngineConfig) -> int:
    widths = config.macro.weight_widths
    for width in widths:
        if width >= layer.weight_bits:
            return width
    raise CompileError(
        f"layer {layer.name!r} needs weights of {layer.weight_bits} bits, zero point included; the macro computes"
        f" with at most {widths[-1]}: quantise the weights to fewer bits or choose a configuration with wider ones"
    )


def tile(layer: MacLayer, config: EngineConfig) -> Tiling:
    """Cut a layer for the given hardware.

    Raises
    ------
    CompileError
        If no cut makes the layer fit.
    """
    if layer.act_bits > config.macro.max_act_bits:
        raise CompileError(
            f"layer {layer.name!r} reads activations of {layer.act_bits} bits, the macro takes at most"
            f" {config.macro.max_act_bits}: choose a configuration with wider ones"
        )
    weight_bits = _weight_bits(layer, config)
    outputs = config.macro.outputs(weight_bits)
    if not layer.channel_outputs:
        return _tile(layer, config, weight_bits, layer.walk, outputs)
    most = min(outputs, layer.outputs) // layer.channel_outputs
    if most == 0:
        raise CompileError(
            f"layer {layer.name!r} computes {layer.channel_outputs} outputs from each channel, the macro has {outputs}:"
            f" choose a configuration with more words"
        )
    tilings = []
    for channels in range(1, most + 1):
        walk = replace(layer.walk, run_bytes=channels)
        try:
            tilings.append(_tile(layer, config, weight_bits, walk, channels * layer.channel_outputs))
        except CompileError:
            # Too many partial sums; fewer channels may need none.
            if channels == 1:
                raise
    return min(tilings, key=lambda tiling: mac_bound(layer, tiling, config).cycles)


def _tile(layer: MacLayer, config: EngineConfig, weight_bits: int, walk: Walk, tile_outputs: int) -> Tiling:
    row_tiles, last_rows = _cut(walk.depth, config.macro.rows)
    word_tiles, last_words = _cut(layer.outputs, tile_outputs)
    entries = 0
    pixels = walk.pixels
    if row_tiles > 1:
        # Lanes work side by side, so a pixel's sums start at a multiple of their number.
        entries = -(-min(layer.outputs, tile_outputs) // config.lanes) * config.lanes
        pixels = config.psum_entries // entries
        if pixels == 0:
            raise CompileError(
                f"layer {layer.name!r} needs {entries} partial sums for one output pixel, there are"
                f" {config.psum_entries}: choose a configuration with more psum_entries"
            )
    return Tiling(
        weight_bits=weight_bits, walk=walk, tile_outputs=tile_outputs, row_tiles=row_tiles, last_rows=last_rows,
        word_tiles=word_tiles, last_words=last_words, pixel_entries=entries,
        stripes=_stripes(walk.out_height, walk.out_width, pixels),
    )  # fmt: skip


def _output_fields(layer: MacLayer) -> dict[str, int]:
    if layer.y.dtype == np.int32:
        return {"out_format": OutFormat.INT32, "out_zero_point": 0, "clamp_min": 0, "clamp_max": 0}
    return {
        "out_format": OutFormat.INT8 if layer.y.dtype == np.int8 else OutFormat.UINT8,
        "out_zero_point": layer.y_zero_point & 0xFF,
        "clamp_min": int(layer.scaling["clamp_min"]) & 0xFF,
        "clamp_max": int(layer.scaling["clamp_max"]) & 0xFF,
    }


def jobs(
    layer: MacLayer, tiling: Tiling, *, profile: Profile, x_address: int, y_address: int, weight_address: int
) -> list[list[int]]:
    """Job descriptors of a layer, one per image and stripe.

    Parameters
    ----------
    layer : MacLayer
    tiling : Tiling
    profile : Profile
    x_address, y_address : int
        Where input and output lie in the activation buffer.
    weight_address : int
        Memory address of the layer's weight stream, which every job reads from the start.

    Returns
    -------
    list of list of int
        Words of each descriptor.

    Raises
    ------
    CompileError
        If a number does not fit its field.
    """
    walk, value_bytes = tiling.walk, layer.y.dtype.itemsize
    pixel_bytes = layer.outputs * value_bytes
    line_step = walk.stride_h * walk.row_bytes
    fields = {
        "act_signed": int(layer.x.dtype == np.int8),
        "weight_signed": int(layer.weight_signed),
        "act_bits": layer.act_bits,
        "weight_bits": tiling.weight_bits,
        "profile": profile,
        "row_bytes": walk.row_bytes,
        "in_height": walk.in_height,
        "pixel_step": walk.pixel_step,
        "line_step": line_step,
        "stride_h": walk.stride_h,
        "dilation_h": walk.dilation_h,
        "kernel_step": walk.dilation_h * walk.row_bytes,
        "kernel_h": walk.kernel_h,
        "runs": walk.runs,
        "pad_value": layer.x_zero_point & 0xFF,
        "run_bytes": walk.run_bytes,
        "run_step": walk.run_step,
        "row_tiles": tiling.row_tiles,
        "last_rows": tiling.last_rows,
        "word_tiles": tiling.word_tiles,
        "last_words": tiling.last_words,
        "tile_words": tiling.tile_outputs,
        "tile_position_step": walk.run_bytes if layer.channel_outputs else 0,
        "weight_addr": weight_address,
        "out_pixel_step": pixel_bytes,
        "out_tile_step": tiling.tile_outputs * value_bytes,
        **_output_fields(layer),
    }
    descriptors = []
    for image in range(layer.images):
        x_base = x_address + image * walk.in_height * walk.row_bytes
        y_base = y_address + image * walk.pixels * pixel_bytes
        for stripe in tiling.stripes:
            first_row = walk.first_row + stripe.row * walk.stride_h
            try:
                words = pack_job(
                    Opcode.MAC,
                    in_base=(x_base + first_row * walk.row_bytes) & 0xFFFF_FFFF,
                    first_row=first_row,
                    first_position=walk.first_position + stripe.column * walk.pixel_step,
                    out_width=stripe.columns,
                    out_height=stripe.rows,
                    out_base=y_base + (stripe.row * walk.out_width + stripe.column) * pixel_bytes,
                    psum_entries=stripe.pixels * tiling.pixel_entries,
                    **fields,
                )
            except ValueError as error:
                raise CompileError(f"layer {layer.name!r} is too large for a job: {error}") from None
            descriptors.append(words)
    return descriptors
