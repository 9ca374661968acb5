"""The bit cells."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import MacroConfig
from .ports import OperationLayout

__all__ = ["BitCellArray"]


class BitCellArray(wiring.Component):
    """Weight sets in flip-flops, and the one-bit products of the selected set with a bit plane.

    Reading is combinational and free; a row of one set is written per cycle. Cells have no reset: a row
    that was never written contributes nothing as long as its activation is zero.

    Parameters
    ----------
    config : MacroConfig

    Members
    -------
    enable : In(weight_sets)
    row : In(range(rows))
    data : In(row_bits)
        Bit s of ``enable`` writes ``data`` to row ``row`` of set s at the end of this cycle.
    set : In
        The set that multiplies.
    x : In(rows)
        The bit plane, one bit per row.
    products : Out(rows * row_bits)
        Row after row in the order of the array, 0 where ``x`` is 0.
    """

    def __init__(self, config: MacroConfig):
        self.config = config
        super().__init__(
            {
                "enable": In(config.weight_sets),
                "row": In(range(config.rows)),
                "data": In(config.row_bits),
                "set": In(OperationLayout(config)["set"].shape),
                "x": In(config.rows),
                "products": Out(config.rows * config.row_bits),
            }
        )

    def _selected(self, stored: list[Value]) -> Value:
        """The row of the set that multiplies, through a balanced tree of multiplexers."""
        for bit in self.set:
            pairs = [stored[i : i + 2] for i in range(0, len(stored), 2)]
            stored = [Mux(bit, pair[1], pair[0]) if len(pair) == 2 else pair[0] for pair in pairs]
        return stored[0]

    def elaborate(self, platform) -> Module:
        m = Module()
        products = []
        for row in range(self.config.rows):
            addressed = Signal(name=f"addressed_{row}")
            m.d.comb += addressed.eq(self.row == row)
            stored = []
            for weight_set in range(self.config.weight_sets):
                cells = Signal(self.config.row_bits, name=f"set_{weight_set}_row_{row}", reset_less=True)
                m.d.sync += cells.eq(Mux(self.enable[weight_set] & addressed, self.data, cells))
                stored.append(cells)
            products.append(self._selected(stored) & self.x[row].replicate(self.config.row_bits))
        m.d.comb += self.products.eq(Cat(products))
        return m
