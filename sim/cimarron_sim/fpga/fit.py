"""Whether a design fits a part, before it is placed."""

import re
from collections.abc import Iterator

from cimarron.board.part import Part, Resources
from cimarron.config import SocConfig

from .flow import FLOWS

__all__ = ["FitError", "check_fit", "check_memories", "check_sites"]

#: How nextpnr says how many places of a kind a packed design takes.
_SITES = re.compile(r"(\w+): +(\d+)/ *(\d+) +\d+%")

#: What to call each resource, and what makes it fewer.
_ADVICE = {
    "luts": ("look-up tables", "lower engine.macro.rows, words, planes_per_cycle, or engine.lanes"),
    "ffs": ("flip-flops", "lower engine.macro.rows, words or weight_sets"),
    "brams": ("block RAMs", "lower ram_bytes, engine.act_buffer_bytes or engine.psum_entries"),
    "dsps": ("multipliers", "lower engine.lanes"),
    "big_rams": ("large RAMs", "lower ram_bytes"),
}


class FitError(ValueError):
    """A configuration that does not fit a part; the message says what it needs and what the part has."""


def _excess(needs: Resources, has: Resources) -> Iterator[str]:
    for name, (words, advice) in _ADVICE.items():
        need, have = getattr(needs, name), getattr(has, name)
        if need > have:
            yield f"it needs {need:,} {words}, the part has {have:,}: {advice}"


def check_fit(needs: Resources, part: Part) -> None:
    """Check a synthesised design.

    Raises
    ------
    FitError
        If it needs more of anything than the part has.
    """
    if found := list(_excess(needs, part.has)):
        raise FitError(f"the design does not fit {part.name}: " + "; ".join(found))


def check_sites(line: str, part: Part) -> None:
    """Check a line of nextpnr's device utilisation: the netlist does not say what packing adds.

    On ECP5, a carry chain begins and ends with look-up tables of its own, and the placer would look for a place for
    too many of them for hours.

    Raises
    ------
    FitError
        If it needs more places of a kind than the part has.
    """
    if not (found := _SITES.match(line)):
        return
    kind, used, available = found[1], int(found[2]), int(found[3])
    for name, sites in FLOWS[part.family].sites.items():
        if kind in sites and used > available:
            words, advice = _ADVICE[name]
            raise FitError(
                f"the design does not fit {part.name}: packed, it needs {used:,} {kind} for its {words}, the part has"
                f" {available:,}: {advice}"
            )


def check_memories(config: SocConfig, part: Part) -> None:
    """Check what is known before synthesis: the bytes of main memory and activation buffer.

    Beside the activations, the small system keeps the partial sums there.

    Raises
    ------
    FitError
        If all block RAMs of the part together hold fewer.
    """
    block = FLOWS[part.family].block_bytes
    if config.engine_in == "software":
        buffer, what = config.bank_bytes, "engine.act_buffer_bytes with psum_entries"
    else:
        buffer, what = config.engine.act_buffer_bytes, "engine.act_buffer_bytes"
    need = -(-config.ram_bytes // block) + -(-buffer // block)
    have = part.has.brams
    # A large RAM of an iCE40 holds 32 KiB.
    have += part.has.big_rams * 32768 // block
    if need > have:
        raise FitError(
            f"the design does not fit {part.name}: ram_bytes {config.ram_bytes} and {what} {buffer}"
            f" fill {need} block RAMs of {block} bytes, the part has {have}"
        )
