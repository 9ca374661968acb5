"""im2col by address generation: from the activation buffer to one vector of rows per macro operation."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import EngineConfig
from ..isa import JOB_FIELDS, Opcode
from .act_buffer import ReadSignature
from .job import JOB_LAYOUTS

__all__ = ["Gather", "VectorLayout"]


class VectorLayout(data.StructLayout):
    """Rows of one macro operation and where it stands in the job: ``last_words`` says in the last word tile."""

    def __init__(self, config: EngineConfig):
        super().__init__(
            {"x": data.ArrayLayout(8, config.macro.rows), "last_in_tile": 1, "last_in_job": 1, "last_words": 1}
        )


class _WalkLayout(data.StructLayout):
    """Where the walk through one receptive field stands."""

    def __init__(self) -> None:
        super().__init__(
            {
                "kernel_row": 8,
                "image_row": signed(17),  # relative to the pixel's first kernel row
                "row_addr": 32,  # likewise
                "run": 8,
                "run_position": signed(24),  # relative to the pixel's first position
                "offset": 24,  # bytes into the run
                "left": 24,  # bytes of it that are left
            }
        )


class Gather(wiring.Component):
    """Walks the receptive fields of a MAC job and packs their bytes into vectors.

    Each cycle takes up to ``act_port_bytes`` contiguous bytes of a run into the next rows of the vector;
    bytes outside the image are replaced by ``pad_value``, rows beyond the last tile's ``last_rows`` are 0.
    So a vector takes the sum of ``ceil(piece / act_port_bytes)`` cycles over the pieces that the runs and the
    ends of the tile cut it into. Vectors follow one another without a bubble, except for one cycle before the
    first vector of a tile with fewer rows than the macro. The walk's state at the end of a row tile is
    the start of the next tile, so no address is ever multiplied.

    Four stages: A walks, B adds up address and padding, C reads the buffer, D rotates the bytes into the vector.

    ``steal`` takes the buffer's read port away, but not in cycles with ``hold``, during which the last data read still
    wait for the vector to leave.
    """

    #: Cycles from ``start`` to the first byte in the vector.
    latency = 5

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "job": In(JOB_LAYOUTS[Opcode.MAC]),
                "start": In(1),
                "read": Out(ReadSignature(config)),
                "steal": In(1),
                "hold": Out(1),
                "o_stream": Out(stream.Signature(VectorLayout(config))),
                "bad_address": Out(1),
                "address": Out(32),
                "bad_shape": Out(1),
                "shape_word": Out(32),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        job = self.job
        config = self.config
        rows = config.macro.rows
        port = config.act_port_bytes
        offset_bits = (port - 1).bit_length()
        row_index = range(rows)

        stall = Signal()
        advance = Signal()
        m.d.comb += advance.eq(~stall & ~self.steal)

        # Stage A: where the walk stands, in the receptive field, the image and the tiles.
        active = Signal()
        clear = Signal()
        walk = Signal(_WalkLayout())
        tile_walk = Signal(_WalkLayout())
        next_walk = Signal(_WalkLayout())
        first_walk = Signal(_WalkLayout())
        row = Signal(row_index)
        rows_left = Signal(range(rows + 1))
        image_row = Signal(signed(17))
        row_addr = Signal(32)
        tile_base = Signal(32)  # of the word tile at hand, like the position of its first pixel
        tile_position = Signal(signed(25))
        position = Signal(signed(25))
        columns_left = Signal(16)
        lines_left = Signal(16)
        row_tiles_left = Signal(16)
        word_tiles_left = Signal(16)

        run_left = walk.left
        count = Signal(range(port + 1))
        ends_run = Signal()
        ends_vector = Signal()
        last_run = Signal()
        m.d.comb += [
            first_walk.left.eq(job.run_bytes),
            count.eq(port),
            # Beside the count, not from it.
            ends_run.eq((run_left <= port) & (run_left <= rows_left)),
            ends_vector.eq((rows_left <= port) & (rows_left <= run_left)),
            last_run.eq(walk.run + 1 == job.runs),
            next_walk.eq(walk),
            next_walk.offset.eq(walk.offset + count),
            next_walk.left.eq(run_left - count),
        ]
        with m.If((run_left <= rows_left) & (run_left < port)):
            m.d.comb += count.eq(run_left)
        with m.Elif(rows_left < port):
            m.d.comb += count.eq(rows_left)
        with m.If(ends_run):
            m.d.comb += [
                next_walk.offset.eq(0),
                next_walk.left.eq(job.run_bytes),
                next_walk.run.eq(walk.run + 1),
                next_walk.run_position.eq(walk.run_position + job.run_step),
            ]
            with m.If(last_run):
                m.d.comb += [
                    next_walk.run.eq(0),
                    next_walk.run_position.eq(0),
                    next_walk.kernel_row.eq(walk.kernel_row + 1),
                    next_walk.image_row.eq(walk.image_row + job.dilation_h),
                    next_walk.row_addr.eq(walk.row_addr + job.kernel_step),
                ]

        last_column = columns_left == 1
        last_line = lines_left == 1
        last_row_tile = row_tiles_left == 1
        last_word_tile = word_tiles_left == 1

        next_base = Signal(32)
        next_position = Signal(signed(25))
        m.d.comb += [
            next_base.eq(tile_base + job.tile_base_step),
            next_position.eq(tile_position + job.tile_position_step),
        ]

        m.d.comb += self.shape_word.eq(JOB_FIELDS[Opcode.MAC]["row_tiles"].word)

        def first_pixel(base, first_position):
            m.d.sync += [
                image_row.eq(job.first_row),
                row_addr.eq(base),
                position.eq(first_position),
                columns_left.eq(job.out_width),
                lines_left.eq(job.out_height),
            ]

        def begin_word_tile(base, first_position):
            m.d.sync += [tile_base.eq(base), tile_position.eq(first_position)]
            first_pixel(base, first_position)

        def begin_tile(is_last):
            """A tile with fewer rows than the macro leaves the rest of the vector 0."""
            with m.If(is_last):
                m.d.sync += [rows_left.eq(job.last_rows), clear.eq(job.last_rows != rows)]
            with m.Else():
                m.d.sync += rows_left.eq(rows)

        def begin_vector(is_last):
            m.d.sync += [row.eq(0), rows_left.eq(Mux(is_last, job.last_rows, rows))]

        # Where the walk goes after this piece, each in one signal: whether it goes on at all is known last.
        next_column, next_line, next_row_tile, next_word_tile = Signal(), Signal(), Signal(), Signal()
        last_pixel = last_column & last_line
        m.d.comb += [
            next_column.eq(ends_vector & ~last_column),
            next_line.eq(ends_vector & last_column & ~last_line),
            next_row_tile.eq(ends_vector & last_pixel & ~last_row_tile),
            next_word_tile.eq(ends_vector & last_pixel & last_row_tile),
        ]

        with m.If(self.start):
            m.d.sync += [active.eq(1), row.eq(0), walk.eq(first_walk), tile_walk.eq(first_walk)]
            m.d.sync += [row_tiles_left.eq(job.row_tiles), word_tiles_left.eq(job.word_tiles)]
            begin_word_tile(job.in_base, job.first_position)
            begin_tile(job.row_tiles == 1)
        with m.Elif(active & advance & clear):
            m.d.sync += clear.eq(0)
        with m.Elif(active & advance):
            m.d.sync += [walk.eq(next_walk), row.eq(row + count), rows_left.eq(rows_left - count)]
            with m.If(ends_vector):
                begin_vector(last_row_tile)
            with m.If(next_column):
                m.d.sync += [walk.eq(tile_walk), columns_left.eq(columns_left - 1)]
                m.d.sync += position.eq(position + job.pixel_step)
            with m.If(next_line):
                m.d.sync += [
                    walk.eq(tile_walk),
                    columns_left.eq(job.out_width),
                    lines_left.eq(lines_left - 1),
                    position.eq(tile_position),
                    image_row.eq(image_row + job.stride_h),
                    row_addr.eq(row_addr + job.line_step),
                ]
            with m.If(next_row_tile):
                m.d.sync += [tile_walk.eq(next_walk), row_tiles_left.eq(row_tiles_left - 1)]
                first_pixel(tile_base, tile_position)
                begin_tile(row_tiles_left == 2)
            with m.If(next_word_tile):
                m.d.sync += [walk.eq(first_walk), tile_walk.eq(first_walk)]
                m.d.sync += [row_tiles_left.eq(job.row_tiles), word_tiles_left.eq(word_tiles_left - 1)]
                begin_word_tile(next_base, next_position)
                begin_tile(job.row_tiles == 1)
                with m.If(last_word_tile):
                    m.d.sync += [active.eq(0), clear.eq(0)]

        # The receptive field must end where the last row tile does. It is not awaited that the walk goes on, and a
        # cycle later its vector has not left either.
        ends = ends_run & last_run & (walk.kernel_row + 1 == job.kernel_h)
        m.d.sync += self.bad_shape.eq(active & ~self.start & ~clear & next_word_tile & ~ends)

        # What goes down the pipeline with each piece.
        piece = data.StructLayout(
            {
                "clear": 1,
                "row": row_index,
                "count": range(port + 1),
                "ends_vector": 1,
                "last_in_tile": 1,
                "last_in_job": 1,
                "last_words": 1,
            }
        )

        # Stage B: address and padding of the piece.
        b_valid = Signal()
        b = Signal(piece)
        b_image_row = Signal(signed(18))
        b_row_addr = Signal(32)
        b_base = Signal(signed(26))
        b_offset = Signal(24)
        with m.If(advance):
            m.d.sync += [
                b_valid.eq(active),
                b.clear.eq(clear),
                b.row.eq(row),
                b.count.eq(count),
                b.ends_vector.eq(ends_vector & ~clear),
                b.last_in_tile.eq(last_pixel),
                b.last_in_job.eq(last_pixel & last_row_tile & last_word_tile),
                b.last_words.eq(last_word_tile),
                b_image_row.eq(image_row + walk.image_row),
                b_row_addr.eq(row_addr + walk.row_addr),
                b_base.eq(position + walk.run_position),
                b_offset.eq(walk.offset),
            ]

        # Stage C: read.
        c_valid = Signal()
        c = Signal(piece)
        c_addr = Signal(config.act_addr_bits)
        c_inside = Signal(port)
        at = Signal(signed(27))
        row_inside = Signal()
        row_end = Signal(33)
        m.d.comb += [
            at.eq(b_base + b_offset),
            row_inside.eq((b_image_row >= 0) & (b_image_row < job.in_height)),
            row_end.eq(b_row_addr + job.row_bytes),
            self.address.eq(b_row_addr),
            self.bad_address.eq(b_valid & ~b.clear & row_inside & (row_end > config.act_buffer_bytes)),
        ]
        with m.If(advance):
            m.d.sync += [
                c_valid.eq(b_valid),
                c.eq(b),
                c_addr.eq(b_row_addr + at),
                c_inside.eq(Cat(row_inside & (at + i >= 0) & (at + i < job.row_bytes) for i in range(port))),
            ]
        m.d.comb += [
            self.read.enable.eq(c_valid & advance),
            self.read.addr.eq(c_addr),
            self.read.align.eq(c.row),
        ]

        # Stage D: byte (row + i) % port of the data read belongs to row + i. Lanes below row % port have wrapped
        # into the next block of rows.
        d_valid = Signal()
        d = Signal(piece)
        d_write = Signal(port)
        d_wrapped = Signal(port)
        d_inside = Signal(port)
        c_align = c.row[:offset_bits]
        with m.If(advance):
            m.d.sync += [d_valid.eq(c_valid), d.eq(c)]
            for lane in range(port):
                source = Signal(offset_bits, name=f"source{lane}")
                m.d.comb += source.eq(lane - c_align)
                m.d.sync += [
                    d_write[lane].eq(source < c.count),
                    d_wrapped[lane].eq((lane < c_align) if lane < port - 1 else 0),
                    d_inside[lane].eq(c_inside.bit_select(source, 1)),
                ]
        with m.Elif(~stall):
            m.d.sync += d_valid.eq(0)

        full = Signal()
        vector = Signal(VectorLayout(config))
        leaves = Signal()
        m.d.comb += [
            self.o_stream.valid.eq(full),
            self.o_stream.payload.eq(vector),
            leaves.eq(full & self.o_stream.ready),
            stall.eq(d_valid & full & ~leaves),
            self.hold.eq(stall),
        ]
        with m.If(leaves):
            m.d.sync += full.eq(0)
        with m.If(d_valid & ~stall):
            m.d.sync += [
                full.eq(d.ends_vector),
                vector.last_in_tile.eq(d.last_in_tile),
                vector.last_in_job.eq(d.last_in_job),
                vector.last_words.eq(d.last_words),
            ]
            with m.If(d.clear):
                m.d.sync += vector.x.eq(0)
            with m.Else():
                block = d.row[offset_bits:]
                blocks = [Signal(len(block) + 1, name=f"block{lane}") for lane in range(port)]
                fill = data.ArrayLayout(unsigned(8), port)
                byte = Signal(fill)
                for lane in range(port):
                    m.d.comb += [
                        blocks[lane].eq(block + d_wrapped[lane]),
                        byte[lane].eq(Mux(d_inside[lane], self.read.data[lane], job.pad_value)),
                    ]
                for index in range(rows):
                    lane = index % port
                    with m.If(d_write[lane] & (blocks[lane] == index // port)):
                        m.d.sync += vector.x[index].eq(byte[lane])
        return m
