"""The bit cells."""

from collections.abc import Callable
from functools import partial, reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import MacroConfig
from .ports import OperationLayout

__all__ = ["BitCellArray", "SourceLayout"]


class SourceLayout(data.StructLayout):
    """Which cells a row of the row group multiplies with: those of which row group of which set."""

    def __init__(self, config: MacroConfig):
        super().__init__({"set": OperationLayout(config)["set"].shape, "row_group": range(max(2, config.row_groups))})


class BitCellArray(wiring.Component):
    """Weight sets in flip-flops, and the one-bit products of the selected rows and set with bit planes.

    Reading is combinational and free; a row of one set is written per cycle. Cells have no reset: a row
    that was never written contributes nothing as long as its activation is zero. Other kinds of storage derive from
    this one and replace `cells` or `selected_rows`.

    Parameters
    ----------
    config : MacroConfig

    Members
    -------
    enable : In(weight_sets)
    row : In(range(rows))
    beat : In(range(write_beats))
        Part of the row that is written; absent if rows are written whole.
    data : In(beat_bits)
        Bit s of ``enable`` writes ``data`` to row ``row`` of set s at the end of this cycle.
    source : In(data.ArrayLayout(SourceLayout(config), row_blocks))
        The cells that multiply, for each block of ``block_rows`` rows.
    idle : In(groups)
        Column groups whose products are 0; only with gating.
    x : In(group_rows * planes_at_once * line_sets)
        Bit planes side by side, one bit per row of the row group; where sets have word lines of their own, those for
        one set after the other.
    x_bar : In(group_rows * planes_at_once)
        As ``x``, for the complements of the cells; only if there are bitwise operations.
    bits : In(cell_bits * planes_at_once)
        The bits of a cell that meet plane p, at ``p * cell_bits``; the others give 0. Only if there are bitwise
        operations, which need it where cells have several bits.
    products : Out(group_rows * planes_at_once * row_bits)
        Row after row, 0 where ``x`` is 0: bit k of column j times plane p at
        ``(k * planes_at_once + p) * words + j`` of a row.
    """

    def __init__(self, config: MacroConfig, members: dict[str, wiring.Member] | None = None):
        self.config = config
        lines = config.group_rows * config.planes_at_once
        bitwise = {"x_bar": In(lines), "bits": In(config.cell_bits * config.planes_at_once)}
        super().__init__(
            {
                "enable": In(config.weight_sets),
                "row": In(range(config.rows)),
                **({"beat": In(range(config.write_beats))} if config.write_beats > 1 else {}),
                "data": In(config.beat_bits),
                "source": In(data.ArrayLayout(SourceLayout(config), config.row_blocks)),
                **({"idle": In(config.groups)} if config.gating else {}),
                "x": In(lines * config.line_sets),
                **(bitwise if config.bitwise else {}),
                "products": Out(lines * config.row_bits),
                **(members or {}),
            }
        )

    @staticmethod
    def _selected(stored: list[Value], index: Value) -> Value:
        """One of several rows, through a balanced tree of multiplexers."""
        for bit in index:
            pairs = [stored[i : i + 2] for i in range(0, len(stored), 2)]
            stored = [Mux(bit, pair[1], pair[0]) if len(pair) == 2 else pair[0] for pair in pairs]
        return stored[0]

    def source_of(self, row: int) -> data.View:
        """Where a row of the row group takes its cells from."""
        return self.source[row // self.config.block_rows]

    def _lines(self, m: Module, lines: Value, name: str) -> list[Value]:
        """What the cells of each row meet, plane by plane within a row."""
        config = self.config
        if not config.bitwise:
            return [line.replicate(config.row_bits) for line in lines]
        enabled = []
        for index in range(len(lines)):
            bits = self.bits.word_select(index // config.group_rows, config.cell_bits)
            line = Signal(config.cell_bits, name=f"{name}_{index}")
            m.d.comb += line.eq(lines[index].replicate(config.cell_bits) & bits)
            enabled.append(Cat(bit.replicate(config.words) for bit in line))
        return enabled

    def row_of(self, m: Module, name: str, store: Callable[[str, Value], Value], write: Value) -> Value:
        """A whole row in the order of the array, stored as one piece, or as one per beat."""
        config = self.config
        if config.write_beats == 1:
            return store(name, write)
        pieces = [store(f"{name}_beat_{beat}", write & (self.beat == beat)) for beat in range(config.write_beats)]
        columns = config.words // config.write_beats
        row = Signal(config.row_bits, name=name)
        m.d.comb += row.eq(Cat(piece.word_select(k, columns) for k in range(config.cell_bits) for piece in pieces))
        return row

    def cells(self, m: Module, name: str, write: Value) -> Signal:
        """Cells that take ``data`` at the end of a cycle with ``write``."""
        cells = Signal(len(self.data), name=name, reset_less=True)
        m.d.sync += cells.eq(Mux(write, self.data, cells))
        return cells

    def stored_rows(self, m: Module) -> list[list[Value]]:
        """Of each row, the cells of each set."""
        config = self.config
        rows = []
        for row in range(config.rows):
            addressed = Signal(name=f"addressed_{row}")
            m.d.comb += addressed.eq(self.row == row)
            stored = [
                self.row_of(
                    m, f"set_{weight_set}_row_{row}", partial(self.cells, m), self.enable[weight_set] & addressed
                )
                for weight_set in range(config.weight_sets)
            ]
            rows.append(stored)
        return rows

    def selected_rows(self, m: Module) -> list[Value]:
        """What multiplies: of each row of the row group, the cells of the set."""
        config = self.config
        rows = [
            self._selected(stored, self.source_of(row % config.group_rows).set)
            for row, stored in enumerate(self.stored_rows(m))
        ]
        return [
            self._selected(rows[row :: config.group_rows], self.source_of(row).row_group)
            for row in range(config.group_rows)
        ]

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        # Named once: an expression is written out, and simulated, for each use of it.
        products = []
        rows = [[row] for row in self.selected_rows(m)] if config.line_sets == 1 else self.stored_rows(m)
        lines = self._lines(m, self.x, "line")
        lines_bar = self._lines(m, self.x_bar, "line_bar") if config.bitwise else []
        if config.gating:
            # Divided word lines: what is idle sees none of them rise.
            awake = Signal(config.row_bits)
            m.d.comb += awake.eq(
                Cat((~bit).replicate(config.group_words) for bit in self.idle).replicate(config.cell_bits)
            )
            lines, lines_bar = ([line & awake for line in all_lines] for all_lines in (lines, lines_bar))
        for row, of_sets in enumerate(rows):
            names = [f"cells_{row}", f"cells_{row}_other"]
            cells = [Signal(config.row_bits, name=name) for name, _ in zip(names, of_sets, strict=False)]
            m.d.comb += [own.eq(stored) for own, stored in zip(cells, of_sets, strict=True)]
            planes = []
            for index in range(config.planes_at_once):
                plane = Signal(config.row_bits, name=f"plane_{index}_row_{row}")
                line = index * config.group_rows + row
                own_lines = lines[line :: config.group_rows * config.planes_at_once]
                product = reduce(or_, [line & own for line, own in zip(own_lines, cells, strict=True)])
                if config.bitwise:
                    product |= lines_bar[line] & ~cells[0]
                m.d.comb += plane.eq(product)
                planes.append(plane)
            products += [plane.word_select(k, config.words) for k in range(config.cell_bits) for plane in planes]
        m.d.comb += self.products.eq(Cat(products))
        return m
