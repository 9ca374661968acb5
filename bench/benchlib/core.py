"""Parts of the macro without the storage of weights, for measuring their area and speed."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cimarron.config import MacroConfig
from cimarron.macro.adder_tree import AdderTree
from cimarron.macro.column_group import ColumnGroup

__all__ = ["Column", "Core", "Ring"]


def _products(x, w, row_bits: int) -> Cat:
    return Cat(w.word_select(row, row_bits) & x[row].replicate(row_bits) for row in range(len(x)))


class Column(wiring.Component):
    """Products, one adder tree and the register of its sum.

    Parameters
    ----------
    tree : AdderTree

    Members
    -------
    x : In(rows)
    w : In(rows * bits * words)
    o : Out(out_bits * words)
    """

    def __init__(self, tree: AdderTree):
        self.tree = tree
        row_bits = tree.bits * tree.words
        super().__init__({"x": In(tree.rows), "w": In(tree.rows * row_bits), "o": Out(tree.out_bits * tree.words)})

    @property
    def macs(self) -> int:
        """One-bit multiply-accumulates per cycle."""
        return self.tree.rows * self.tree.bits * self.tree.words

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.tree = tree = self.tree
        m.d.comb += tree.i.eq(_products(self.x, self.w, tree.bits * tree.words))
        m.d.sync += self.o.eq(tree.o)
        return m


class Core(wiring.Component):
    """All that the macro has per column group: products, adder tree, sum register, accumulators and fusion.

    Weights and the control signals come from outside.

    Parameters
    ----------
    config : MacroConfig
        ``words`` may be those of one group. Bit-serial: ``planes_per_cycle`` and ``row_groups`` are 1.
    tree : AdderTree
        Of ``config``'s rows, words and cell bits.

    Members
    -------
    x : In(rows)
    w : In(rows * row_bits)
    control : In
        ``step, first, negative, shift, capture, width, tops, count``, the least significant first.
    y : Out(words * result_bits)
    """

    def __init__(self, config: MacroConfig, tree: AdderTree):
        self.config = config
        self.tree = tree
        super().__init__(
            {
                "x": In(config.rows),
                "w": In(config.set_bits),
                "control": In(6 + config.group_words + config.count_bits),
                "y": Out(config.words * config.result_bits),
            }
        )

    @property
    def macs(self) -> int:
        """One-bit multiply-accumulates per cycle."""
        return self.config.set_bits

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        m.submodules.column = column = Column(self.tree)
        m.d.comb += [column.x.eq(self.x), column.w.eq(self.w)]
        self.accumulate(m, config, column.o, self.control, self.y)
        return m

    @staticmethod
    def accumulate(m: Module, config: MacroConfig, sums: Value, control: Value, y: Value) -> None:
        """Add to a module what comes after the sum register."""
        step, first, negative, shift, capture, width = control[:6]
        tops = control[6 : 6 + config.group_words]
        planes = config.planes_per_cycle
        count = Signal(planes * config.count_bits)
        m.d.sync += count.eq(control[6 + config.group_words :])
        results = []
        for index in range(config.groups):
            m.submodules[f"group_{index}"] = group = ColumnGroup(config)
            m.d.comb += [
                group.step.eq(step),
                group.first.eq(first),
                group.negative.eq(negative),
                group.shift.eq(shift),
                group.capture.eq(capture),
                group.width.eq(width),
                group.tops.eq(tops),
            ]
            m.d.comb += [group.count[p].eq(count.word_select(p, config.count_bits)) for p in range(planes)]
            for place in range(config.group_words):
                word = index * config.group_words + place
                for p in range(planes):
                    m.d.comb += group.sums[p][place].eq(sums[p * config.words + word :: planes * config.words])
                results.append(group.y[place])
        m.d.comb += y.eq(Cat(results))


class Ring(wiring.Component):
    """A design between registers and two pins, so that it can be placed and routed for its frequency.

    Its inputs come out of a shift register; its outputs are folded into a signature, whose last bit leaves: one look-up
    table for each bit of them.

    Parameters
    ----------
    design : Component

    Members
    -------
    i : In(1)
    o : Out(1)
    """

    def __init__(self, design: wiring.Component):
        self.design = design
        super().__init__({"i": In(1), "o": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.design = design = self.design
        ports = [(member.flow, value) for _, member, value in design.signature.flatten(design)]
        inputs, outputs = (Cat(value for flow, value in ports if flow is wanted) for wanted in (In, Out))
        chain = Signal(len(inputs))
        m.d.sync += chain.eq(Cat(self.i, chain[:-1]))
        m.d.comb += inputs.eq(chain)
        seen = Signal(len(outputs))
        m.d.sync += seen.eq(outputs ^ (seen << 1))
        m.d.sync += self.o.eq(seen[-1])
        return m
