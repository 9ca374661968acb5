"""Cuts a layer into jobs that fit the macro and the partial-sum memory."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from cimarron.config import EngineConfig
from cimarron.isa import Opcode, OutFormat, Profile, pack_job

from .errors import CompileError
from .layer import MacLayer
from .window import Block, Walk, walk_through

__all__ = ["Stripe", "Tiling", "jobs", "stripes", "tilings", "weight_form"]


@dataclass(frozen=True)
class Stripe:
    """A rectangle of the output that one job computes, in blocks of output pixels."""

    row: int
    rows: int
    column: int
    columns: int

    @property
    def pixels(self) -> int:
        """Blocks of output pixels."""
        return self.rows * self.columns


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How a layer is cut.

    Parameters
    ----------
    weight_bits : int
        Width the macro computes with: the narrowest it has that holds the weights, or halves of them.
    copies : int
        2 if every input is read twice, because two weights of the macro make one of the layer's; else 1.
    block : Block
        Output pixels that an operation computes together.
    x_planes, y_planes : int
        Channels of a plane, if input or output lie in planes of some channels each; 0 if each pixel's channels lie
        together.
    channels : int
        Input channels of a word tile.
    outputs : int
        Output channels of a full word tile.
    walk : Walk
    row_tiles, last_rows, word_tiles, last_words : int
        As in `cimarron.isa.JOB_FIELDS`; a word is an output channel of a pixel of the block.
    pixel_entries : int
        Partial sums one block needs, 0 if the reduction is one tile.
    is_shared : bool
        All tiles have the same weights, which are loaded once.
    stripes : tuple of Stripe
        One job each, for every image of a batch.
    """

    weight_bits: int
    copies: int
    block: Block
    x_planes: int
    y_planes: int
    channels: int
    outputs: int
    walk: Walk
    row_tiles: int
    last_rows: int
    word_tiles: int
    last_words: int
    pixel_entries: int
    is_shared: bool
    stripes: tuple[Stripe, ...]

    @property
    def full_words(self) -> int:
        """Words of a full word tile."""
        return self.outputs * self.block.pixels

    @property
    def tile_words(self) -> list[int]:
        """Words of each word tile."""
        return [self.full_words] * (self.word_tiles - 1) + [self.last_words]

    @property
    def loaded_words(self) -> int:
        """Words whose records are loaded."""
        return self.tile_words[0] if self.is_shared else sum(self.tile_words)

    def loaded_rows(self, rows: int) -> int:
        """Rows that are loaded, for a macro of ``rows``."""
        return min(self.walk.depth, rows) if self.is_shared else self.word_tiles * self.walk.depth


def _cut(total: int, tile_size: int) -> tuple[int, int]:
    """Number of tiles, and the size of the last one."""
    tiles = -(-total // tile_size)
    return tiles, total - (tiles - 1) * tile_size


def _stripes(height: int, width: int, pixels: int) -> tuple[Stripe, ...]:
    """Rectangles of at most ``pixels``: bands of whole rows, or pieces of single rows; none if there is no row."""
    if pixels >= width:
        step = max(1, min(height, pixels // width))
        return tuple(Stripe(row, min(step, height - row), 0, width) for row in range(0, height, step))
    return tuple(
        Stripe(row, 1, column, min(pixels, width - column))
        for row in range(height)
        for column in range(0, width, pixels)
    )


def weight_form(layer: MacLayer, config: EngineConfig) -> tuple[int, int]:
    """Width the macro computes with, and how many weights of that width make one of the layer's.

    Raises
    ------
    CompileError
        If the macro has no weights so wide.
    """
    widths = config.macro.weight_widths
    for width in widths:
        if width >= layer.weight_bits:
            return width, 1
    most = (1 << widths[-1] - 1) - 1
    if layer.weight_signed and layer.weights.min() >= 2 * ~most and layer.weights.max() <= 2 * most:
        return widths[-1], 2
    raise _too_wide(layer, widths[-1])


def _too_wide(layer: MacLayer, widest: int) -> CompileError:
    return CompileError(
        f"layer {layer.name!r} needs weights of {layer.weight_bits} bits, zero point included; the macro computes"
        f" with at most {widest}: quantise the weights to fewer bits or choose a configuration with wider ones"
    )


def _blocks(most: int) -> Iterator[Block]:
    """Blocks of at most so many pixels, small ones first."""
    for pixels in range(1, most + 1):
        yield from (Block(height, pixels // height) for height in range(1, pixels + 1) if pixels % height == 0)


def _mappings(layer: MacLayer, words: int, lanes: int) -> Iterator[tuple[int, Block]]:
    """Output channels of a word tile, and the block of pixels, that fill at most ``words``."""
    step = layer.channel_outputs or 1
    most = min(words, layer.outputs)
    window = layer.window
    is_dilated = window.dilation_h > 1 or window.dilation_w > 1
    for outputs in range(step, most + 1, step):
        if layer.channel_outputs or outputs == most or outputs % lanes == 0:
            yield outputs, Block()
        if is_dilated or layer.outputs % outputs or outputs % lanes:
            continue
        for block in _blocks(words // outputs):
            fits = block.height <= window.out_height and block.width <= window.out_width
            if block.pixels > 1 and fits:
                yield outputs, block


def tilings(layer: MacLayer, config: EngineConfig, x_planes: int = 0, y_planes: int = 0) -> list[Tiling]:
    """The ways to cut a layer for the given hardware.

    Parameters
    ----------
    layer : MacLayer
    config : EngineConfig
    x_planes, y_planes : int
        See `Tiling`.

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
    form = weight_form(layer, config)
    words = config.macro.outputs(form[0])
    found, reasons = [], []
    for outputs, block in _mappings(layer, words, config.lanes):
        try:
            found.append(_tile(layer, config, form, outputs, block, x_planes, y_planes))
        except CompileError as reason:
            # Too many partial sums, or planes of other channels; another mapping may do.
            reasons.append(reason)
    if not found:
        raise reasons[0]
    return found


def _fits_planes(tiling_outputs: int, layer: MacLayer, block: Block, planes: int, lanes: int) -> bool:
    """Whether tiles of so many output channels can be written to planes of ``planes`` channels."""
    if layer.outputs % planes or planes % lanes:
        return False
    # Groups have two steps: pixels of a line and lines, or planes and lines.
    return tiling_outputs == planes if block.width > 1 else tiling_outputs % planes == 0


def _tile(
    layer: MacLayer,
    config: EngineConfig,
    form: tuple[int, int],
    outputs: int,
    block: Block,
    x_planes: int,
    y_planes: int,
) -> Tiling:
    rows, lanes, window = config.macro.rows, config.lanes, layer.window
    weight_bits, copies = form
    channels = outputs // layer.channel_outputs if layer.channel_outputs else window.channels
    if x_planes and channels != x_planes:
        raise CompileError(f"layer {layer.name!r} reads planes of {x_planes} channels, not {channels}")
    if y_planes and not _fits_planes(outputs, layer, block, y_planes, lanes):
        raise CompileError(f"layer {layer.name!r} writes {outputs} channels, which do not fit planes of {y_planes}")
    walk = walk_through(window, channels, x_planes or window.channels, block, copies)
    if walk is None:
        raise _too_wide(layer, weight_bits)
    row_tiles, last_rows = _cut(walk.depth, rows)
    word_tiles, last_outputs = _cut(layer.outputs, outputs)
    entries = 0
    pixels = walk.pixels
    if row_tiles > 1:
        # Lanes work side by side, so a pixel's sums start at a multiple of their number.
        entries = -(-min(layer.outputs, outputs) * block.pixels // lanes) * lanes
        pixels = config.psum_entries // entries
        if pixels == 0:
            raise CompileError(
                f"layer {layer.name!r} needs {entries} partial sums for one output pixel, there are"
                f" {config.psum_entries}: choose a configuration with more psum_entries"
            )
    return Tiling(
        weight_bits=weight_bits, copies=copies, block=block, x_planes=x_planes, y_planes=y_planes, channels=channels,
        outputs=outputs, walk=walk, row_tiles=row_tiles, last_rows=last_rows, word_tiles=word_tiles,
        last_words=last_outputs * block.pixels, pixel_entries=entries,
        is_shared=layer.is_uniform and block.pixels == 1 and (row_tiles == 1 or rows % channels == 0),
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


def _output_steps(layer: MacLayer, tiling: Tiling, lanes: int) -> dict[str, int]:
    """Where the outputs of a tile lie; the groups of a line are the pixels of a block, or the planes of a pixel."""
    block, planes, window = tiling.block, tiling.y_planes, layer.window
    size = (planes or layer.outputs) * layer.y.dtype.itemsize
    pixel, line = (window.out_height * size, size) if layer.is_by_columns else (size, window.out_width * size)
    plane = window.pixels * size
    tile_step = tiling.outputs // planes * plane if planes else tiling.outputs * layer.y.dtype.itemsize
    steps = {
        "out_pixel_step": block.width * pixel,
        "out_line_step": block.height * line,
        "out_tile_step": tile_step,
        "group_line_step": line,
    }
    if block.width > 1:
        return steps | {"group_words": tiling.outputs, "group_columns": block.width, "group_step": pixel}
    # Some group has to follow another one in a block; a single one may be cut by the end of the tile.
    group = planes or (tiling.outputs if block.pixels > 1 else -(-tiling.outputs // lanes) * lanes)
    return steps | {"group_words": group, "group_columns": -(-tiling.outputs // group), "group_step": plane}


def _edges(layer: MacLayer, tiling: Tiling, stripe: Stripe, group_columns: int) -> dict[str, int]:
    """How much of the last blocks of a stripe lies inside the image."""
    block, walk = tiling.block, tiling.walk
    is_right = stripe.column + stripe.columns == walk.out_width
    is_bottom = stripe.row + stripe.rows == walk.out_height
    columns_left = layer.window.out_width - (walk.out_width - 1) * block.width
    lines_left = layer.window.out_height - (walk.out_height - 1) * block.height
    return {
        "edge_columns": columns_left if is_right and block.width > 1 else group_columns,
        "edge_lines": lines_left if is_bottom else block.height,
    }


def stripes(layer: MacLayer, tiling: Tiling, config: EngineConfig, rows: range) -> list[tuple[int, Stripe]]:
    """Image and rectangle of each job that computes some rows of blocks, counted through all images."""
    height, width = tiling.walk.out_height, tiling.walk.out_width
    pixels = config.psum_entries // tiling.pixel_entries if tiling.pixel_entries else height * width
    found = []
    for image in range(layer.images):
        first, last = (min(max(row - image * height, 0), height) for row in (rows.start, rows.stop))
        for stripe in _stripes(last - first, width, pixels):
            found.append((image, replace(stripe, row=first + stripe.row)))
    return found


def jobs(
    layer: MacLayer, tiling: Tiling, config: EngineConfig, *, profile: Profile, x_address: int, y_address: int,
    weight_address: int, rows: range | None = None,
) -> list[list[int]]:  # fmt: skip
    """Job descriptors of a layer, one per image and stripe.

    Parameters
    ----------
    layer : MacLayer
    tiling : Tiling
    config : EngineConfig
    profile : Profile
    x_address, y_address : int
        Where input and output lie in the activation buffer; if only some rows do, where the rest would.
    weight_address : int
        Memory address of the layer's weight stream, which every job reads from the start.
    rows : range, optional
        Rows of blocks to compute, counted through all images; all by default.

    Returns
    -------
    list of list of int
        Words of each descriptor.

    Raises
    ------
    CompileError
        If a number does not fit its field.
    """
    walk, window = tiling.walk, layer.window
    line_step = walk.stride_h * walk.row_bytes
    steps = _output_steps(layer, tiling, config.lanes)
    fields = {
        "act_signed": int(layer.x.dtype == np.int8),
        "weight_signed": int(layer.weight_signed),
        "act_bits": layer.act_bits,
        "weight_bits": tiling.weight_bits,
        "profile": profile,
        "shared_weights": int(tiling.is_shared),
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
        "tile_words": tiling.full_words,
        "tile_position_step": tiling.channels if layer.channel_outputs and not tiling.x_planes else 0,
        "tile_base_step": walk.in_height * walk.row_bytes if tiling.x_planes else 0,
        "weight_addr": weight_address,
        **steps,
        **_output_fields(layer),
    }
    descriptors = []
    rows = range(layer.images * walk.out_height) if rows is None else rows
    for image, stripe in stripes(layer, tiling, config, rows):
        x_base = x_address + image * window.height * window.width * window.channels
        y_base = y_address + image * window.pixels * layer.outputs * layer.y.dtype.itemsize
        first_row = walk.first_row + stripe.row * walk.stride_h
        try:
            words = pack_job(
                Opcode.MAC,
                in_base=(x_base + first_row * walk.row_bytes) & 0xFFFF_FFFF,
                first_row=first_row,
                first_position=walk.first_position + stripe.column * walk.pixel_step,
                out_width=stripe.columns,
                out_height=stripe.rows,
                out_base=y_base + stripe.row * steps["out_line_step"] + stripe.column * steps["out_pixel_step"],
                psum_entries=stripe.pixels * tiling.pixel_entries,
                **_edges(layer, tiling, stripe, steps["group_columns"]),
                **fields,
            )
        except ValueError as error:
            raise CompileError(f"layer {layer.name!r} is too large for a job: {error}") from None
        descriptors.append(words)
    return descriptors
