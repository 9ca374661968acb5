"""Feeder: joins a vector with the weight set it needs, and says what the macro waits for."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import EngineConfig
from ..isa import Opcode
from ..macro.ports import OperationLayout
from .gather import VectorLayout
from .job import JOB_LAYOUTS

__all__ = ["Feeder"]


class Feeder(wiring.Component):
    """Hands vectors to the macro as soon as their tile's weights are there; combinational, no cycle of its own.

    Weight sets are used in turn, one per tile, or one for a job with ``shared_weights``. From the cycle after ``start``
    to the last vector's departure, exactly one of ``stall_input``, ``stall_weights`` and ``stall_output`` is high in
    each cycle in which no bit plane enters the array; weights are named first when both inputs are missing. After that,
    only ``stall_output`` can be. Column groups beyond the outputs of a word tile are idle, if the macro has gating.
    """

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "job": In(JOB_LAYOUTS[Opcode.MAC]),
                "start": In(1),
                "computing": In(1),
                "i_stream": In(stream.Signature(VectorLayout(config))),
                "o_stream": Out(stream.Signature(OperationLayout(config.macro))),
                "tile_ready": In(1),
                "plane": In(1),
                "stall_input": Out(1),
                "stall_weights": Out(1),
                "stall_output": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        sets = self.config.macro.weight_sets
        current = Signal(range(max(2, sets)))
        tiles = Signal(range(sets + 1))
        feeding = Signal()
        vector = self.i_stream.payload
        operation = self.o_stream.payload

        weights_ready = tiles != 0
        leaves = self.o_stream.valid & self.o_stream.ready
        tile_ends = Signal()
        m.d.comb += [
            tile_ends.eq(leaves & Mux(self.job.shared_weights, vector.last_in_job, vector.last_in_tile)),
            self.o_stream.valid.eq(self.i_stream.valid & weights_ready),
            self.i_stream.ready.eq(self.o_stream.ready & weights_ready),
            operation.bits.eq(self.job.act_bits),
            operation.signed.eq(self.job.act_signed),
            operation.set.eq(current),
        ]
        macro = self.config.macro
        if macro.gating:
            columns = Signal(range(macro.words + 1))
            outputs = Mux(vector.last_words, self.job.last_words, self.job.tile_words)
            with m.Switch(self.job.weight_bits):
                for width in macro.weight_widths:
                    with m.Case(width):
                        m.d.comb += columns.eq(outputs << (width // macro.cell_bits).bit_length() - 1)
            m.d.comb += operation.idle.eq(Cat(columns <= group * macro.group_words for group in range(macro.groups)))
        m.d.comb += [operation.x[row].eq(vector.x[row]) for row in range(self.config.macro.rows)]
        m.d.sync += tiles.eq(tiles + self.tile_ready - tile_ends)
        with m.If(tile_ends):
            m.d.sync += current.eq(Mux(current == sets - 1, 0, current + 1))
        with m.If(self.start):
            m.d.sync += feeding.eq(1)
        with m.Elif(leaves & vector.last_in_job):
            m.d.sync += feeding.eq(0)

        idle = self.computing & ~self.plane
        starved = idle & feeding & self.o_stream.ready
        m.d.comb += [
            self.stall_weights.eq(starved & ~weights_ready),
            self.stall_input.eq(starved & weights_ready),
            self.stall_output.eq(idle & ~self.o_stream.ready),
        ]
        return m
