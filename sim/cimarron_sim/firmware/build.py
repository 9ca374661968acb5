"""Compiles bare-metal RISC-V programs with zig, and the firmware first of all.

``python -m cimarron_sim.firmware.build`` rebuilds the prebuilt images. `compile_program` serves any other
program that runs on the system: C or assembler sources in, the bytes of main memory out.
"""

import importlib.metadata
import importlib.util
import json
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cimarron.isa import BOOT_BASE, MAILBOX_OFFSET, RAM_BASE, c_header

from . import BOOT, IMAGES

__all__ = [
    "BuildError", "LINKER_SCRIPT", "RECORD", "build_boot", "build_firmware", "compile_program", "compiler_version",
    "firmware_sources", "flatten",
]  # fmt: skip

_HERE = Path(__file__).parent

#: Places code at RAM_BASE and the stack below the mailbox; gives ``_stack_top``, ``_bss_start`` and ``_bss_end``.
LINKER_SCRIPT = _HERE / "link.ld"

#: What built the prebuilt images: the version of the compiler.
RECORD = _HERE / "firmware.json"

_FLAGS = (
    "-target", "riscv32-freestanding-none", "-mcpu=generic_rv32+m+zicsr-c-a-f-d", "-mabi=ilp32", "-std=c11", "-O2",
    "-g0", "-ffreestanding", "-fno-sanitize=all", "-fno-stack-protector", "-fno-asynchronous-unwind-tables",
    "-fno-unwind-tables", "-nostdlib", "-static", "-Wall", "-Wextra", "-Werror", "-Wl,--gc-sections",
    "-ffunction-sections", "-flto", "-fno-jump-tables",
)  # fmt: skip


class BuildError(RuntimeError):
    """The cross compiler is missing, refused the sources, or left something that cannot be loaded."""


def compiler_version() -> str | None:
    """Version of the installed ziglang package, None if there is none."""
    try:
        return importlib.metadata.version("ziglang")
    except importlib.metadata.PackageNotFoundError:
        return None


def flatten(elf: bytes, base: int) -> bytes:
    """Memory contents that a 32-bit little-endian RISC-V executable asks for.

    Parameters
    ----------
    elf : bytes
    base : int
        Address of the first byte returned.

    Returns
    -------
    bytes
        From ``base`` to the last byte that has contents, zero where there is none, a multiple of 4.

    Raises
    ------
    BuildError
        If this is no such executable, or a segment lies below ``base``.
    """
    # ELF32 header: class and byte order at 4, machine at 18 (243 is RISC-V), program headers at 28, 42 and 44.
    if len(elf) < 52 or elf[:6] != b"\x7fELF\x01\x01" or struct.unpack_from("<H", elf, 18)[0] != 243:
        raise BuildError("the linker's output is not a 32-bit little-endian RISC-V ELF file")
    table = struct.unpack_from("<I", elf, 28)[0]
    size, count = struct.unpack_from("<HH", elf, 42)
    memory = bytearray()
    for index in range(count):
        kind, offset, _, address, file_bytes = struct.unpack_from("<5I", elf, table + index * size)
        if kind != 1 or not file_bytes:
            continue
        if address < base:
            raise BuildError(f"a segment at {address:#x} lies below the base {base:#x}: check the linker script")
        start = address - base
        memory.extend(bytes(max(0, start + file_bytes - len(memory))))
        memory[start : start + file_bytes] = elf[offset : offset + file_bytes]
    memory.extend(bytes(-len(memory) % 4))
    return bytes(memory)


def compile_program(
    sources: Sequence[Path],
    *,
    linker_script: Path = LINKER_SCRIPT,
    include: Sequence[Path] = (),
    options: Sequence[str] = (),
    base: int = RAM_BASE,
) -> bytes:
    """Compile and link C and assembler sources for the system's RV32IM core.

    ``isa.h``, the constants of `cimarron.isa`, is on the include path; linker scripts may ``INCLUDE isa.ld``, which
    gives ``RAM_BASE`` and ``MAILBOX_OFFSET``.

    Parameters
    ----------
    sources : sequence of Path
        ``.c``, ``.S`` and ``.s`` files, in link order.
    linker_script : Path
    include : sequence of Path
        Further directories that headers are looked for in.
    options : sequence of str
        Further options of the compiler, such as ``-DNAME=value``.
    base : int
        Address of the first byte of the result.

    Returns
    -------
    bytes
        Contents of memory from ``base`` on.

    Raises
    ------
    BuildError
        If ziglang is not installed or the sources do not build; the text holds the compiler's messages.
    """
    if importlib.util.find_spec("ziglang") is None:
        raise BuildError("the cross compiler is not installed: pip install ziglang")
    with tempfile.TemporaryDirectory(prefix="cimarron-") as name:
        build = Path(name)
        (build / "isa.h").write_text(c_header(), encoding="utf-8")
        symbols = f"RAM_BASE = {RAM_BASE:#x};\nBOOT_BASE = {BOOT_BASE:#x};\nMAILBOX_OFFSET = {MAILBOX_OFFSET:#x};\n"
        (build / "isa.ld").write_text(symbols, encoding="utf-8")
        output = build / "program.elf"
        paths = [str(path.resolve()) for path in sources]
        command = [sys.executable, "-m", "ziglang", "cc", *_FLAGS, f"-I{build}"]
        command += [*(f"-I{path.resolve()}" for path in include), *options]
        command += ["-T", str(linker_script.resolve()), *paths, "-o", str(output)]
        # The linker looks for included scripts in the directory it runs in.
        run = subprocess.run(command, cwd=build, capture_output=True, text=True, check=False)
        if run.returncode or not output.is_file():
            names = ", ".join(path.name for path in sources)
            raise BuildError(f"{names} did not compile:\n{run.stderr.strip()}")
        return flatten(output.read_bytes(), base)


#: Options that make the common sources those of the core.
_CPU_OPTIONS = {
    "vexriscv": (),
    "picorv32": ("-DENGINE_IN_SOFTWARE", "-mcpu=generic_rv32+zmmul+zicsr-m-c-a-f-d"),
}


def firmware_sources(cpu: str = "vexriscv") -> list[Path]:
    """Sources of the firmware, in link order.

    Parameters
    ----------
    cpu : str
        One of `cimarron.config.CPUS`. What only the small core needs, the engine above all, has a folder of its own.
    """
    common = sorted(_HERE.glob("*.c"))
    if cpu == "vexriscv":
        return [_HERE / "start.S", *common]
    return [_HERE / cpu / "start.S", *common, *sorted((_HERE / cpu).glob("*.c"))]


def build_firmware(options: Sequence[str] = (), *, cpu: str = "vexriscv") -> bytes:
    """The firmware, compiled from the sources in this package.

    Parameters
    ----------
    options : sequence of str
        Further options of the compiler; none give the prebuilt image.
    cpu : str
        One of `cimarron.config.CPUS`.

    Raises
    ------
    BuildError
        If it does not compile.
    """
    return compile_program(firmware_sources(cpu), include=[_HERE], options=[*_CPU_OPTIONS[cpu], *options])


def build_boot() -> bytes:
    """The first instructions of the small system, at ``BOOT_BASE``, which bring the firmware from the flash.

    Raises
    ------
    BuildError
        If they do not compile.
    """
    folder = _HERE / "boot"
    return compile_program(
        [folder / "boot.S", folder / "boot.c"],
        linker_script=folder / "boot.ld",
        include=[_HERE],
        options=[*_CPU_OPTIONS["picorv32"], "-Os"],
        base=BOOT_BASE,
    )


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def main() -> None:
    """Rebuild the prebuilt images and the record of what built them."""
    try:
        images = {path: build_firmware(cpu=cpu) for cpu, path in IMAGES.items()} | {BOOT: build_boot()}
    except BuildError as error:
        sys.exit(f"firmware: {error}")
    for path, image in images.items():
        _replace(path, image)
        print(f"{path}: {len(image)} bytes")
    _replace(RECORD, (json.dumps({"ziglang": compiler_version()}, indent=2) + "\n").encode())
    print(f"ziglang {compiler_version()}; the firmware has {MAILBOX_OFFSET} bytes")


if __name__ == "__main__":
    main()
