"""The windows of a layer, and the walk of the engine through them."""

from dataclasses import dataclass

from ..graph import Node, Tensor
from .errors import CompileError

__all__ = ["Block", "Walk", "Window", "read_window", "walk_through"]


@dataclass(frozen=True, kw_only=True)
class Window:
    """The image a layer reads, and the part of it that each output pixel sees; in pixels.

    Parameters
    ----------
    height, width, channels : int
        Of the image.
    kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w : int
    top, left : int
        Padding before the first row and column.
    out_height, out_width : int
        Output pixels.
    """

    height: int
    width: int
    channels: int
    kernel_h: int = 1
    kernel_w: int = 1
    stride_h: int = 1
    stride_w: int = 1
    dilation_h: int = 1
    dilation_w: int = 1
    top: int = 0
    left: int = 0
    out_height: int
    out_width: int

    @property
    def taps(self) -> int:
        """Pixels in a window."""
        return self.kernel_h * self.kernel_w

    @property
    def pixels(self) -> int:
        """Output pixels of one image."""
        return self.out_height * self.out_width


@dataclass(frozen=True)
class Block:
    """Neighbouring output pixels that are computed together, from one window around theirs."""

    height: int = 1
    width: int = 1

    @property
    def pixels(self) -> int:
        """Output pixels in a block."""
        return self.height * self.width


@dataclass(frozen=True, kw_only=True)
class Walk:
    """How the input of one image is walked; fields of the same names in `cimarron.isa.JOB_FIELDS`, in bytes and rows.

    Positions count bytes from the start of an image row. One value is one byte.
    """

    row_bytes: int
    in_height: int
    first_row: int
    first_position: int
    pixel_step: int
    stride_h: int
    dilation_h: int
    kernel_h: int
    runs: int
    run_bytes: int
    run_step: int
    out_height: int
    out_width: int

    @property
    def depth(self) -> int:
        """Length of the reduction: bytes that go into one output."""
        return self.kernel_h * self.runs * self.run_bytes

    @property
    def pixels(self) -> int:
        """Walks through one image: its output pixels, or blocks of them."""
        return self.out_height * self.out_width


def read_window(node: Node, x: Tensor, kernel: tuple[int, int], y: Tensor) -> Window:
    """Window of a ``conv2d``, ``depthwise_conv2d`` or pool.

    Raises
    ------
    CompileError
        If the output has another size than the windows.
    """
    _, height, width, channels = x.shape
    kernel_h, kernel_w = kernel
    stride_h, stride_w = node.attributes["stride"]
    dilation_h, dilation_w = node.attributes.get("dilation", (1, 1))
    top, left, bottom, right = node.attributes["pads"]
    out_height = (height + top + bottom - dilation_h * (kernel_h - 1) - 1) // stride_h + 1
    out_width = (width + left + right - dilation_w * (kernel_w - 1) - 1) // stride_w + 1
    if y.shape[1:3] != (out_height, out_width):
        raise CompileError(
            f"layer {node.name!r} computes an image of {out_height} x {out_width}, but its output {y.name!r} has"
            f" shape {y.shape}: the model contradicts itself"
        )
    return Window(
        height=height, width=width, channels=channels, kernel_h=kernel_h, kernel_w=kernel_w, stride_h=stride_h,
        stride_w=stride_w, dilation_h=dilation_h if kernel_h > 1 else 1, dilation_w=dilation_w if kernel_w > 1 else 1,
        top=top, left=left, out_height=out_height, out_width=out_width,
    )  # fmt: skip


def walk_through(window: Window, channels: int, plane_channels: int, block: Block, copies: int = 1) -> Walk | None:
    """The walk that reads some channels of each tap, for blocks of output pixels.

    Its values come in the order window row, copy, window column, channel.

    Parameters
    ----------
    window : Window
    channels : int
        Channels read of each pixel.
    plane_channels : int
        Channels that lie side by side in memory, all or some; pixels of the same channels follow one another.
    block : Block
        One pixel, if the window is dilated.
    copies : int
        How often each value is read.

    Returns
    -------
    Walk or None
        None where a row of a window is several runs, which cannot be read twice.
    """
    columns = (block.width - 1) * window.stride_w + window.kernel_w
    # Taps that lie next to each other in memory are one run.
    is_contiguous = channels == plane_channels and window.dilation_w == 1
    if copies > 1 and not is_contiguous:
        return None
    return Walk(
        row_bytes=window.width * plane_channels,
        in_height=window.height,
        first_row=-window.top,
        first_position=-window.left * plane_channels,
        pixel_step=block.width * window.stride_w * plane_channels,
        stride_h=block.height * window.stride_h,
        dilation_h=window.dilation_h,
        kernel_h=(block.height - 1) * window.stride_h + window.kernel_h,
        runs=copies if is_contiguous else columns,
        run_bytes=columns * channels if is_contiguous else channels,
        run_step=0 if copies > 1 else window.dilation_w * plane_channels,
        out_height=-(-window.out_height // block.height),
        out_width=-(-window.out_width // block.width),
    )
