"""Where a model is to run: what follows ``--target`` on the command line."""

import stat
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SerialTarget", "TargetError", "parse_target"]

_FORM = "simulation, or serial:DEVICE[,baud=N][,timeout=SECONDS][,patience=SECONDS]"


class TargetError(ValueError):
    """A target that does not exist, cannot be opened, or is not the one the program was compiled for."""


@dataclass(frozen=True, kw_only=True)
class SerialTarget:
    """A chip at the other end of a serial port.

    Parameters
    ----------
    device : str
        Path of the port.
    baud : int
        Rate of the transfers, in bits per second; 0 for the one that the chip has after reset.
    timeout : float
        Seconds, besides the time on the line, after which a request that was not answered is sent again.
    patience : float
        Seconds after which a command of which nothing is heard is given up.
    """

    device: str
    baud: int = 0
    timeout: float = 1.0
    patience: float = 60.0


def _number(name: str, text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise TargetError(f"{name} of the target must be a number from {low:,} to {high:,}, not {text!r}")
    return value


def parse_target(text: str) -> SerialTarget | None:
    """The target that a text names; None for the simulation.

    Raises
    ------
    TargetError
        If it names none, or a device that is not there.
    """
    if text == "simulation":
        return None
    kind, _, rest = text.partition(":")
    device, *options = rest.split(",")
    if kind != "serial" or not device:
        raise TargetError(f"there is no target {text!r}: choose {_FORM}")
    values: dict[str, float] = {}
    limits = {"baud": (1_200, 12_000_000), "timeout": (0.01, 3600), "patience": (0.01, 86_400)}
    for option in options:
        name, _, value = option.partition("=")
        if name not in limits:
            raise TargetError(f"a serial target has no option {name!r}: choose {_FORM}")
        if name in values:
            raise TargetError(f"a serial target has one {name}, not two: choose {_FORM}")
        values[name] = _number(name, value, *limits[name])
    try:
        is_port = stat.S_ISCHR(Path(device).stat().st_mode)
    except FileNotFoundError:
        raise TargetError(f"{device} does not exist: plug the board in, or look for its name in /dev") from None
    if not is_port:
        raise TargetError(f"{device} is not a serial port: name a device such as /dev/ttyUSB0")
    baud = int(values.pop("baud", 0))
    return SerialTarget(device=device, baud=baud, **values)
