"""UART of the RISC-V system."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.fifo import SyncFIFO, SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from ..bus import wishbone
from ..isa import UartRegister
from .registers import Registers

__all__ = ["Receiver", "Transmitter", "Uart"]


class Transmitter(wiring.Component):
    """Sends bytes as one start bit, eight data bits with the least significant first, and one stop bit.

    Members
    -------
    divisor : In(24)
        Cycles per bit.
    data : In(8)
    valid : In(1)
        There is a byte; it is taken when ``ready`` is high too.
    ready : Out(1)
    tx : Out(1)
        Line, high when idle. Frames follow one another without a gap.
    """

    divisor: In(24)
    data: In(8)
    valid: In(1)
    ready: Out(1)
    tx: Out(1, init=1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        wait = Signal(24)
        bits_left = Signal(range(10))
        shift = Signal(9)

        with m.If(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Elif(bits_left != 0):
            m.d.sync += [self.tx.eq(shift[0]), shift.eq(shift >> 1), bits_left.eq(bits_left - 1)]
            m.d.sync += wait.eq(self.divisor - 1)
        with m.Else():
            m.d.comb += self.ready.eq(1)
            with m.If(self.valid):
                m.d.sync += [self.tx.eq(0), shift.eq(Cat(self.data, Const(1, 1))), bits_left.eq(9)]
                m.d.sync += wait.eq(self.divisor - 1)
        return m


class Receiver(wiring.Component):
    """Samples each bit in its middle.

    A start bit that is gone in its middle is noise. A byte without its stop bit is dropped, and the next start bit
    awaited only after the line was high again, so that a break is not read as bytes.

    Members
    -------
    divisor : In(24)
        Cycles per bit, at least 4.
    rx : In(1)
        Line, synchronised to the clock here.
    data : Out(8)
    valid : Out(1)
        For one cycle per byte.
    """

    divisor: In(24)
    rx: In(1, init=1)
    data: Out(8)
    valid: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        line = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, line, init=1)
        wait = Signal(24)
        bit = Signal(3)

        with m.If(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.FSM():
            with m.State("IDLE"), m.If(~line):
                m.d.sync += wait.eq((self.divisor >> 1) - 1)
                m.next = "START"
            with m.State("START"), m.If(wait == 0):
                m.d.sync += wait.eq(self.divisor - 1)
                m.next = "IDLE"
                with m.If(~line):
                    m.next = "DATA"
            with m.State("DATA"), m.If(wait == 0):
                m.d.sync += [wait.eq(self.divisor - 1), self.data.eq(Cat(self.data[1:], line)), bit.eq(bit + 1)]
                with m.If(bit == 7):
                    m.next = "STOP"
            with m.State("STOP"), m.If(wait == 0):
                m.d.comb += self.valid.eq(line)
                m.next = "BREAK"
                with m.If(line):
                    m.next = "IDLE"
            with m.State("BREAK"), m.If(line):
                m.next = "IDLE"
        return m


class Uart(wiring.Component):
    """Serial port: 8 data bits, no parity, one stop bit; 16 bytes of buffer each way.

    A byte written while the transmitter has no room is dropped, and so is a byte received while the buffer is full,
    which sets the overrun flag. A divisor below 4 or beyond 24 bits is replaced by the nearest that works; a new one
    holds from the next bit on.

    Parameters
    ----------
    clock_hz : int
        Frequency of the clock, in hertz.
    baud : int
        Bit rate after reset, in bits per second; at most a quarter of the clock.
    block_ram : bool
        Whether the buffers lie in memories that take a cycle to read, where there are no smaller ones.

    Members
    -------
    bus : In(wishbone.Signature(addr_width=2))
        Registers, see `cimarron.isa.UartRegister`; acknowledged in the next cycle.
    tx : Out(1)
    rx : In(1)
        May change at any time; two flip-flops synchronise it.
    irq : Out(1)
        While a received byte waits.

    Raises
    ------
    TypeError
        If a parameter is not a positive integer.
    ValueError
        If a bit would last fewer than 4 cycles, or more than 24 bits can count.
    """

    buffer_bytes = 16
    min_divisor = 4
    max_divisor = 2**24 - 1

    bus: In(wishbone.Signature(addr_width=Registers.address_bits(UartRegister)))
    tx: Out(1, init=1)
    rx: In(1, init=1)
    irq: Out(1)

    def __init__(self, clock_hz: int, baud: int, *, block_ram: bool = False) -> None:
        for name, value in (("Clock frequency", clock_hz), ("Baud rate", baud)):
            if not isinstance(value, int) or value < 1:
                raise TypeError(f"{name} must be a positive integer, not {value!r}")
        self._divisor = (clock_hz + baud // 2) // baud
        if not self.min_divisor <= self._divisor <= self.max_divisor:
            raise ValueError(
                f"Baud rate {baud} at a clock of {clock_hz} Hz needs {self._divisor} cycles per bit,"
                f" not {self.min_divisor} to {self.max_divisor}"
            )
        self._buffer = SyncFIFOBuffered if block_ram else SyncFIFO
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.transmitter = transmitter = Transmitter()
        m.submodules.receiver = receiver = Receiver()
        m.submodules.sent = sent = self._buffer(width=8, depth=self.buffer_bytes)
        m.submodules.received = received = self._buffer(width=8, depth=self.buffer_bytes)
        divisor = Signal(24, init=self._divisor)
        overrun = Signal()
        registers = Registers(
            m,
            self.bus,
            {
                UartRegister.DATA: Mux(received.r_rdy, Cat(received.r_data, Const(1, 1)), 0),
                UartRegister.STATUS: Cat(sent.w_rdy, received.r_rdy, overrun, transmitter.ready & ~sent.r_rdy),
                UartRegister.DIVISOR: divisor,
            },
        )

        m.d.comb += [
            sent.w_data.eq(registers.written()),
            sent.w_en.eq(registers.writes(UartRegister.DATA)),
            transmitter.divisor.eq(divisor),
            transmitter.data.eq(sent.r_data),
            transmitter.valid.eq(sent.r_rdy),
            sent.r_en.eq(transmitter.ready),
            self.tx.eq(transmitter.tx),
            receiver.divisor.eq(divisor),
            receiver.rx.eq(self.rx),
            received.w_data.eq(receiver.data),
            received.w_en.eq(receiver.valid),
            received.r_en.eq(registers.reads(UartRegister.DATA)),
            self.irq.eq(received.r_rdy),
        ]

        with m.If(receiver.valid & ~received.w_rdy):
            m.d.sync += overrun.eq(1)
        with m.Elif(registers.reads(UartRegister.STATUS)):
            m.d.sync += overrun.eq(0)

        with m.If(registers.writes(UartRegister.DIVISOR)):
            wanted = registers.written(divisor)
            below, beyond = wanted < self.min_divisor, wanted > self.max_divisor
            m.d.sync += divisor.eq(Mux(below, self.min_divisor, Mux(beyond, self.max_divisor, wanted)))
        return m
