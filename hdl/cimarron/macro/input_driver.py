"""From vectors of activations to bit planes."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import MacroConfig
from .ports import OperationLayout

__all__ = ["InputDriver", "PlaneLayout"]


class PlaneLayout(data.StructLayout):
    """One bit of every activation, as it drives the word lines.

    ``first`` and ``last`` delimit an operation. ``negative`` marks the sign plane. ``error`` marks the only, empty
    plane of an operation that asked for a width or a set that does not exist.
    """

    def __init__(self, config: MacroConfig):
        super().__init__(
            {
                "x": config.rows,
                "first": 1,
                "last": 1,
                "negative": 1,
                "error": 1,
                "set": OperationLayout(config)["set"].shape,
            }
        )


class InputDriver(wiring.Component):
    """Sends the activations of an operation through the array one bit plane per cycle, most significant first.

    An operation of b bits is b planes, an impossible one is a single plane of zeros marked ``error``. The next vector
    is taken in the cycle in which the last plane of the present one leaves, so operations follow one another without a
    bubble. Planes come straight from a register: the bit is selected in the cycle before.

    Parameters
    ----------
    config : MacroConfig

    Members
    -------
    i_stream : In(stream.Signature(OperationLayout(config)))
    o_stream : Out(stream.Signature(PlaneLayout(config)))
    """

    #: Cycles from the transfer of a vector to its first plane.
    latency = 1

    def __init__(self, config: MacroConfig):
        self.config = config
        super().__init__(
            {
                "i_stream": In(stream.Signature(OperationLayout(config))),
                "o_stream": Out(stream.Signature(PlaneLayout(config))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        operation = self.i_stream.payload
        plane = self.o_stream.payload
        bits = range(config.max_act_bits)

        held = Signal(data.ArrayLayout(config.rows, config.max_act_bits), reset_less=True)
        source = Signal.like(held)
        remaining = Signal(bits)
        index = Signal(bits)
        load = Signal()
        advance = Signal()
        exists = Signal()

        m.d.comb += [
            advance.eq(~self.o_stream.valid | self.o_stream.ready),
            self.i_stream.ready.eq(advance & (~self.o_stream.valid | plane.last)),
            load.eq(self.i_stream.valid & self.i_stream.ready),
            exists.eq(
                (operation.bits != 0) & (operation.bits <= config.max_act_bits) & (operation.set < config.weight_sets)
            ),
            index.eq(Mux(load, operation.bits, remaining) - 1),
        ]
        for bit in bits:
            incoming = Cat(operation.x[row][bit] for row in range(config.rows))
            m.d.comb += source[bit].eq(Mux(load, incoming, held[bit]))

        # The planes still to come are kept as they are and the next is selected: shifting them would toggle all.
        selected = Signal(config.rows)
        with m.Switch(index):
            for bit in bits:
                with m.Case(bit):
                    m.d.comb += selected.eq(source[bit])

        with m.If(advance):
            m.d.sync += [
                self.o_stream.valid.eq(load | (self.o_stream.valid & ~plane.last)),
                plane.x.eq(Mux(load & ~exists, 0, selected)),
                plane.first.eq(load),
                plane.negative.eq(load & exists & operation.signed),
                remaining.eq(Mux(load & ~exists, 0, index)),
                plane.last.eq((index == 0) | (load & ~exists)),
            ]
        with m.If(load):
            m.d.sync += [held.eq(source), plane.error.eq(~exists), plane.set.eq(operation.set)]
        return m
