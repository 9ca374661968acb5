"""The registers as SystemRDL 2.0, from the numbers and comments of `cimarron.isa`."""

import enum
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from cimarron.config import SocConfig
from cimarron.isa import (
    ACT_WINDOW,
    ENGINE_BASE,
    ENGINE_ID,
    RAM_BASE,
    REGISTER_BITS,
    SYSTEM_BASE,
    TIMER_BASE,
    UART_BASE,
    Bits,
    EngineError,
    Event,
    Register,
    SystemRegister,
    TimerRegister,
    UartRegister,
)

__all__ = ["register_map", "register_meanings"]

#: What the hardware does with a part that software accesses so.
_HARDWARE = {"r": "w", "w": "r", "rw": "rw"}
_CLEARS = {"": "", "one": " onwrite = woclr;", "write": " onwrite = wclr;", "read": " onread = rclr;"}


def register_meanings(registers: type[enum.IntEnum]) -> dict[str, str]:
    """What `cimarron.isa` says behind each member of an enumeration."""
    return dict(re.findall(r"^    (\w+) = \w+  #: (.*)$", inspect.getsource(registers), re.MULTILINE))


def _access(meaning: str) -> str:
    """``r``, ``w`` or ``rw``, from the words before the colons."""
    words = "/".join(re.findall(r"(?:^|; )(read/write|read|write):", meaning)).split("/")
    return "".join(word[0] for word in ("read", "write") if word in words)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _enumeration(name: str, members: type[enum.IntEnum]) -> Iterator[str]:
    meanings = register_meanings(members)
    yield f"enum {name} {{"
    for member in members:
        meaning = meanings.get(member.name, "")
        yield f"    {member.name} = {member.value}" + (f" {{desc = {_quoted(meaning)};}};" if meaning else ";")
    yield "};"


def _field(name: str, part: Bits, constant: int | None, encoding: str | None) -> str:
    hardware = _HARDWARE[part.access] if constant is None else "na"
    more = _CLEARS[part.clears]
    more += "" if constant is None else f" reset = 32'h{constant:08X};"
    more += f" encode = {encoding};" if encoding else ""
    high = part.low + part.bits - 1
    return f"        field {{sw = {part.access}; hw = {hardware};{more}}} {name}[{high}:{part.low}];"


def _registers(
    registers: type[enum.IntEnum], constants: Mapping[Any, int], encodings: Mapping[tuple[Any, str], str]
) -> Iterator[str]:
    """Registers of one device.

    Parameters
    ----------
    registers : enumeration of byte offsets
    constants : mapping of offset to value
        Of registers that always read the same.
    encodings : mapping of (offset, part) to name of an enumeration
    """
    meanings = register_meanings(registers)
    for register in registers:
        meaning = meanings[register.name]
        yield "    reg {"
        yield f"        name = {_quoted(register.name)};"
        yield f"        desc = {_quoted(meaning)};"
        parts = REGISTER_BITS.get(registers, {}).get(register, {"value": Bits(0, 32, _access(meaning))})
        for name, part in parts.items():
            yield _field(name, part, constants.get(register), encodings.get((register, name)))
        yield f"    }} {register.name} @ 0x{register.value:X};"


def _device(name: str, title: str, lines: Iterator[str]) -> Iterator[str]:
    yield f"addrmap {name} {{"
    yield f"    name = {_quoted(title)};"
    yield "    default regwidth = 32;"
    yield from lines
    yield "};"


def _memory(name: str, description: str, size: int, address: int) -> str:
    return (
        f"    external mem {{desc = {_quoted(description)}; mementries = {size // 4}; memwidth = 32; sw = rw;}}"
        f" {name} @ 0x{address:X};"
    )


def register_map(config: SocConfig) -> str:
    """SystemRDL of the engine, ``cimarron_engine``, and of the whole system, ``cimarron_soc``.

    A system with the engine in software has neither an engine nor a timer, and the activation buffer lies where that of
    the engine would.

    Parameters
    ----------
    config : SocConfig
        Gives the sizes of memories and what registers say about the configuration.
    """

    def engine() -> Iterator[str]:
        constants = {Register.ID: ENGINE_ID, Register.CONFIG_HASH: config.engine.hash}
        yield from _registers(Register, constants, {(Register.ERROR, "value"): "engine_error_e"})
        yield _memory("ACT_BUFFER", "Activation buffer", config.engine.act_buffer_bytes, ACT_WINDOW)

    def system() -> Iterator[str]:
        constants = {SystemRegister.RAM_BYTES: config.ram_bytes, SystemRegister.CLOCK_HZ: config.clock_hz}
        yield from _registers(SystemRegister, constants, {(SystemRegister.EVENT, "code"): "event_e"})

    def soc() -> Iterator[str]:
        # C programs get these names as macros.
        yield _memory("CIMARRON_RAM", "Main memory" if small else "Main memory, cached", config.ram_bytes, RAM_BASE)
        if small:
            buffer = ENGINE_BASE + ACT_WINDOW
            yield _memory("CIMARRON_ACT_BUFFER", "Activation buffer and sums", config.bank_bytes, buffer)
        for name, base in bases.items():
            yield f"    cimarron_{name} CIMARRON_{name.upper()} @ 0x{base:X};"

    small = config.engine_in == "software"
    bases = {"engine": ENGINE_BASE, "uart": UART_BASE, "timer": TIMER_BASE, "system": SYSTEM_BASE}
    if small:
        del bases["engine"], bases["timer"]
    in_gates = [
        *_device("cimarron_engine", "Cimarron engine", engine()),
        "",
        *_device("cimarron_timer", "Cimarron timer", _registers(TimerRegister, {}, {})),
        "",
    ]
    lines = [
        "// Generated by `cimarron registers` from the same numbers as the hardware: do not edit.",
        "",
        *_enumeration("engine_error_e", EngineError),
        "",
        *_enumeration("event_e", Event),
        "",
        *([] if small else in_gates),
        *_device("cimarron_uart", "Cimarron UART", _registers(UartRegister, {}, {})),
        "",
        *_device("cimarron_system", "Cimarron system controller", system()),
        "",
        *_device("cimarron_soc", "Cimarron system", soc()),
        "",
    ]
    return "\n".join(lines)
