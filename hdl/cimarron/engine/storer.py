"""Storer: streams activations back to memory."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import EngineConfig
from ..isa import Opcode
from .act_buffer import ReadSignature
from .job import JOB_LAYOUTS
from .ports import dma_signature

__all__ = ["Storer"]


class Storer(wiring.Component):
    """Executes a STORE job: reads ``act_port_bytes`` of the activation buffer per cycle and writes whole beats.

    The first read is in the cycle after ``start``. A read brings one piece of a beat; a beat is requested in the cycle
    after its last piece was read, and the next piece is read while it is taken. So pieces follow one another in every
    cycle in which the memory takes what is there, and ``done`` comes with the answer to the last beat: whatever is read
    from memory afterwards is new. ``storing`` from the cycle after ``start`` to that one.

    Neither end needs an alignment: the buffer is read from so many bytes before ``source`` on as the first beat begins
    before ``destination``, and byte enables leave out what is before the first byte and behind the last one.

    ``steal`` takes the buffer's read port away, but not in cycles with ``hold``, during which the data read last still
    wait.
    """

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "job": In(JOB_LAYOUTS[Opcode.STORE]),
                "start": In(1),
                "storing": Out(1),
                "done": Out(1),
                "read": Out(ReadSignature(config)),
                "steal": In(1),
                "hold": Out(1),
                "dma": Out(dma_signature(config)),
                "bad_address": Out(1),
                "address": Out(32),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        port_bytes, piece_bytes = config.port_bytes, config.act_port_bytes
        port_shift = (port_bytes - 1).bit_length()
        piece_shift = (piece_bytes - 1).bit_length()
        ratio = port_bytes // piece_bytes
        dma = self.dma

        # Both count from the start of the first beat, the bytes before the first one included.
        bytes_left = Signal(config.act_addr_bits + port_shift + 1)
        reads_left = Signal(config.act_addr_bits + port_shift + 1 - piece_shift)
        head = Signal(port_shift)
        length = Signal.like(bytes_left)
        m.d.comb += [head.eq(self.job.destination), length.eq(self.job.length + head)]

        # Read: the piece stays where the buffer shows it until it has moved on.
        read_addr = Signal(config.act_addr_bits)
        fetched = Signal()
        moves = Signal()
        m.d.comb += [
            self.read.enable.eq((reads_left != 0) & (~fetched | moves) & ~self.steal),
            self.read.addr.eq(read_addr),
            self.hold.eq(fetched & ~moves),
        ]
        with m.If(self.read.enable):
            m.d.sync += [
                fetched.eq(1),
                read_addr.eq(read_addr + piece_bytes),
                reads_left.eq(reads_left - 1),
            ]
        with m.Elif(moves):
            m.d.sync += fetched.eq(0)

        # Write: the last piece of a beat goes straight from the buffer to the memory, those before it wait.
        piece = Signal(range(max(2, ratio)))
        pieces = Signal(data.ArrayLayout(8 * piece_bytes, ratio))
        waiting = Signal.like(pieces)
        ends_beat = Signal()
        taken = Signal()
        answer = Signal()
        last_beat = bytes_left <= port_bytes
        last_piece = last_beat & (bytes_left <= ((piece + 1) << piece_shift))
        first_byte = Signal(port_shift)
        outstanding = Signal(range(8))
        adr = Signal.like(dma.adr)
        m.d.comb += [
            ends_beat.eq((piece == ratio - 1) | last_piece if ratio > 1 else 1),
            moves.eq(fetched & (~ends_beat | taken)),
            dma.stb.eq(fetched & ends_beat & (outstanding != 7)),
            dma.cyc.eq(dma.stb | (outstanding != 0)),
            dma.we.eq(1),
            dma.adr.eq(adr),
            # The last byte of a beat is never before the first one.
            dma.sel.eq(
                Cat((bytes_left > i) & (first_byte <= i if i < port_bytes - 1 else 1) for i in range(port_bytes))
            ),
            dma.dat_w.eq(pieces.as_value()),
            taken.eq(dma.stb & ~dma.stall),
            answer.eq(dma.ack | dma.err),
        ]
        for index in range(ratio):
            m.d.comb += pieces[index].eq(Mux(piece > index, waiting[index], self.read.data.as_value()))
        with m.If(moves):
            m.d.sync += [waiting.eq(pieces), piece.eq(Mux(ends_beat, 0, piece + 1))]
        with m.If(taken):
            m.d.sync += [adr.eq(adr + 1), first_byte.eq(0), bytes_left.eq(Mux(last_beat, 0, bytes_left - port_bytes))]
        m.d.sync += outstanding.eq(outstanding + taken - (answer & (outstanding != 0)))

        answered = Signal.like(adr)
        with m.If(answer):
            m.d.sync += answered.eq(answered + 1)
        # A beat that was refused is reported, and whatever is answered until then ends nothing.
        broken = Signal()
        m.d.comb += [
            self.done.eq(self.storing & ~broken & dma.ack & (bytes_left == 0) & (outstanding == 1)),
            self.bad_address.eq((outstanding != 0) & dma.err),
            self.address.eq(answered << port_shift),
        ]

        with m.If(self.done):
            m.d.sync += self.storing.eq(0)
        with m.If(self.bad_address):
            m.d.sync += broken.eq(1)
        with m.If(self.start):
            m.d.sync += [
                self.storing.eq(1),
                broken.eq(0),
                bytes_left.eq(length),
                reads_left.eq((length + piece_bytes - 1) >> piece_shift),
                read_addr.eq(self.job.source - head),
                first_byte.eq(head),
                adr.eq(self.job.destination >> port_shift),
                answered.eq(self.job.destination >> port_shift),
            ]
        return m
