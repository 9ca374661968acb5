"""The vector path: windows of bytes, their maxima, and functions of a byte or two."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import EngineConfig
from ..isa import Opcode
from .act_buffer import ReadSignature
from .job import JOB_LAYOUTS

__all__ = ["Vector", "VectorBeatLayout"]


class VectorBeatLayout(data.StructLayout):
    """Sums on their way to the requantisers, one per lane, and where their outputs go."""

    def __init__(self, config: EngineConfig):
        super().__init__(
            {
                "valid": 1,
                "value": data.ArrayLayout(signed(32), config.lanes),
                "addr": 32,
                "mask": config.lanes,
                "last": 1,
            }
        )


class Vector(wiring.Component):
    """Executes the walk of a VECTOR job and sends sums of table entries to the drain.

    A pixel is cut into pieces of ``act_port_bytes``. Of each piece, one byte window per cycle is read: the positions
    of the window, row by row, then the second operand, if there is one. The bytes of the piece are then looked up,
    ``lanes`` per cycle, while the next piece is read. So pieces follow one another every ``max(reads, lookups)``
    cycles, where ``reads = kernel_h * kernel_w + binary`` and ``lookups = ceil(bytes of the piece before / lanes)``;
    positions outside the image take their cycle, too.

    Stages: A walks, B adds up address and padding, C reads the buffer, D takes what was read, E keeps the maximum,
    F looks up, G adds. A to D wait for ``steal``, and all of them for F; F and G wait for ``advance``, and F for
    ``tables_ready``.

    ``steal`` takes the buffer's read port away, but not in cycles with ``hold``, during which the data read last still
    wait.
    """

    #: Cycles from ``start`` to the first lookup, less the reads of a piece.
    latency = 5

    def __init__(self, config: EngineConfig):
        self.config = config
        lanes = data.ArrayLayout(8, config.lanes)
        table = data.ArrayLayout(signed(32), config.lanes)
        super().__init__(
            {
                "job": In(JOB_LAYOUTS[Opcode.VECTOR]),
                "start": In(1),
                "read": Out(ReadSignature(config)),
                "steal": In(1),
                "hold": Out(1),
                "tables_ready": In(1),
                "lookup": Out(1),
                "x": Out(lanes),
                "z": Out(lanes),
                "a": In(table),
                "b": In(table),
                "beat": Out(VectorBeatLayout(config)),
                "advance": In(1),
                "read_done": Out(1),
                "bad_address": Out(1),
                "address": Out(32),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config, job = self.config, self.job
        port, lanes = config.act_port_bytes, config.lanes
        counts = range(port + 1)

        stall = Signal()
        advance = Signal()
        m.d.comb += advance.eq(~stall & ~self.steal)

        # Stage A. Pixels have a first row and position; so have the windows that move over the image from there.
        active = Signal()
        columns_left, lines_left = Signal(16), Signal(16)
        kernel_rows_left, kernel_columns_left = Signal(8), Signal(8)
        second = Signal()  # the second operand's turn
        offset, bytes_left = Signal(24), Signal(24)
        line_row, line_addr = Signal(signed(17)), Signal(32)
        pixel_position = Signal(signed(25))
        image_row, row_addr, position = Signal(signed(17)), Signal(32), Signal(signed(25))
        out_pixel, second_pixel = Signal(32), Signal(32)

        count = Signal(counts)
        last_piece, last_column, last_line = Signal(), Signal(), Signal()
        last_kernel_column, ends_window, ends_piece = Signal(), Signal(), Signal()
        m.d.comb += [
            last_piece.eq(bytes_left <= port),
            count.eq(Mux(last_piece, bytes_left, port)),
            last_kernel_column.eq(kernel_columns_left == 1),
            ends_window.eq(last_kernel_column & (kernel_rows_left == 1)),
            ends_piece.eq(second | ends_window & ~job.binary),
            last_column.eq(columns_left == 1),
            last_line.eq(lines_left == 1),
        ]

        def begin_window(row, address, at):
            m.d.sync += [kernel_rows_left.eq(job.kernel_h), kernel_columns_left.eq(job.kernel_w), second.eq(0)]
            m.d.sync += [image_row.eq(row), row_addr.eq(address), position.eq(at)]

        with m.If(self.start):
            m.d.sync += [active.eq(1), offset.eq(0), bytes_left.eq(job.pixel_bytes)]
            m.d.sync += [columns_left.eq(job.out_width), lines_left.eq(job.out_height)]
            m.d.sync += [line_row.eq(job.first_row), line_addr.eq(job.in_base), pixel_position.eq(job.first_position)]
            m.d.sync += [out_pixel.eq(job.out_base), second_pixel.eq(job.second_base)]
            begin_window(job.first_row, job.in_base, job.first_position)
        with m.Elif(active & advance):
            with m.If(~ends_piece):
                m.d.sync += [kernel_columns_left.eq(kernel_columns_left - 1), position.eq(position + job.column_step)]
                with m.If(last_kernel_column):
                    m.d.sync += [kernel_columns_left.eq(job.kernel_w), position.eq(pixel_position)]
                    m.d.sync += [kernel_rows_left.eq(kernel_rows_left - 1), image_row.eq(image_row + 1)]
                    m.d.sync += row_addr.eq(row_addr + job.row_bytes)
                with m.If(ends_window):
                    m.d.sync += second.eq(1)
            with m.Elif(~last_piece):
                m.d.sync += [offset.eq(offset + port), bytes_left.eq(bytes_left - port)]
                begin_window(line_row, line_addr, pixel_position)
            with m.Else():
                m.d.sync += [
                    offset.eq(0),
                    bytes_left.eq(job.pixel_bytes),
                    out_pixel.eq(out_pixel + job.out_pixel_step),
                    second_pixel.eq(second_pixel + job.second_pixel_step),
                ]
                with m.If(~last_column):
                    next_position = Signal.like(position)
                    m.d.comb += next_position.eq(pixel_position + job.pixel_step)
                    m.d.sync += [columns_left.eq(columns_left - 1), pixel_position.eq(next_position)]
                    begin_window(line_row, line_addr, next_position)
                with m.Else():
                    next_row, next_addr = Signal.like(line_row), Signal.like(line_addr)
                    m.d.comb += [next_row.eq(line_row + job.stride_h), next_addr.eq(line_addr + job.line_step)]
                    m.d.sync += [columns_left.eq(job.out_width), lines_left.eq(lines_left - 1)]
                    m.d.sync += [line_row.eq(next_row), line_addr.eq(next_addr), pixel_position.eq(job.first_position)]
                    begin_window(next_row, next_addr, job.first_position)
                    with m.If(last_line):
                        m.d.sync += active.eq(0)

        # What goes down the pipeline with each read.
        step = data.StructLayout(
            {"count": counts, "second": 1, "ends_piece": 1, "last": 1, "out_addr": 32},
        )

        # Stage B: address and padding.
        b_valid = Signal()
        b = Signal(step)
        b_row, b_base, b_position, b_offset = Signal(signed(17)), Signal(32), Signal(signed(25)), Signal(24)
        with m.If(advance):
            m.d.sync += [
                b_valid.eq(active),
                b.count.eq(count),
                b.second.eq(second),
                b.ends_piece.eq(ends_piece),
                b.last.eq(last_piece & last_column & last_line),
                b.out_addr.eq(out_pixel + offset),
                b_row.eq(image_row),
                b_base.eq(Mux(second, second_pixel, row_addr)),
                b_position.eq(Mux(second, 0, position)),
                b_offset.eq(offset),
            ]
        row_inside, inside = Signal(), Signal()
        needed = Signal(24)  # bytes from the base on that have to be in the buffer
        end = Signal(33)
        m.d.comb += [
            row_inside.eq((b_row >= 0) & (b_row < job.in_height)),
            inside.eq(row_inside & (b_position >= 0) & (b_position + job.pixel_bytes <= job.row_bytes)),
            needed.eq(Mux(b.second, job.pixel_bytes, job.row_bytes)),
            end.eq(b_base + needed),
            self.address.eq(b_base),
            self.bad_address.eq(b_valid & (b.second | row_inside) & (end > config.act_buffer_bytes)),
        ]

        # Stage C: read.
        c_valid = Signal()
        c = Signal(step)
        c_addr = Signal(config.act_addr_bits)
        c_inside = Signal()
        with m.If(advance):
            m.d.sync += [c_valid.eq(b_valid), c.eq(b), c_inside.eq(inside | b.second)]
            m.d.sync += c_addr.eq(b_base + b_position + b_offset)
        m.d.comb += [self.read.enable.eq(c_valid & advance), self.read.addr.eq(c_addr)]

        # Stage D: the bytes that were read, which come from memories all over an FPGA.
        d_valid = Signal()
        d = Signal(step)
        d_compares = Signal()
        waits = Signal()
        with m.If(advance):
            m.d.sync += [d_valid.eq(c_valid), d.eq(c), d_compares.eq(c_inside & ~c.second)]
        with m.Elif(~stall):
            m.d.sync += d_valid.eq(0)
        m.d.comb += [stall.eq(d_valid & waits), self.hold.eq(stall)]

        # Stage E: the maximum so far, in bytes whose order is that of their values.
        e_valid = Signal()
        e = Signal(step)
        e_compares = Signal()
        e_data = Signal(data.ArrayLayout(8, port))
        with m.If(~waits):
            m.d.sync += [e_valid.eq(d_valid), e.eq(d), e_compares.eq(d_compares), e_data.eq(self.read.data)]
        most = Signal(data.ArrayLayout(8, port))
        merged = Signal.like(most)
        raw = Signal.like(most)
        sign = job.x_signed << 7
        for index in range(port):
            value = Signal(8, name=f"value{index}")
            m.d.comb += [
                value.eq(e_data[index] ^ sign),
                merged[index].eq(Mux(e_compares & (value > most[index]), value, most[index])),
                raw[index].eq(merged[index] ^ sign),
            ]
        taken = e_valid & ~waits
        m.d.comb += self.read_done.eq(taken)
        with m.If(taken):
            m.d.sync += most.eq(Mux(e.ends_piece, 0, merged))

        # Stage F: look up, lowest bytes first.
        f_x, f_z = Signal(8 * port), Signal(8 * port)
        f_left = Signal(counts)
        f_any, f_few = Signal(), Signal()  # of them are left, and not more than lanes: everything before waits for it
        f_addr = Signal(32)
        f_last = Signal()
        moves = Signal()
        m.d.comb += [
            moves.eq(f_any & self.advance & self.tables_ready),
            waits.eq(e_valid & e.ends_piece & f_any & ~(moves & f_few)),
            self.lookup.eq(self.advance),
            self.x.as_value().eq(f_x),
            self.z.as_value().eq(f_z),
        ]
        with m.If(moves):
            m.d.sync += [
                f_x.eq(f_x >> 8 * lanes),
                f_z.eq(f_z >> 8 * lanes),
                f_left.eq(f_left - lanes),
                f_any.eq(~f_few),
                f_few.eq(f_left <= 2 * lanes),
                f_addr.eq(f_addr + lanes),
            ]
        with m.If(taken & e.ends_piece):
            m.d.sync += [
                f_x.eq(raw.as_value()),
                f_z.eq(e_data.as_value()),
                f_left.eq(e.count),
                f_any.eq(1),
                f_few.eq(e.count <= lanes),
                f_addr.eq(e.out_addr),
                f_last.eq(e.last),
            ]

        # Stage G: add what the tables say.
        g_valid = Signal()
        g_mask = Signal(lanes)
        g_addr = Signal(32)
        g_last = Signal()
        with m.If(self.advance):
            m.d.sync += [
                g_valid.eq(moves),
                g_mask.eq(Cat(f_left > lane for lane in range(lanes))),
                g_addr.eq(f_addr),
                g_last.eq(f_last & f_few),
            ]
        m.d.comb += [
            self.beat.valid.eq(g_valid),
            self.beat.addr.eq(g_addr),
            self.beat.mask.eq(g_mask),
            self.beat.last.eq(g_last),
        ]
        for lane in range(lanes):
            m.d.comb += self.beat.value[lane].eq(self.a[lane] + Mux(job.binary, self.b[lane], 0))
        return m
