"""Requantisation records of the output channels at hand."""

from amaranth.hdl import Module, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..config import EngineConfig

__all__ = ["ParamBuffer", "RecordLayout"]


class RecordLayout(data.StructLayout):
    """What one output channel needs (see `cimarron.isa.PARAM_BYTES`)."""

    def __init__(self) -> None:
        super().__init__({"bias": signed(32), "multiplier": 32, "shift": signed(8)})


class ParamBuffer(wiring.Component):
    """Two banks of records: one in use, one being loaded.

    A bank holds a record for every output of the narrowest weights. Records are written one at a time and read
    ``lanes`` at a time, in the cycle after ``enable``.
    """

    def __init__(self, config: EngineConfig):
        self.config = config
        words = config.macro.words
        super().__init__(
            {
                "write": In(1),
                "write_bank": In(1),
                "write_index": In(range(words)),
                "write_record": In(RecordLayout()),
                "enable": In(1),
                "bank": In(1),
                "beat": In(range(max(2, words // config.lanes))),
                "records": Out(data.ArrayLayout(RecordLayout(), config.lanes)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        lanes = self.config.lanes
        beats = self.config.macro.words // lanes
        beat_bits = (beats - 1).bit_length()
        lane_bits = (lanes - 1).bit_length()
        for lane in range(lanes):
            memory = Memory(shape=RecordLayout(), depth=2 << beat_bits, init=[])
            m.submodules[f"lane{lane}"] = memory
            read = memory.read_port()
            write = memory.write_port()
            m.d.comb += [
                write.en.eq(self.write & (self.write_index[:lane_bits] == lane)),
                write.addr.eq(self.write_bank << beat_bits | self.write_index >> lane_bits),
                write.data.eq(self.write_record),
                read.en.eq(self.enable),
                read.addr.eq(self.bank << beat_bits | self.beat),
                self.records[lane].eq(read.data),
            ]
        return m
