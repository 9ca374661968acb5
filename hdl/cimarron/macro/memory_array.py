"""Bit cells in the memories of an FPGA."""

from functools import partial

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from ..config import MacroConfig
from .array import BitCellArray

__all__ = ["BlockRamArray", "LutRamArray"]


class LutRamArray(BitCellArray):
    """One memory per row of the row group, and per beat of it; its words are that row of every row group of every set.

    Each memory has one port that writes and one that reads. A word may be read in the cycle in which it is written,
    and is then the old one: as with flip-flops.
    """

    #: What synthesis makes of the memories: the attribute that Yosys and the vendors' tools know.
    ram_style = "distributed"

    def read(self, m: Module, memory: Memory, row: int, address: Value) -> Value:
        """The word of a memory, which holds one row of each row group, that multiplies in this cycle."""
        port = memory.read_port(domain="comb")
        m.d.comb += port.addr.eq(address)
        return port.data

    def selected_rows(self, m: Module) -> list[Value]:
        config = self.config
        group_bits = (config.row_groups - 1).bit_length()
        set_bits = (config.weight_sets - 1).bit_length()
        # Division by a constant: blocks start at its multiples. Verilog has no wires without bits.
        block = Signal(max(1, group_bits))
        row = Signal(range(max(2, config.group_rows)))
        written_set = Signal(max(1, set_bits))
        m.d.comb += row.eq(self.row)
        for index in range(1, config.row_groups):
            with m.If(self.row >= index * config.group_rows):
                m.d.comb += [block.eq(index), row.eq(self.row - index * config.group_rows)]
        for weight_set in range(config.weight_sets):
            with m.If(self.enable[weight_set]):
                m.d.comb += written_set.eq(weight_set)

        def store(index: int, name: str, write: Value) -> Value:
            memory = Memory(
                shape=config.beat_bits,
                depth=config.weight_sets << group_bits,
                init=[],
                attrs={"ram_style": self.ram_style},
            )
            m.submodules[name] = memory
            port = memory.write_port()
            m.d.comb += [port.en.eq(write), port.data.eq(self.data)]
            m.d.comb += port.addr.eq(Cat(block[:group_bits], written_set[:set_bits]))
            source = self.source_of(index)
            return self.read(m, memory, index, Cat(source.row_group[:group_bits], source.set[:set_bits]))

        return [
            self.row_of(m, f"memory_{index}", partial(store, index), self.enable.any() & (row == index))
            for index in range(config.group_rows)
        ]


class BlockRamArray(LutRamArray):
    """The same in memories that take a cycle to read.

    Members
    -------
    read_enable : In(row_blocks)
        Reads the cells that multiply with the ``x`` of the next cycle, and of all cycles until the next read, in these
        blocks of rows; the others keep what they read.
    """

    ram_style = "block"

    def __init__(self, config: MacroConfig):
        super().__init__(config, {"read_enable": In(config.row_blocks)})

    def read(self, m: Module, memory: Memory, row: int, address: Value) -> Value:
        port = memory.read_port()
        m.d.comb += [port.en.eq(self.read_enable[row // self.config.block_rows]), port.addr.eq(address)]
        return port.data
