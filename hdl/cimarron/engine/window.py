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
    job; a read waits while ``hold`` is high, and jobs begin no read while it does (``wants_read``). What is asked for
    is kept first: jobs stop for a port in the cycle after, so that no path leads from the bus through all of a job's
    stages, nor from one job's ``hold`` to another job. Answers come one (write) or three (read) cycles later, a
    write's with the cycle in which it is done. Beyond the buffer, reads return 0 after one cycle, writes do nothing,
    and ``bad_address`` pulses with the answer, in the next cycle.

    ``flows`` is low exactly while ``steal_write`` is high, from a register of its own: it reaches the thousands of
    flip-flops that hold what jobs are about to write, and the other one what decides.
    """

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "bus": In(wishbone.Signature(addr_width=(ACT_WINDOW - 1).bit_length() - 2)),
                "read": Out(ReadSignature(config)),
                "wants_read": Out(1),
                "hold": In(1),
                "write": Out(WriteSignature(config)),
                "steal_write": Out(1),
                "flows": Out(1, init=1),
                "bad_address": Out(1),
                "address": Out(32),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        bus = self.bus
        addr = Cat(0, 0, bus.adr)
        reading, answered, writes = self.wants_read, Signal(), Signal()
        outside = addr >= self.config.act_buffer_bytes
        request = bus.cyc & bus.stb & ~(bus.ack | reading | answered)
        m.d.comb += [
            writes.eq(request & bus.we & ~outside),
            self.read.enable.eq(reading & ~self.hold),
        ]
        with m.If(request):
            m.d.sync += [
                self.read.addr.eq(addr),
                self.write.addr.eq(addr),
                self.write.data.as_value().eq(bus.dat_w),
                self.write.mask.eq(bus.sel),
            ]
        m.d.sync += [
            self.steal_write.eq(writes),
            self.flows.eq(~writes),
            # An initiator may give up while its read waits: nothing answers then.
            reading.eq((request & ~bus.we & ~outside) | (reading & self.hold & bus.cyc & bus.stb)),
            answered.eq(self.read.enable & bus.cyc & bus.stb),
            bus.ack.eq((request & (bus.we | outside)) | answered),
            self.bad_address.eq(request & outside),
            self.address.eq(addr),
            bus.dat_r.eq(0),
        ]
        with m.If(answered):
            m.d.sync += bus.dat_r.eq(self.read.data.as_value()[:32])
        return m
