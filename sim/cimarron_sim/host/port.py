"""A serial port as the link needs it."""

import contextlib
import errno
import termios
from typing import Protocol

from .target import TargetError

__all__ = ["LinkError", "Port", "SerialPort"]


class LinkError(RuntimeError):
    """The line to the device, or the device, does not answer as it should; the message says what was asked."""


class Port(Protocol):
    """Bytes both ways."""

    @property
    def name(self) -> str:
        """What people know it by."""
        ...

    def write(self, data: bytes) -> None:
        """Send all of the data."""
        ...

    def read(self, seconds: float) -> bytes:
        """What has arrived, at least a byte unless none does within so many seconds."""
        ...

    def set_baud(self, baud: int) -> None:
        """Change the rate, in bits per second."""
        ...

    def discard(self) -> None:
        """Forget what has arrived."""
        ...

    def close(self) -> None:
        """Give it back."""
        ...


class SerialPort:
    """A port of this machine: eight data bits, no parity, one stop bit, nobody else's until it is closed.

    Parameters
    ----------
    device : str
        Path, such as ``/dev/ttyUSB0``, or of a pseudo-terminal.
    baud : int
        Bits per second.
    stall : float
        Seconds for which the port may take no bytes before the link counts as broken.

    Raises
    ------
    TargetError
        If pyserial is not installed, or the port cannot be opened.
    """

    def __init__(self, device: str, baud: int, stall: float) -> None:
        try:
            import serial
        except ImportError:
            raise TargetError("a serial target needs pyserial: run `pip install 'cimarron[serial]'`") from None
        self.name = device
        # What pyserial lets through of its own, the system's and the terminal's; its SerialException is an OSError.
        self._failures = (OSError, ValueError, termios.error)
        try:
            self._serial = serial.Serial(device, baud, exclusive=True, write_timeout=stall)
        except self._failures as error:
            # Its own exception has the number in its text only.
            if errno.ENOTTY in getattr(error.__context__, "args", ()):
                raise TargetError(f"{device} is not a serial port: name a device such as /dev/ttyUSB0") from None
            reason = getattr(error, "strerror", None) or str(error)
            raise TargetError(
                f"{device} cannot be opened at {baud} baud ({reason}): is it in use, or not yours to open?"
            ) from None

    def write(self, data: bytes) -> None:
        try:
            self._serial.write(data)
        except self._failures as error:
            raise self._broken(error) from None

    def read(self, seconds: float) -> bytes:
        try:
            self._serial.timeout = seconds
            return self._serial.read(max(1, self._serial.in_waiting))
        except self._failures as error:
            raise self._broken(error) from None

    def set_baud(self, baud: int) -> None:
        try:
            self._serial.baudrate = baud
        except self._failures as error:
            raise self._broken(error) from None

    def discard(self) -> None:
        try:
            self._serial.reset_input_buffer()
        except self._failures as error:
            raise self._broken(error) from None

    def close(self) -> None:
        with contextlib.suppress(*self._failures):
            self._serial.close()

    def _broken(self, error: BaseException) -> LinkError:
        return LinkError(f"the link to {self.name} broke: {error}")
