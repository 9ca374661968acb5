"""The C runtime that serves a host and runs program images: its sources, its builder and the prebuilt image."""

from pathlib import Path

__all__ = ["FIRMWARE", "load"]

#: The prebuilt image, to be placed at the start of the main memory.
FIRMWARE = Path(__file__).with_name("firmware.bin")


def load() -> bytes:
    """The prebuilt image: bytes from `cimarron.isa.RAM_BASE` on."""
    return FIRMWARE.read_bytes()
