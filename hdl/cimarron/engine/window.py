"""Window of the bus onto the activation buffer."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..bus import wishbone
from ..config import EngineConfig
from ..isa import ACT_WINDOW
from .act_buffer import ReadSignature, WriteSignature

__all__ = ["Window"]


class Window(wiring.Component):
    """Reads and writes of 32 bits, between those of a running job.

    A write takes the buffer's write port and a read its read port for one cycle, with priority over the
    job; a read waits while ``hold`` is high. Answers come one (write) or two (read) cycles later. Beyond
    the buffer, reads return 0, writes do nothing, and ``bad_address`` pulses with the answer, in the next cycle.
    """

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "bus": In(wishbone.Signature(addr_width=(ACT_WINDOW - 1).bit_length() - 2)),
                "read": Out(ReadSignature(config)),
                "steal_read": Out(1),
                "hold": In(1),
                "write": Out(WriteSignature(config)),
                "steal_write": Out(1),
                "bad_address": Out(1),
                "address": Out(32),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        bus = self.bus
        addr = Cat(0, 0, bus.adr)
        answered = Signal()
        outside = addr >= self.config.act_buffer_bytes
        request = bus.cyc & bus.stb & ~bus.ack & ~answered
        m.d.comb += [
            self.read.addr.eq(addr),
            self.write.addr.eq(addr),
            self.write.data.as_value().eq(bus.dat_w),
            self.write.mask.eq(bus.sel),
            self.steal_write.eq(request & bus.we & ~outside),
            self.steal_read.eq(request & ~bus.we & ~outside & ~self.hold),
            self.read.enable.eq(self.steal_read),
        ]
        m.d.sync += [
            answered.eq(self.steal_read),
            bus.ack.eq(self.steal_write | answered | (request & outside)),
            self.bad_address.eq(request & outside),
            self.address.eq(addr),
            bus.dat_r.eq(0),
        ]
        with m.If(answered):
            m.d.sync += bus.dat_r.eq(self.read.data.as_value()[:32])
        return m
