"""Bits that change in a macro while it computes, from a simulation of its Verilog."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cimarron.config import MacroConfig
from cimarron.macro.macro import Macro
from cimarron.macro.ports import OperationLayout, WriteLayout
from cimarron_sim.runner.tools import quiet_run
from cimarron_sim.runner.verilog import write_verilog
from vcd.reader import TokenKind, tokenize

__all__ = ["PARTS", "Toggles", "simulate_toggles"]

PLAYER = Path(__file__).with_suffix(".v")

#: What changes are counted by.
PARTS = ("products", "tree", "sums", "accumulators")


@dataclass
class Toggles:
    """How often each bit changed.

    Attributes
    ----------
    bits : Counter
        Changes by ``(path, bit)``, of bits that changed; a path joins scopes and name with dots. Of a net with several
        names, each counts.
    config : MacroConfig
    """

    config: MacroConfig
    bits: Counter[tuple[str, int]] = field(default_factory=Counter)

    def by_group(self) -> dict[str, list[int]]:
        """Changes of each of `PARTS`, by column group.

        Products are those of the cells, before the tree. Accumulators come with what is before and behind them, up to
        the result; clocks are left out.
        """
        config = self.config
        counts = {part: [0] * config.groups for part in PARTS}
        for (path, bit), count in self.bits.items():
            if place := self._place(path, bit):
                part, column = place
                counts[part][column // config.group_words] += count
        return counts

    def _place(self, path: str, bit: int) -> tuple[str, int] | None:
        """Part and column of a bit, if it belongs to one."""
        config = self.config
        scope, _, name = path.partition(".")
        if scope == "array" and re.fullmatch(r"plane_\d+_row_\d+", name):
            return "products", bit % config.words
        if scope == "tree":
            # Ripple adders have a net per word; in planes, the words of all bit planes lie side by side.
            word = re.search(r"\bword_(\d+)_", name)
            return ("tree", (int(word[1]) if word else bit) % config.words) if word or "$" not in name else None
        if path == "sums":
            return "sums", bit // config.column_bits % config.words
        if group := re.fullmatch(r"group_(\d+)", scope):
            is_clock = name.rpartition(".")[2] == "clk"
            return None if is_clock else ("accumulators", int(group[1]) * config.group_words)
        return None


def _read(path: Path, toggles: Toggles) -> None:
    """Count the changes in a VCD file, below its second scope; what it starts with is no change."""
    names: dict[str, list[str]] = {}
    values: dict[str, int] = {}
    scopes: list[str] = []
    with path.open("rb") as file:
        for token in tokenize(file):
            if token.kind is TokenKind.SCOPE:
                scopes.append(token.scope.ident)
            elif token.kind is TokenKind.UPSCOPE:
                scopes.pop()
            elif token.kind is TokenKind.VAR:
                names.setdefault(token.var.id_code, []).append(".".join([*scopes[2:], token.var.reference]))
            elif token.kind in (TokenKind.CHANGE_SCALAR, TokenKind.CHANGE_VECTOR):
                change: Any = token.data
                value = change.value
                if not isinstance(value, int):
                    # What was never written is X all the time.
                    value = int(re.sub("[xzXZ]", "0", value), 2)
                changed = values.get(change.id_code, value) ^ value
                values[change.id_code] = value
                while changed:
                    bit = changed.bit_length() - 1
                    changed ^= 1 << bit
                    for name in names[change.id_code]:
                        toggles.bits[name, bit] += 1


def simulate_toggles(
    config: MacroConfig, writes: Sequence[int], operations: Sequence[int], first: int, folder: Path
) -> Toggles:
    """Changes in the Verilog of a macro, in Icarus.

    Parameters
    ----------
    config : MacroConfig
    writes, operations : sequence of int
        Payloads: rows of weights, then operations back to back.
    first : int
        Changes count from the answer to this operation on.
    folder : Path
        For the files.
    """
    write_verilog(Macro(config), folder, "macro")
    for name, words in (("writes", writes), ("operations", operations)):
        (folder / f"{name}.hex").write_text("".join(f"{word:x}\n" for word in words), encoding="utf-8")
    parameters = {
        "WRITE_BITS": WriteLayout(config).size,
        "OPERATION_BITS": OperationLayout(config).size,
        "WRITES": len(writes),
        "OPERATIONS": len(operations),
        "FROM": first,
    }
    override = [f"-Ptoggles.{name}={value}" for name, value in parameters.items()]
    sources = [str(folder / "macro.v"), str(PLAYER)]
    command = ["iverilog", "-g2012", "-s", "toggles", *override, "-o", str(folder / "player"), *sources]
    quiet_run(command, purpose="building the macro")
    quiet_run(["vvp", "-n", "player"], purpose="running the macro", cwd=str(folder))
    toggles = Toggles(config)
    _read(folder / "toggles.vcd", toggles)
    return toggles
