"""Whether a design fits a part, before it is placed."""

from collections.abc import Iterator

from cimarron.board.part import Part, Resources
from cimarron.config import SocConfig

from .flow import FLOWS

__all__ = ["FitError", "check_fit", "check_memories"]

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
