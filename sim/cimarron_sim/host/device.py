"""The chip at the other end of a serial port."""

import contextlib
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass

from cimarron.config import SocConfig
from cimarron.isa import (
    HOST_DATA_BYTES,
    HOST_IDENTITY,
    HOST_RESULT,
    HOST_VERSION,
    PROGRAM_OFFSET,
    PROGRAM_VERSION,
    EngineError,
    HostCommand,
    HostRequest,
    RunStatus,
)

from ..compiler.program import Program
from .link import Link
from .port import LinkError, Port, SerialPort
from .target import SerialTarget, TargetError

__all__ = ["DeviceError", "Device", "Identity", "Result", "open_device"]

#: Clock cycles per bit that the firmware keeps up with.
LEAST_DIVISOR = 4

#: Share by which the rate of the chip may differ from the one wanted: half a bit in the middle of the stop bit is 5 %.
_TOLERANCE = 0.025

#: A rate other than the first ends after so many timeouts without a frame; less than a request is repeated for.
LEASE_TIMEOUTS = 5

#: How often a new rate is tried before the old one is taken again.
_RATE_TRIES = 3


class DeviceError(RuntimeError):
    """The chip answers, and says that it did not do what was asked."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What the chip says about itself, see `cimarron.isa.HOST_IDENTITY`."""

    host_version: int
    program_version: int
    config_hash: int
    ram_bytes: int
    clock_hz: int
    divisor: int
    loaded_bytes: int


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a command ended with, see `cimarron.isa.HOST_RESULT`; cycles and counters are those of an inference."""

    status: RunStatus
    info: int
    address: int
    step: int
    cycles: int
    busy: int
    compute: int
    stall_input: int
    stall_weights: int
    stall_output: int
    operations: int

    def __str__(self) -> str:
        if self.status is RunStatus.ENGINE_ERROR:
            return f"{self.status.name}: {EngineError(self.info).name}, info {self.address:#x}, step {self.step}"
        return f"{self.status.name}, info {self.info:#x}, address {self.address:#x}, step {self.step}"


class Device:
    """Loads programs and runs them.

    Parameters
    ----------
    link : Link
    patience : float
        Seconds after which a command of which nothing is heard is given up.

    Members
    -------
    identity : Identity
        From the moment it was last asked.

    Raises
    ------
    LinkError
        If nobody answers.
    DeviceError
        If what answers speaks another version of the protocol.
    """

    def __init__(self, link: Link, *, patience: float = 60.0) -> None:
        self.link = link
        self._patience = patience
        self._first_baud = link.baud
        self.identity = self.identify()
        self._first_divisor = self.identity.divisor

    def identify(self, tries: int | None = None) -> Identity:
        """Begin a session.

        Parameters
        ----------
        tries : int, optional
            Instead of the link's own.
        """
        words = self.link.request(HostRequest.IDENTIFY, tries=tries)
        if words[:1] != (HOST_VERSION,) or len(words) != len(HOST_IDENTITY):
            raise DeviceError(
                f"{self.link.port.name} speaks version {words[0] if words else '?'} of the serial protocol, this host"
                f" speaks {HOST_VERSION}: put the firmware of this version on the chip"
            )
        self.identity = Identity(**dict(zip(HOST_IDENTITY, words, strict=True)))
        return self.identity

    def check(self, program: Program, config: SocConfig) -> None:
        """Refuse a program that the chip would refuse, and say why.

        Raises
        ------
        TargetError
            If the chip is another one than the program was compiled for.
        """
        identity, name = self.identity, self.link.port.name
        if identity.program_version != PROGRAM_VERSION:
            raise TargetError(
                f"the chip at {name} runs programs of version {identity.program_version}, the compiler makes version"
                f" {PROGRAM_VERSION}: put the firmware of this version on the chip"
            )
        if identity.config_hash != config.engine.hash:
            raise TargetError(
                f"the chip at {name} has configuration {identity.config_hash:08x}, the program is for configuration"
                f" {config.engine.hash:08x}: name the chip's with --config"
            )
        needed = PROGRAM_OFFSET + program.header["memory_bytes"]
        if needed > identity.ram_bytes:
            raise TargetError(
                f"the program needs {needed} bytes of memory, the chip at {name} has {identity.ram_bytes}:"
                " take a smaller model or a larger memory"
            )

    def set_baud(self, baud: int) -> bool:
        """Have both ends change the rate.

        Parameters
        ----------
        baud : int
            In bits per second.

        Returns
        -------
        bool
            False if nothing came through at the new rate, and the old one holds again.

        Raises
        ------
        TargetError
            If the chip's clock cannot make the rate.
        """
        clock = self.identity.clock_hz
        divisor = max(1, round(clock / baud))
        if divisor < LEAST_DIVISOR or abs(clock / divisor / baud - 1) > _TOLERANCE:
            raise TargetError(
                f"{baud} baud is {clock / baud:.2f} cycles per bit of the chip's {clock} Hz: choose a rate of at most"
                f" {clock // LEAST_DIVISOR} baud that is within {_TOLERANCE:.1%} of a whole number of cycles"
            )
        if divisor == self.identity.divisor:
            return True
        before = self.link.baud
        lease = min(2**32 - 1, math.ceil(LEASE_TIMEOUTS * self.link.timeout * clock))
        self.link.request(HostRequest.RATE, divisor, lease)
        self.link.set_baud(baud)
        with contextlib.suppress(LinkError):
            # Whoever answers at another rate of his own has fallen back already.
            if self.identify(tries=_RATE_TRIES).divisor == divisor:
                return True
        self.link.set_baud(before)
        self.identify()
        return False

    def write(self, offset: int, data: bytes, progress: Callable[[int], None] = lambda done: None) -> None:
        """Write memory.

        Parameters
        ----------
        offset : int
            Bytes from PROGRAM_OFFSET, a multiple of 4.
        data : bytes
            Filled up to whole words with zeros.
        progress : callable
            Told after each frame how many bytes are written.
        """
        data += bytes(-len(data) % 4)
        for start in range(0, len(data), HOST_DATA_BYTES):
            piece = data[start : start + HOST_DATA_BYTES]
            self.link.request(HostRequest.WRITE, offset + start, *struct.unpack(f"<{len(piece) // 4}I", piece))
            progress(min(start + len(piece), len(data)))

    def read(self, offset: int, count: int) -> bytes:
        """Read so many bytes of memory, from PROGRAM_OFFSET plus a multiple of 4 on."""
        content = bytearray()
        whole = count + -count % 4
        while len(content) < whole:
            piece = min(HOST_DATA_BYTES, whole - len(content))
            words = self.link.request(HostRequest.READ, offset + len(content), piece)
            if len(words) != piece // 4:
                raise LinkError(f"{self.link.port.name} answered {4 * len(words)} bytes instead of {piece}")
            content += struct.pack(f"<{len(words)}I", *words)
        return bytes(content[:count])

    def command(self, command: HostCommand) -> Result:
        """Have a command carried out, and wait for it; whatever it ends with is the result."""
        words = self.link.request(HostRequest.COMMAND, command, patience=self._patience)
        if len(words) != len(HOST_RESULT):
            raise LinkError(f"{self.link.port.name} answered {len(words)} words instead of {len(HOST_RESULT)}")
        fields = dict(zip(HOST_RESULT, words, strict=True))
        cycles = fields.pop("cycles_high") << 32 | fields.pop("cycles_low")
        return Result(**{**fields, "status": RunStatus(fields["status"]), "cycles": cycles})

    def load(self, program: Program, progress: Callable[[int], None] = lambda done: None) -> None:
        """Bring a program to the chip.

        It can run once all of it has arrived and the firmware has checked it, and not before.

        Parameters
        ----------
        program : Program
        progress : callable
            Told after each frame how many bytes of the image are written.

        Raises
        ------
        LinkError
            If the line breaks on the way.
        DeviceError
            If the firmware refuses the image.
        """
        self.write(0, program.image, progress)
        self._succeed(HostCommand.LOAD)

    def run(self, program: Program, data: bytes) -> tuple[bytes, Result]:
        """One inference with the program loaded last.

        Parameters
        ----------
        program : Program
        data : bytes
            The input tensor as the chip reads it.

        Returns
        -------
        (bytes, Result)
            The output tensor as the chip left it, and what it cost.

        Raises
        ------
        LinkError
            If the line breaks on the way.
        DeviceError
            If the chip does not finish it.
        """
        self.write(program.input_offset, data)
        result = self._succeed(HostCommand.RUN)
        return self.read(program.output_offset, program.output.nbytes), result

    def _succeed(self, command: HostCommand) -> Result:
        result = self.command(command)
        if result.status is not RunStatus.OK:
            raise DeviceError(f"the chip answered {command.name} with {result}")
        return result

    def close(self) -> None:
        """Leave the chip as it was found, if it still answers, and give the port back."""
        try:
            if self.link.baud != self._first_baud:
                with contextlib.suppress(LinkError):
                    self.link.request(HostRequest.RATE, self._first_divisor, 0, tries=1)
        finally:
            self.link.port.close()

    def __enter__(self) -> "Device":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_device(target: SerialTarget, config: SocConfig, *, port: Port | None = None) -> Device:
    """Connect to a chip at the rate it has after reset.

    Parameters
    ----------
    target : SerialTarget
    config : SocConfig
        Whose ``uart_baud`` is that rate.
    port : Port, optional
        Instead of the one that the target names.

    Raises
    ------
    TargetError
        If the port cannot be opened.
    LinkError
        If nobody answers there.
    """
    if port is None:
        port = SerialPort(target.device, config.uart_baud, stall=target.timeout + 60)
    try:
        port.discard()
        return Device(Link(port, config.uart_baud, timeout=target.timeout), patience=target.patience)
    except BaseException:
        port.close()
        raise
