"""What the word lines carry in bitwise operations."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import MacroConfig
from .format import FormatLayout
from .input_driver import PlaneLayout
from .ports import Operation

__all__ = ["WordLines"]


class WordLines(wiring.Component):
    """Turns bit planes into the two word lines of each row: one for the cells, one for their complements.

    A cell answers ``(x & cell) | (x_bar & ~cell)``, so one pair of lines makes any function of a bit and a cell:

    ========= ====== =========
    operation  x     x_bar
    ========= ====== =========
    AND        x      0
    XOR        ~x     x
    XNOR       x      ~x
    ========= ====== =========

    All others use AND. The top bit of signed weights is stored inverted: there, the lines change places. A bitwise
    operation compares bit b of the activations with bit b of the weights, so of each cell only that bit is enabled;
    whose columns it is, `BitCounter` knows. Combinational.

    Parameters
    ----------
    config : MacroConfig

    Members
    -------
    plane : In(PlaneLayout(config))
    format : In(FormatLayout(config))
        Of the set that the plane meets.
    x, x_bar, bits : Out
        As in `BitCellArray`.
    """

    def __init__(self, config: MacroConfig):
        self.config = config
        lines = config.group_rows * config.planes_per_cycle
        super().__init__(
            {
                "plane": In(PlaneLayout(config)),
                "format": In(FormatLayout(config)),
                "x": Out(lines),
                "x_bar": Out(lines),
                "bits": Out(config.cell_bits * config.planes_per_cycle),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config, plane = self.config, self.plane
        cell_bits = config.cell_bits
        bitwise, whole = Signal(), Signal()
        top = Signal(range(max(2, config.max_weight_bits)))
        is_xor, is_xnor = (plane.operation == code for code in (Operation.XOR, Operation.XNOR))
        m.d.comb += [
            whole.eq(is_xor | is_xnor),
            bitwise.eq(whole | (plane.operation == Operation.AND)),
            top.eq(Array(bits - 1 for bits in config.weight_widths)[self.format.width]),
        ]
        for p in range(config.planes_per_cycle):
            # Bit of the activations, and therefore of the weights: planes_per_cycle is a power of two.
            bit = Cat(Const(p, config.planes_per_cycle.bit_length() - 1), plane.place)
            swap = Signal(name=f"swap_{p}")
            rest = Signal(config.group_rows, name=f"rest_{p}")
            lines = slice(p * config.group_rows, (p + 1) * config.group_rows)
            m.d.comb += [
                swap.eq(is_xor ^ (bitwise & self.format.signed & (bit == top))),
                rest.eq(~plane.x[p] & whole.replicate(config.group_rows)),
                self.x[lines].eq(Mux(swap, rest, plane.x[p])),
                self.x_bar[lines].eq(Mux(swap, plane.x[p], rest)),
            ]
            for k in range(cell_bits):
                m.d.comb += self.bits[p * cell_bits + k].eq(~bitwise | (bit[: cell_bits.bit_length() - 1] == k))
        return m
