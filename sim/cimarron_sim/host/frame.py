"""Frames on the serial port: whole words with a CRC, delimited as RFC 1055 says."""

import struct
import zlib
from collections.abc import Sequence

from cimarron.isa import HOST_DATA_BYTES, SLIP_END, SLIP_ESC, SLIP_ESC_END, SLIP_ESC_ESC

__all__ = ["FRAME_BYTES", "Unframer", "framed"]

#: Longest frame, as its bytes are before SLIP: first word, two operands, data, CRC.
FRAME_BYTES = 4 * 4 + HOST_DATA_BYTES

_END, _ESC = bytes([SLIP_END]), bytes([SLIP_ESC])
_ESCAPED_END, _ESCAPED_ESC = bytes([SLIP_ESC, SLIP_ESC_END]), bytes([SLIP_ESC, SLIP_ESC_ESC])


def framed(words: Sequence[int]) -> bytes:
    """What goes over the line for a frame.

    Parameters
    ----------
    words : sequence of int
        Unsigned, 32 bits each, without the CRC.
    """
    content = struct.pack(f"<{len(words)}I", *words)
    content += struct.pack("<I", zlib.crc32(content))
    return _END + content.replace(_ESC, _ESCAPED_ESC).replace(_END, _ESCAPED_END) + _END


class Unframer:
    """Finds frames in what comes over the line; whatever else comes between them is dropped."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, received: bytes) -> list[tuple[int, ...]]:
        """Take bytes in.

        Returns
        -------
        list of tuple of int
            The words of each sound frame that they complete, without the CRC.
        """
        self._pending += received
        *ended, self._pending = self._pending.split(_END)
        # A line that never says END is no reason to remember everything.
        del self._pending[: -2 * FRAME_BYTES]
        return [words for content in ended if (words := _sound(bytes(content)))]


def _sound(content: bytes) -> tuple[int, ...]:
    """Words of a frame, none if it is damaged."""
    content = content.replace(_ESCAPED_END, _END).replace(_ESCAPED_ESC, _ESC)
    if len(content) % 4 or not 8 <= len(content) <= FRAME_BYTES:
        return ()
    *words, crc = struct.unpack(f"<{len(content) // 4}I", content)
    return tuple(words) if zlib.crc32(content[:-4]) == crc else ()
