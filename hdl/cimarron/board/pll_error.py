"""Clocks that no phase-locked loop makes."""

__all__ = ["PllError", "check_input", "none_found"]


class PllError(ValueError):
    """A clock that the loop of a family cannot make of the one that it gets."""


def _megahertz(hz: float) -> str:
    return f"{hz / 1e6:.6g}"


def check_input(family: str, input_hz: int, limits: tuple[int, int]) -> None:
    """Check the clock that a loop gets.

    Raises
    ------
    PllError
        If it is outside the limits, in hertz.
    """
    low, high = limits
    if not low <= input_hz <= high:
        raise PllError(
            f"the PLL of {family} takes {_megahertz(low)} to {_megahertz(high)} MHz, not {_megahertz(input_hz)} MHz"
        )


def none_found(family: str, input_hz: int, output_hz: int, nearest_hz: float, **limits: tuple[int, int]) -> PllError:
    """The error that says which limits are in the way, and which clock is the nearest; 0 if there is none."""
    ranges = ", ".join(f"{name} {_megahertz(low)} to {_megahertz(high)}" for name, (low, high) in limits.items())
    # Nearest is what the same dividers allow, found while looking for the exact one.
    hint = f"; the nearest it makes is {nearest_hz:.0f} Hz" if nearest_hz else ""
    return PllError(
        f"the PLL of {family} cannot make clock_hz {output_hz} of {_megahertz(input_hz)} MHz"
        f" within its limits in MHz ({ranges}){hint}"
    )
