"""What a report says in words: causes of cost, warnings, names fit to be shown."""

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["CAUSES", "layer_costs", "printable", "remarks", "shortened"]

#: What a layer's cycles can be spent on, in the order in which they are drawn.
CAUSES: Mapping[str, str] = {
    "compute": "computing",
    "input": "waiting for activations",
    "weights": "waiting for weights",
    "output": "waiting for room behind the macro",
    "rest": "other work of the engine",
    "control": "no job for the engine",
    "cpu": "on the CPU",
}

#: Shares from which on a remark is made: of an inference, and of a layer.
_MATTERS, _DOMINATES = 0.05, 0.5


def layer_costs(layer: dict[str, Any]) -> dict[str, int]:
    """Cycles of a layer by cause; they add up to its ``cycles``.

    Parameters
    ----------
    layer : dict
        An entry of ``layers`` in a report.
    """
    stalls = dict(layer["stalls"])
    idle = {"cpu" if layer["on"] == "cpu" else "control": stalls.pop("control")}
    known = {name: stalls.pop(name) for name in ("input", "weights", "output")}
    return {"compute": layer["compute"], **known, "rest": layer["rest"] + sum(stalls.values()), **idle}


def printable(text: str) -> str:
    """A name without what would move the cursor or break a file: control characters, halves of surrogate pairs."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def shortened(text: str, length: int) -> str:
    """At most so many characters of a name, printable: the middle gives way."""
    text = printable(text)
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def _late(layer: dict[str, Any], total: int) -> Iterator[tuple[int, str]]:
    cycles, control = layer["cycles"], layer["stalls"]["control"]
    if cycles < _MATTERS * total:
        return
    name = f"layer {shortened(layer['layer'], 60)!r}"
    share = f"{cycles / total:.0%} of the inference"
    if layer["on"] == "cpu":
        yield cycles, f"{name} runs on the CPU and takes {share}, {cycles:,} cycles"
    elif control >= _DOMINATES * cycles:
        yield cycles, f"{name}, {share}: the engine waited for the CPU's job in {control / cycles:.0%} of its cycles"


def remarks(record: dict[str, Any]) -> list[str]:
    """What deserves attention, in sentences without a full stop, the costliest layers first.

    Parameters
    ----------
    record : dict
        A report.

    Returns
    -------
    list of str
        One for mismatches, then one per layer that takes at least 5 % of the inference and whose time is the CPU's: it
        runs there, or the engine had no job in at least half of its cycles.
    """
    found = []
    if record["mismatches"]:
        found.append(f"{record['mismatches']} of {record['tensors_compared']} tensors differ from the reference")
    total = record["cycles_per_inference"]
    late = [remark for layer in record["layers"] for remark in _late(layer, total)]
    return [*found, *(sentence for _, sentence in sorted(late, key=lambda remark: -remark[0]))]
