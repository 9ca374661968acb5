"""The C runtime that serves a host and runs program images: its sources, its builder and the prebuilt images."""

from pathlib import Path

__all__ = ["BOOT", "FIRMWARE", "IMAGES", "load", "load_boot"]

#: The prebuilt image, to be placed at the start of the main memory.
FIRMWARE = Path(__file__).with_name("firmware.bin")

#: The same by the core it runs on, one of `cimarron.config.CPUS`.
IMAGES = {"vexriscv": FIRMWARE, "picorv32": FIRMWARE.with_name("firmware_picorv32.bin")}

#: The first instructions of the small system.
BOOT = FIRMWARE.with_name("boot.bin")


def load(cpu: str = "vexriscv") -> bytes:
    """The prebuilt image for a core: bytes from `cimarron.isa.RAM_BASE` on."""
    return IMAGES[cpu].read_bytes()


def load_boot() -> bytes:
    """The first instructions of the small system: bytes from `cimarron.isa.BOOT_BASE` on."""
    return BOOT.read_bytes()
