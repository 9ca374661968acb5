"""The program image: header, steps, job descriptors and weights in one block of memory."""

import struct
import zlib
from collections.abc import Iterator, Sequence

from cimarron.config import SocConfig
from cimarron.isa import (
    JOB_BYTES,
    JOB_WORDS,
    PROGRAM_HEADER,
    PROGRAM_MAGIC,
    PROGRAM_OFFSET,
    PROGRAM_VERSION,
    WINDOW_WORDS,
    RunStatus,
    Step,
)

__all__ = ["HEADER_BYTES", "ProgramError", "align", "descriptor", "finish", "header_of", "step", "steps_of", "verify"]

HEADER_BYTES = 4 * len(PROGRAM_HEADER)

#: Words of each step, its first included.
_STEP_WORDS = {
    Step.END: 1,
    Step.JOBS: 3,
    Step.COMBINE: 6,
    Step.NARROW: 5,
    Step.SOFTMAX: 8,
    Step.SHARE: 9,
    Step.MEAN: 8 + len(WINDOW_WORDS),
}

#: What the CRC does not cover: the words up to the one that holds it.
_CRC_START = 4 * (PROGRAM_HEADER.index("crc32") + 1)


class ProgramError(ValueError):
    """A program that cannot be run, for the reason in ``status``."""

    def __init__(self, status: RunStatus, sentence: str):
        super().__init__(sentence)
        self.status = status


def align(value: int, multiple: int) -> int:
    """The next multiple, or the value if it is one."""
    return -(-value // multiple) * multiple


def step(kind: Step, operands: Sequence[int] = ()) -> bytes:
    """One step of a program."""
    return struct.pack(f"<{1 + len(operands)}I", (1 + len(operands)) << 16 | kind, *operands)


def descriptor(words: Sequence[int]) -> bytes:
    """A job descriptor as the engine fetches it."""
    return struct.pack(f"<{JOB_WORDS}I", *words)


def header_of(image: bytes) -> dict[str, int]:
    """Words of an image's header, by name.

    Raises
    ------
    ProgramError
        With status BAD_SIZE if the image is shorter than a header.
    """
    if len(image) < HEADER_BYTES:
        raise ProgramError(
            RunStatus.BAD_SIZE, f"a program has a header of {HEADER_BYTES} bytes, this one ends after {len(image)}"
        )
    return dict(zip(PROGRAM_HEADER, struct.unpack_from(f"<{len(PROGRAM_HEADER)}I", image), strict=True))


def finish(body: bytes, **words: int) -> bytes:
    """Complete an image with its header.

    Parameters
    ----------
    body : bytes
        What follows the header, a multiple of 4.
    **words : int
        Header words that the body does not determine: all but magic, version, size and CRC. Missing ones are 0.
    """
    words = {"magic": PROGRAM_MAGIC, "version": PROGRAM_VERSION, "image_bytes": HEADER_BYTES + len(body), **words}
    header = bytearray(struct.pack(f"<{len(PROGRAM_HEADER)}I", *(words.get(name, 0) for name in PROGRAM_HEADER)))
    crc = zlib.crc32(body, zlib.crc32(header[_CRC_START:]))
    struct.pack_into("<I", header, _CRC_START - 4, crc)
    return bytes(header) + body


def _is_sound(image: bytes, offset: int, length: int) -> bool:
    """Whether the step is as long as its kind says, and the descriptors it names lie inside the image."""
    kind = image[offset]
    if kind not in _STEP_WORDS or _STEP_WORDS[Step(kind)] != length:
        return False
    if kind == Step.JOBS:
        first, jobs = struct.unpack_from("<2I", image, offset + 4)
        return first % 4 == 0 and first + JOB_BYTES * jobs <= len(image)
    return True


def _check_steps(image: bytes, header: dict[str, int]) -> None:
    offset = header["steps_offset"]
    end = offset + header["steps_bytes"]
    while offset + 4 <= end:
        word = int.from_bytes(image[offset : offset + 4], "little")
        length = word >> 16
        if offset + 4 * length > end or not _is_sound(image, offset, length):
            break
        if word & 0xFF == Step.END:
            return
        offset += 4 * length
    raise ProgramError(RunStatus.BAD_STEP, f"the program has no valid step at byte {offset}: compile the model again")


def steps_of(image: bytes) -> Iterator[tuple[Step, int]]:
    """Steps of an image that `verify` accepts, each with its jobs: those that it hands to the engine, or itself as one.

    The one that ends the program has none.
    """
    offset, kind = header_of(image)["steps_offset"], None
    while kind is not Step.END:
        word = int.from_bytes(image[offset : offset + 4], "little")
        kind = Step(word & 0xFF)
        if kind is Step.JOBS:
            yield kind, int.from_bytes(image[offset + 8 : offset + 12], "little")
        else:
            yield kind, int(kind is not Step.END)
        offset += 4 * (word >> 16)


def verify(image: bytes, config: SocConfig | None = None) -> dict[str, int]:
    """Check an image as the firmware will.

    Parameters
    ----------
    image : bytes
    config : SocConfig or None
        The hardware that is to run it; None checks the image alone.

    Returns
    -------
    dict of str to int
        The header, by name.

    Raises
    ------
    ProgramError
        With the `cimarron.isa.RunStatus` the firmware would answer.
    """
    header = header_of(image)
    if header["magic"] != PROGRAM_MAGIC:
        raise ProgramError(
            RunStatus.BAD_MAGIC,
            f"this is no program: it begins with {header['magic']:#010x}, not {PROGRAM_MAGIC:#010x}",
        )
    if header["version"] != PROGRAM_VERSION:
        raise ProgramError(
            RunStatus.BAD_VERSION,
            f"the program has format version {header['version']}, not {PROGRAM_VERSION}: compile the model again",
        )
    if config is not None and header["config_hash"] != config.engine.hash:
        raise ProgramError(
            RunStatus.BAD_CONFIG,
            f"the program was compiled for configuration {header['config_hash']:08x}, the hardware is"
            f" {config.engine.hash:08x}: compile the model for this configuration",
        )
    size, memory = header["image_bytes"], header["memory_bytes"]
    if size != len(image) or size % 4:
        raise ProgramError(RunStatus.BAD_SIZE, f"the program should have {size} bytes, there are {len(image)}")
    regions = [
        ("steps", header["steps_offset"], header["steps_bytes"], HEADER_BYTES, size),
        ("input", header["input_offset"], header["input_bytes"], size, memory),
        ("output", header["output_offset"], header["output_bytes"], size, memory),
    ]
    for name, offset, count, low, high in regions:
        if not low <= offset <= offset + count <= high:
            raise ProgramError(
                RunStatus.BAD_SIZE, f"the program's {name} [{offset}, {offset + count}) lies outside [{low}, {high})"
            )
    if config is not None and memory > config.ram_bytes - PROGRAM_OFFSET:
        raise ProgramError(
            RunStatus.BAD_SIZE,
            f"the program needs {memory} bytes of main memory, {config.ram_bytes - PROGRAM_OFFSET} are free:"
            f" choose a configuration with more ram_bytes",
        )
    crc = zlib.crc32(image[_CRC_START:])
    if crc != header["crc32"]:
        raise ProgramError(
            RunStatus.BAD_CRC, f"the program is damaged: its CRC-32 is {crc:08x}, not {header['crc32']:08x}"
        )
    _check_steps(image, header)
    return header
