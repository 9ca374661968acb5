"""Activation buffer: on-chip bytes, read and written in windows of any alignment."""

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import EngineConfig
from ..lax_memory import lax_memory, lax_read_port

__all__ = ["ActBuffer", "ReadSignature", "WriteSignature"]


class ReadSignature(wiring.Signature):
    """One window of ``act_port_bytes`` per cycle.

    In a cycle with ``enable``, byte ``addr + i`` is asked for; from the next cycle on, until the next ``enable``, it is
    ``data[(align + i) % act_port_bytes]``. Addresses wrap at the end of the buffer.
    """

    def __init__(self, config: EngineConfig):
        port = config.act_port_bytes
        super().__init__(
            {
                "enable": Out(1),
                "addr": Out(config.act_addr_bits),
                "align": Out(range(port)),
                "data": In(data.ArrayLayout(8, port)),
            }
        )


class WriteSignature(wiring.Signature):
    """One window of ``act_port_bytes`` per cycle: byte ``addr + i`` becomes ``data[i]`` if ``mask[i]``.

    It can be read from two cycles later on.
    """

    def __init__(self, config: EngineConfig):
        port = config.act_port_bytes
        super().__init__(
            {
                "mask": Out(port),
                "addr": Out(config.act_addr_bits),
                "data": Out(data.ArrayLayout(8, port)),
            }
        )


class ActBuffer(wiring.Component):
    """``act_port_bytes`` byte-wide memories side by side.

    Byte address a lives in memory ``lane<a % act_port_bytes>`` at ``a // act_port_bytes``. A window that
    starts at lane k takes the lanes below k from the next line, so each lane has an address of its own
    and a rotator puts the bytes in order. A write is done in the cycle after it was asked for: its sources lie far from
    the memories, and those far apart. A byte that is read in the cycle in which it is written may be the old one, the
    new one or another.
    """

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__({"read": In(ReadSignature(config)), "write": In(WriteSignature(config))})

    def elaborate(self, platform) -> Module:
        m = Module()
        port = self.config.act_port_bytes
        shift = (port - 1).bit_length()

        read_lane = self.read.addr[:shift]
        read_line = self.read.addr[shift:]
        next_read_line = Signal.like(read_line)
        rotation = Signal(shift)
        m.d.comb += next_read_line.eq(read_line + 1)
        with m.If(self.read.enable):
            m.d.sync += rotation.eq(read_lane - self.read.align)

        written = Signal.like(self.write.data, reset_less=True)
        write_mask = Signal(port)
        write_lane = Signal(shift, reset_less=True)
        write_line = Signal.like(read_line, reset_less=True)
        next_write_line = Signal.like(read_line, reset_less=True)
        m.d.sync += [
            written.eq(self.write.data),
            write_mask.eq(self.write.mask),
            write_lane.eq(self.write.addr[:shift]),
            write_line.eq(self.write.addr[shift:]),
            next_write_line.eq(self.write.addr[shift:] + 1),
        ]

        stored = []
        for lane in range(port):
            words = lax_memory(m, f"lane{lane}", shape=8, depth=self.config.act_buffer_bytes // port)
            read, write = lax_read_port(m, words, f"lane{lane}"), words.write_port()
            source = Signal(shift, name=f"source{lane}")
            m.d.comb += [
                read.en.eq(self.read.enable),
                read.addr.eq(read_line),
                source.eq(lane - write_lane),
                write.en.eq(write_mask.bit_select(source, 1)),
                write.addr.eq(write_line),
                write.data.eq(written[source]),
            ]
            if lane < port - 1:  # the last lane never belongs to the next line
                with m.If(lane < read_lane):
                    m.d.comb += read.addr.eq(next_read_line)
                with m.If(lane < write_lane):
                    m.d.comb += write.addr.eq(next_write_line)
            stored.append(read.data)

        lanes = Array(stored)
        for index in range(port):
            select = Signal(shift, name=f"select{index}")
            m.d.comb += [select.eq(rotation + index), self.read.data[index].eq(lanes[select])]
        return m
