"""Sums with registers inside."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Signal, Value

from ..config import MacroConfig
from .adder_tree import AdderTree
from .back_ends import adder_tree
from .carry_save import Reduction, add_planes

__all__ = ["Register", "add_in_stages", "adder_stages", "fan_ins"]


@dataclass(frozen=True)
class Register:
    """A register inside a tree: its clock domain, and when it takes what is in front of it."""

    domain: str
    enable: Value


def fan_ins(rows: int, registers: int) -> list[list[int]]:
    """How the sum of ``rows`` numbers is cut into levels of trees: per level, how many numbers each of them adds.

    Each level adds the sums of the one before. Their fan-in is as even as the number of rows allows.
    """
    cut, count = [], rows
    for left in range(registers + 1, 0, -1):
        fan_in = next(fan_in for fan_in in range(1, count + 1) if fan_in**left >= count)
        cut.append([min(fan_in, count - first) for first in range(0, count, fan_in)])
        count = len(cut[-1])
    return cut


def adder_stages(reduction: Reduction, registers: int) -> list[int]:
    """Behind how many registers each adder of a reduction lies, so that no stage has more than its share in a row."""
    levels: dict[int, int] = {}
    for adder in reduction.adders:
        levels[adder.sum] = levels[adder.carry] = 1 + max(levels.get(plane, 0) for plane in adder.inputs)
    deepest = max(levels.values(), default=0)
    return [(levels[adder.sum] * (registers + 1) - 1) // deepest for adder in reduction.adders]


def add_in_stages(
    m: Module, config: MacroConfig, numbers: Value, *, words: int, bits: int, registers: Sequence[Register]
) -> Value:
    """Add the numbers of a row group through registers.

    Carry-save adders are those of the tree without registers, which lie where they cut it into equally deep stages,
    on every plane that is read behind them. Other back-ends add in levels of smaller trees, with a register between
    each two, cut as `fan_ins` says: the sums of one level lie in planes as the numbers of the next one do.

    Parameters
    ----------
    m : Module
        What is needed is added to it.
    config : MacroConfig
    numbers : Value
    words, bits : int
        As in `AdderTree`.
    registers : sequence of Register
        In the order in which sums pass them.

    Returns
    -------
    Value
        As in `AdderTree`.
    """
    rows = config.group_rows
    if registers and config.adder_for(bits) == "carry_save":
        return _reduce(m, numbers, rows=rows, words=words, bits=bits, registers=registers)
    cuts = fan_ins(rows, len(registers))
    for level, (sizes, register) in enumerate(zip(cuts[:-1], registers, strict=True)):
        trees = _level(m, config, numbers, level, sizes, words=words, bits=bits)
        # A last tree of fewer rows may have narrower sums.
        bits = trees[0].out_bits
        sums = Signal(len(trees) * bits * words, name=f"sums_{level}", reset_less=True)
        with m.If(register.enable):
            for index, tree in enumerate(trees):
                m.d[register.domain] += sums.word_select(index, bits * words).eq(tree.o)
        numbers = sums
    [tree] = _level(m, config, numbers, len(registers), cuts[-1], words=words, bits=bits)
    return tree.o


def _level(
    m: Module, config: MacroConfig, numbers: Value, level: int, sizes: Sequence[int], *, words: int, bits: int
) -> list[AdderTree]:
    """The trees of one level, each of which adds the next ``sizes`` of the numbers."""
    trees, first, row_bits = [], 0, bits * words
    for index, size in enumerate(sizes):
        tree = adder_tree(config, rows=size, words=words, bits=bits)
        m.submodules[f"level_{level}_tree_{index}"] = tree
        m.d.comb += tree.i.eq(numbers[first * row_bits : (first + size) * row_bits])
        first += size
        trees.append(tree)
    return trees


def _reduce(m: Module, numbers: Value, *, rows: int, words: int, bits: int, registers: Sequence[Register]) -> Value:
    """The planes of a carry-save sum."""
    reduction = Reduction(rows, bits)
    #: Every plane, as it is behind so many registers.
    found = {(plane, 0): numbers.word_select(plane, words) for plane in range(rows * bits)}

    def behind(plane: int, stage: int) -> Value:
        if (plane, stage) not in found:
            before, register = behind(plane, stage - 1), registers[stage - 1]
            kept = Signal(words, name=f"kept_{plane}_{stage}", reset_less=True)
            with m.If(register.enable):
                m.d[register.domain] += kept.eq(before)
            found[plane, stage] = kept
        return found[plane, stage]

    for adder, stage in zip(reduction.adders, adder_stages(reduction, len(registers)), strict=True):
        sums = add_planes(m, adder, [behind(plane, stage) for plane in adder.inputs])
        for plane, value in zip((adder.sum, adder.carry), sums, strict=True):
            found[plane, stage] = value
    return Cat(behind(plane, len(registers)) for plane in reduction.outputs)
