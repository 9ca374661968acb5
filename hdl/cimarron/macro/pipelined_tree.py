"""Adder trees with registers inside."""

from collections.abc import Sequence

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import MacroConfig
from .adder_tree import AdderTree
from .back_ends import adder_tree
from .levels import levels

__all__ = ["PipelinedTree", "level_trees"]


def level_trees(
    m: Module, config: MacroConfig, level: int, fan_ins: Sequence[int], numbers: Value, *, words: int, bits: int
) -> list[AdderTree]:
    """Add the trees of one level to a module, with their inputs.

    Parameters
    ----------
    m : Module
    config : MacroConfig
    level : int
        For their names.
    fan_ins : sequence of int
        How many numbers each of them adds, see `levels`.
    numbers : Value
        All of them, as in `AdderTree`.
    words, bits : int
        As in `AdderTree`.

    Returns
    -------
    list of AdderTree
        The last one may add fewer numbers, to narrower sums.
    """
    trees, first_row, row_bits = [], 0, bits * words
    for index, rows in enumerate(fan_ins):
        tree = adder_tree(config, rows=rows, words=words, bits=bits)
        m.submodules[f"level_{level}_tree_{index}"] = tree
        m.d.comb += tree.i.eq(numbers[first_row * row_bits : (first_row + rows) * row_bits])
        first_row += rows
        trees.append(tree)
    return trees


class PipelinedTree(wiring.Component):
    """Adds the numbers of a row group through ``pipeline`` registers, between as many and one levels of smaller trees.

    The sums of one level lie in planes as the numbers of the next one do, so levels are ordinary adder trees, in any
    back-end, cut as `levels` says. The last level is combinational.

    Parameters
    ----------
    config : MacroConfig
    words : int
        Independent sums.
    bits : int
        Bits of each number.

    Members
    -------
    enable : In
        Bit s: register s takes new sums at the end of this cycle.
    i : In(group_rows * bits * words)
    o : Out(out_bits * words)
        As in `AdderTree`.
    """

    def __init__(self, config: MacroConfig, *, words: int, bits: int):
        self.config = config
        self.words = words
        self.bits = bits
        super().__init__(
            {
                "enable": In(max(1, config.pipeline)),
                "i": In(config.group_rows * bits * words),
                "o": Out((config.group_rows * (2**bits - 1)).bit_length() * words),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from the products to their sums."""
        return self.config.pipeline

    def elaborate(self, platform) -> Module:
        m = Module()
        numbers: Value = self.i
        bits = self.bits
        for level, fan_ins in enumerate(levels(self.config.group_rows, bits, self.latency)):
            trees = level_trees(m, self.config, level, fan_ins, numbers, words=self.words, bits=bits)
            bits = trees[0].out_bits
            if level == self.latency:
                m.d.comb += self.o.eq(trees[0].o)
            else:
                sums = Signal(len(trees) * bits * self.words, name=f"sums_{level}")
                with m.If(self.enable[level]):
                    for index, tree in enumerate(trees):
                        m.d.sync += sums.word_select(index, bits * self.words).eq(tree.o)
                numbers = sums
        return m
