# amaranth: UnusedElaboratable=no
"""What repeats in a macro, storage included, and what it has once: the parts that areas of whole arrays are sums of."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out
from cimarron.config import MacroConfig
from cimarron.macro.adder_tree import AdderTree
from cimarron.macro.input_driver import InputDriver, PlaneLayout
from cimarron.macro.pipelined_tree import PipelinedTree
from cimarron.macro.ports import OperationLayout, WriteLayout
from cimarron.macro.shift_accumulator import ShiftAccumulator
from cimarron.macro.write_port import WritePort

from .core import Core

__all__ = ["BoothSlice", "DistributedSlice", "Shared", "Slice", "WideSlice"]


def _stored(m: Module, config: MacroConfig, lines, row_data, chosen):
    """Cells of every set in flip-flops, one write line each, and the rows of the chosen set side by side."""
    rows = []
    for row in range(config.rows):
        sets = []
        for weight_set in range(config.weight_sets):
            cells = Signal(config.row_bits, name=f"set_{weight_set}_row_{row}", reset_less=True)
            with m.If(lines[row * config.weight_sets + weight_set]):
                m.d.sync += cells.eq(row_data)
            sets.append(cells)
        rows.append(Array(sets)[chosen] if len(sets) > 1 else sets[0])
    return rows


class Slice(wiring.Component):
    """One column group and the cells of all weight sets above it: a macro is ``config.groups`` of these, and `Shared`.

    Parameters
    ----------
    config : MacroConfig
        ``words`` are those of one group; bit-serial.
    tree : AdderTree
        Of ``config``'s rows, words and cell bits.

    Members
    -------
    x : In(rows)
    lines : In(rows * weight_sets)
        Decoded write lines: bit ``row * weight_sets + set`` stores ``data`` in a row of a set.
    data : In(row_bits)
    set : In
    control : In
        As of `Core`.
    y : Out(words * result_bits)
    """

    def __init__(self, config: MacroConfig, tree: AdderTree):
        self.config = config
        self.core = Core(config, tree)
        super().__init__(
            {
                "x": In(config.rows),
                "lines": In(config.rows * config.weight_sets),
                "data": In(config.row_bits),
                "set": In(range(config.weight_sets)),
                "control": In(len(self.core.control)),
                "y": Out(config.words * config.result_bits),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.core = core = self.core
        stored = Signal(self.config.set_bits)
        m.d.comb += stored.eq(Cat(_stored(m, self.config, self.lines, self.data, self.set)))
        m.d.comb += [core.x.eq(self.x), core.w.eq(stored), core.control.eq(self.control), self.y.eq(core.y)]
        return m


class WideSlice(wiring.Component):
    """A `Slice` for several planes per cycle: as many products per cell, and as many trees.

    Parameters
    ----------
    config : MacroConfig
        As of `Slice`, with ``planes_per_cycle``.
    tree : type of AdderTree

    Members
    -------
    x : In(planes_per_cycle * rows)
        Plane after plane.
    lines, data, set, control, y
        As of `Slice`; ``control`` ends in a count per plane.
    """

    def __init__(self, config: MacroConfig, tree: type[AdderTree]):
        self.config = config
        self.planes = config.planes_per_cycle
        self.tree = tree(rows=config.rows, words=config.words * self.planes, bits=config.cell_bits)
        super().__init__(
            {
                "x": In(self.planes * config.rows),
                "lines": In(config.rows * config.weight_sets),
                "data": In(config.row_bits),
                "set": In(range(config.weight_sets)),
                "control": In(6 + config.group_words + self.planes * config.count_bits),
                "y": Out(config.words * config.result_bits),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        m.submodules.tree = tree = self.tree
        products = []
        for row, stored in enumerate(_stored(m, config, self.lines, self.data, self.set)):
            cells = Signal(config.row_bits, name=f"cells_{row}")
            m.d.comb += cells.eq(stored)
            inputs = self.x[row :: config.rows]
            products += [
                cells.word_select(bit, config.words) & x.replicate(config.words)
                for bit in range(config.cell_bits)
                for x in inputs
            ]
        sums = Signal(len(tree.o))
        m.d.comb += tree.i.eq(Cat(products))
        m.d.sync += sums.eq(tree.o)
        Core.accumulate(m, config, sums, self.control, self.y)
        return m


class DistributedSlice(wiring.Component):
    """Distributed arithmetic: a memory of 16 words holds what four rows can add up to, and a tree adds those.

    Does what `Slice` does, in memories with a combinational read port: look-up tables of an FPGA. In exchange, changing
    a row means rewriting the 16 sums of its four rows. Who computes the sums is not part of it.

    Parameters
    ----------
    config : MacroConfig
        As of `Slice`; ``rows`` a multiple of four.
    tree : type of AdderTree
        Adds the partial sums.

    Members
    -------
    x, set, control, y
        As of `Slice`.
    lines : In(rows / 4)
        Bit b stores ``data`` in block b, at ``address`` (the four activations, then the set).
    address : In
    data : In(words * partial_bits)
    """

    def __init__(self, config: MacroConfig, tree: type[AdderTree]):
        self.config = config
        self.blocks = config.rows // 4
        self.partial_bits = (4 * (2**config.cell_bits - 1)).bit_length()
        self.tree = tree(rows=self.blocks, words=config.words, bits=self.partial_bits)
        address_bits = 4 + (config.weight_sets - 1).bit_length()
        super().__init__(
            {
                "x": In(config.rows),
                "lines": In(self.blocks),
                "address": In(address_bits),
                "data": In(config.words * self.partial_bits),
                "set": In(range(config.weight_sets)),
                "control": In(6 + config.group_words + config.count_bits),
                "y": Out(config.words * config.result_bits),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        m.submodules.tree = tree = self.tree
        partials = []
        for block in range(self.blocks):
            table = memory.Memory(shape=len(self.data), depth=16 * config.weight_sets, init=[])
            m.submodules[f"table_{block}"] = table
            write, read = table.write_port(), table.read_port(domain="comb")
            m.d.comb += [
                write.en.eq(self.lines[block]),
                write.addr.eq(self.address),
                write.data.eq(self.data),
                read.addr.eq(Cat(self.x[4 * block : 4 * block + 4], self.set)),
            ]
            partials.append(read.data)
        m.d.comb += tree.i.eq(Cat(partials))
        sums = Signal(config.column_bits * config.words)
        m.d.sync += sums.eq(tree.o)
        Core.accumulate(m, config, sums, self.control, self.y)
        return m


class BoothSlice(wiring.Component):
    """Two planes per cycle by Booth's recoding: a row counts -2, -1, 0, 1 or 2 times, and one tree adds that.

    Does what `Slice` does in half the cycles, for signed activations; a macro of two planes per cycle needs two trees
    instead. A negative product -v enters the tree as ``31 - v``, its bits inverted; 31 per negative digit is taken off
    behind it, like the offset of signed weights. Digits come recoded: that is done once per row.

    Parameters
    ----------
    config : MacroConfig
        As of `Slice`.
    tree : type of AdderTree

    Members
    -------
    one, two, negative : In(rows)
        The digit of each row: magnitude one or two, sign.
    lines, data, set, y
        As of `Slice`.
    control : In
        ``step, first, capture, width, tops, digits, negatives``: the sum of the digits and the number of negative ones.
    """

    def __init__(self, config: MacroConfig, tree: type[AdderTree]):
        self.config = config
        self.product_bits = config.cell_bits + 1
        self.tree = tree(rows=config.rows, words=config.words, bits=self.product_bits)
        self.digit_bits = config.count_bits + 2
        super().__init__(
            {
                "one": In(config.rows),
                "two": In(config.rows),
                "negative": In(config.rows),
                "lines": In(config.rows * config.weight_sets),
                "data": In(config.row_bits),
                "set": In(range(config.weight_sets)),
                "control": In(4 + config.group_words + self.digit_bits + config.count_bits),
                "y": Out(config.words * config.result_bits),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        words, bits, group = config.words, self.product_bits, config.group_words
        m.submodules.tree = tree = self.tree
        planes = []
        for row, cells in enumerate(_stored(m, config, self.lines, self.data, self.set)):
            once = Signal(words * bits, name=f"once_{row}")
            m.d.comb += once.eq(cells)
            product = Signal(words * bits, name=f"product_{row}")
            one, two, negative = (digit[row].replicate(words * bits) for digit in (self.one, self.two, self.negative))
            m.d.comb += product.eq(((once & one) | ((once << words) & two)) ^ negative)
            planes.append(product)
        m.d.comb += tree.i.eq(Cat(planes))
        step, first, capture, width = self.control[:4]
        tops = self.control[4 : 4 + group]
        digits = Signal(self.digit_bits)
        negatives = Signal(config.count_bits)
        sums = Signal(len(tree.o))
        m.d.sync += [Cat(digits, negatives).eq(self.control[4 + group :]), sums.eq(tree.o)]
        results = []
        for index in range(config.groups):
            totals = []
            for place in range(group):
                word = index * group + place
                term = sums[word::words] - negatives * (2**bits - 1)
                term -= Mux(tops[place], digits.as_signed(), 0) << config.cell_bits - 1
                total = Signal(signed(config.result_bits_for(config.cell_bits)), name=f"total_{word}")
                with m.If(step):
                    m.d.sync += total.eq(Mux(first, 0, total << 2) + term)
                totals.append(total)
            low, high = totals
            fused = [low + (Mux(width, high, 0) << config.cell_bits), Mux(width, 0, high)]
            for place, value in enumerate(fused):
                y = Signal(config.result_bits, name=f"y_{index * group + place}")
                with m.If(capture):
                    m.d.sync += y.eq(value)
                results.append(y)
        m.d.comb += self.y.eq(Cat(results))
        return m


class Shared(wiring.Component):
    """What a macro has once: input driver, write port, row decoder, counter and accumulator of the activations.

    All but the registers that say what travels in the pipeline.

    Parameters
    ----------
    config : MacroConfig
        Bit-serial, without row groups.
    """

    def __init__(self, config: MacroConfig):
        self.config = config
        self.driver = InputDriver(config)
        self.port = WritePort(config)
        super().__init__(
            {
                "operation": In(stream.Signature(OperationLayout(config))),
                "write": In(stream.Signature(WriteLayout(config))),
                "computing": In(config.weight_sets),
                "plane": Out(stream.Signature(PlaneLayout(config))),
                "lines": Out(config.rows * config.weight_sets),
                "data": Out(config.row_bits),
                "formats": Out(self.port.formats.shape()),
                "count": Out(config.count_bits),
                "input_sum": Out(config.input_sum_bits),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        m.submodules.driver, m.submodules.port = self.driver, self.port
        m.submodules.counter = counter = PipelinedTree(config, words=1, bits=1)
        m.submodules.total = total = ShiftAccumulator(config.count_bits + 1, config.input_sum_bits)
        wiring.connect(m, wiring.flipped(self.operation), self.driver.i_stream)
        wiring.connect(m, wiring.flipped(self.write), self.port.i_stream)
        wiring.connect(m, self.driver.o_stream, wiring.flipped(self.plane))
        plane = self.driver.o_stream.payload
        rows = Signal(config.rows)
        lines = [self.port.enable & rows[row].replicate(config.weight_sets) for row in range(config.rows)]
        m.d.comb += [
            self.port.computing.eq(self.computing),
            rows.eq(1 << self.port.row),
            self.lines.eq(Cat(lines)),
            self.data.eq(self.port.data),
            self.formats.eq(self.port.formats),
            counter.i.eq(plane.x[0]),
            total.step.eq(self.driver.o_stream.valid),
            total.first.eq(plane.first),
            total.negative.eq(plane.negative),
            total.shift.eq(plane.shift),
            total.i[0].eq(self.count),
            self.input_sum.eq(total.acc),
        ]
        m.d.sync += self.count.eq(counter.o)
        return m
