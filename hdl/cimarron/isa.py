"""The contract between hardware and software; every number in it exists once, here.

Address map, registers, custom instructions, job descriptors, error codes, the program image and the
mailbox. ``python -m cimarron.isa`` prints it as the C header of the firmware. Standard library only.
"""

import enum
from dataclasses import dataclass

__all__ = [
    "ACT_WINDOW", "BOOT_BASE", "ENGINE_BASE", "ENGINE_ID", "EVENT_SHIFT", "FLASH_BASE", "FLASH_FIRMWARE",
    "FLASH_MAGIC", "HOST_ANSWER", "HOST_DATA_BYTES", "HOST_IDENTITY", "HOST_RESULT", "HOST_VERSION", "JOB_BYTES",
    "JOB_FIELDS", "JOB_WORDS", "MAILBOX_OFFSET", "PARAM_BYTES", "PROGRAM_HEADER", "PROGRAM_MAGIC", "PROGRAM_OFFSET",
    "PROGRAM_VERSION", "RAM_BASE", "REGISTER_BITS", "SLIP_END", "SLIP_ESC", "SLIP_ESC_END", "SLIP_ESC_ESC",
    "SOFTMAX_VALUES", "SUM_DEPTH", "SYSTEM_BASE", "TABLE_WORDS", "TIMER_BASE", "UART_BASE", "UNCACHED", "WINDOW_WORDS",
    "Bits", "EngineError", "Event", "Field", "FlashRegister", "HostAnswer", "HostCommand", "HostRequest", "Instruction",
    "Interrupt", "JobEvent", "MacroFact", "MacroInstruction", "Mailbox", "Opcode", "OutFormat", "Profile", "Register",
    "RunStatus", "Step", "SystemRegister", "TimerRegister", "UartRegister", "c_header", "pack_job", "unpack_job",
]  # fmt: skip

# Address map (bytes). Addresses with bit 31 set bypass the CPU's caches; RAM appears both ways.
UNCACHED = 0x8000_0000
RAM_BASE = 0x4000_0000
ENGINE_BASE = 0xE000_0000
UART_BASE = 0xF000_0000
TIMER_BASE = 0xF000_1000
SYSTEM_BASE = 0xF000_2000

# Only where the engine is software: the memory with the first instructions, the pins of the flash, and where in the
# flash the firmware lies: `FLASH_MAGIC`, its bytes, a multiple of 4, their CRC-32 as zlib's, then the firmware.
BOOT_BASE = 0x0000_0000
FLASH_BASE = 0xF000_3000
FLASH_FIRMWARE = 0x10_0000
FLASH_MAGIC = 0x464D4943  # "CIMF"

#: Byte offset of the activation buffer inside the engine's window; registers start at offset 0.
ACT_WINDOW = 0x10_0000

#: Reads back from `Register.ID`: "CIM" and the version of the register map.
ENGINE_ID = 0x43494D02

# Memory layout, as offsets from RAM_BASE: firmware and its stack, the mailbox, the program image.
MAILBOX_OFFSET = 0x7F00
PROGRAM_OFFSET = 0x8000


class Register(enum.IntEnum):
    """Byte offsets of the engine's 32-bit registers."""

    ID = 0x00  #: read: ENGINE_ID
    CONFIG_HASH = 0x04  #: read: hash of the configuration the hardware was generated from
    CONTROL = 0x08  #: write: bit 0 aborts everything, empties the queue and clears error and counters
    STATUS = 0x0C  #: read: bits 0 busy, 1 error, 2 fetching; 15..8 jobs in the engine, 31..16 free queue words
    ERROR = 0x10  #: read: EngineError of the first failure, sticky until cleared
    ERROR_INFO = 0x14  #: read: the offending address, opcode, width or register
    IRQ_ENABLE = 0x18  #: read/write: bit 0 error, bit 1 idle
    IRQ_PENDING = 0x1C  #: read: bit 0 error, bit 1 idle since the last job; write 1 clears bit 1
    JOB = 0x20  #: write: the next word of a job descriptor
    RETIRED = 0x24  #: read: jobs completed since clear
    BUSY = 0x28  #: read: cycles in which a job was in the engine
    COMPUTE = 0x2C  #: read: cycles in which the macro took in a bit plane
    STALL_INPUT = 0x30  #: read: cycles the macro waited for activations
    STALL_WEIGHTS = 0x34  #: read: cycles the macro waited for a weight set
    STALL_OUTPUT = 0x38  #: read: cycles the macro waited for results to drain
    OPERATIONS = 0x3C  #: read: macro operations, and window positions of vector jobs, completed
    FETCH_ADDRESS = 0x40  #: read/write: memory byte address of descriptors, a multiple of the memory port's width
    FETCH_JOBS = 0x44  #: write: fetch so many descriptors from FETCH_ADDRESS on; read: how many are still to be fetched
    SELF_TEST = 0x48  #: write: bit 0 tests the macro; read: bits 0 running, 1 done, 2 cells failed, 3 adders failed
    SELF_TEST_ADDRESS = 0x4C  #: read: first failure: bits 15..0 column, 27..16 row, 31..28 set (cells)


class Instruction(enum.IntEnum):
    """CFU function (funct3, with funct7 = 0) of the custom-0 instructions."""

    READ = 0  #: rd = register at byte offset rs1
    WRITE = 1  #: register at byte offset rs1 = rs2; rd = 0
    PUSH = 2  #: append job words rs1 and rs2; rd = 1, or 0 when the queue has no room and nothing was taken
    FETCH = 3  #: fetch rs2 descriptors from byte address rs1 on; rd = 1, or 0 while others are fetched


class MacroInstruction(enum.IntEnum):
    """Function (funct3, with funct7 = 0) of the custom-0 instructions that drive a macro, where the engine is software.

    Columns, rows and sets are those of `cimarron.macro.macro.Macro`. What is not said is ignored, and rd = 0.
    """

    DESCRIBE = 0  #: rd = the `MacroFact` rs1
    WEIGHTS = 1  #: write rs1, rs2: bits 9..0 row, 15..10 beat, 19..16 index of the weight width, 20 signed, 31..24 set
    ACTIVATIONS = 2  #: append the bytes of rs1, then those of rs2, to the vector; it keeps the last ``rows``
    MULTIPLY = 3  #: rs1: bits 3..0 activation bits, 4 signed, 15..8 set; rd = 1, or 0 if the last result is still there
    RESULT = 4  #: rd = column rs1 of the result, or 0 if there is none; rs2 = 1 for the last that is asked for
    JOB = 5  #: tell the monitor the `JobEvent` rs1


class MacroFact(enum.IntEnum):
    """What software has to know of the macro and of the configuration that a program is compiled for."""

    CONFIG_HASH = 0  #: hash of the configuration the hardware was generated from
    ROWS = 1
    WORDS = 2
    WIDTHS = 3  #: bits 7..0 of a cell, 15..8 of the widest weight, 23..16 of the widest activation
    ACT_BUFFER_BYTES = 4
    PSUM_ENTRIES = 5


class JobEvent(enum.IntEnum):
    """What software that takes the engine's place says about its jobs."""

    CLEARED = 0  #: what was counted before does not count
    BEGUN = 1
    RETIRED = 2
    FAILED = 3


class FlashRegister(enum.IntEnum):
    """Byte offsets of the registers at FLASH_BASE."""

    PINS = 0x00  #: write: bit 0 clock, 1 data to the flash, 2 select, low to talk; read: bit 0 data from the flash


class UartRegister(enum.IntEnum):
    """Byte offsets of the UART's registers."""

    DATA = 0x00  #: write: send a byte; read: bits 7..0 received byte, bit 8 set if there was one (and takes it)
    STATUS = 0x04  #: read: bits 0 room to send, 1 a byte was received, 2 overrun (read clears), 3 nothing left to send
    DIVISOR = 0x08  #: read/write: clock cycles per bit


class TimerRegister(enum.IntEnum):
    """Byte offsets of the timer's registers; the counter is 64 bits and counts clock cycles."""

    COUNT_LOW = 0x00  #: read: latches COUNT_HIGH
    COUNT_HIGH = 0x04  #: read: upper half of the count, as of the last read of `COUNT_LOW`
    COMPARE_LOW = 0x08  #: read/write: interrupt while count >= compare
    COMPARE_HIGH = 0x0C  #: read/write: upper half; all ones after reset, like the lower
    CONTROL = 0x10  #: read/write: bit 0 interrupt enable


class SystemRegister(enum.IntEnum):
    """Byte offsets of the system controller's registers."""

    EVENT = 0x00  #: write: `Event` in bits 31..24, argument in bits 23..0, for whoever watches the chip
    BUS_ERROR = 0x04  #: read: bit 0 an unmapped address was accessed, bit 1 it was a write; write clears
    BUS_ERROR_ADDRESS = 0x08  #: read: byte address of the first unmapped access since clear
    RAM_BYTES = 0x0C  #: read: size of the main memory
    CLOCK_HZ = 0x10  #: read: clock frequency
    TRAPPED = 0x14  #: read: bit 0 the core started again after an instruction it cannot execute; write clears


@dataclass(frozen=True)
class Bits:
    """Part of a register.

    Parameters
    ----------
    low, bits : int
        Position of the least significant bit, width.
    access : str
        ``r``, ``w`` or ``rw``; what a read or a write clears besides is said by ``clears``.
    clears : str
        ``one``: writing 1 clears it; ``write``: writing anything does; ``read``: reading does.
    """

    low: int
    bits: int
    access: str
    clears: str = ""


#: Parts of the registers that have any, by enumeration: members of two may be equal. Others are one number each.
REGISTER_BITS: dict[type[enum.IntEnum], dict[enum.IntEnum, dict[str, Bits]]] = {
    Register: {
        Register.CONTROL: {"abort": Bits(0, 1, "w")},
        Register.STATUS: {
            "busy": Bits(0, 1, "r"),
            "error": Bits(1, 1, "r"),
            "fetching": Bits(2, 1, "r"),
            "jobs": Bits(8, 8, "r"),
            "free": Bits(16, 16, "r"),
        },
        Register.IRQ_ENABLE: {"error": Bits(0, 1, "rw"), "idle": Bits(1, 1, "rw")},
        Register.IRQ_PENDING: {"error": Bits(0, 1, "r"), "idle": Bits(1, 1, "rw", clears="one")},
        Register.SELF_TEST: {
            "running": Bits(0, 1, "rw"),
            "done": Bits(1, 1, "r"),
            "cells": Bits(2, 1, "r"),
            "adders": Bits(3, 1, "r"),
        },
        Register.SELF_TEST_ADDRESS: {
            "column": Bits(0, 16, "r"),
            "row": Bits(16, 12, "r"),
            "set": Bits(28, 4, "r"),
        },
    },
    UartRegister: {
        UartRegister.DATA: {"data": Bits(0, 8, "rw"), "valid": Bits(8, 1, "r", clears="read")},
        UartRegister.STATUS: {
            "room": Bits(0, 1, "r"),
            "received": Bits(1, 1, "r"),
            "overrun": Bits(2, 1, "r", clears="read"),
            "idle": Bits(3, 1, "r"),
        },
    },
    TimerRegister: {TimerRegister.CONTROL: {"enable": Bits(0, 1, "rw")}},
    SystemRegister: {
        SystemRegister.EVENT: {"argument": Bits(0, 24, "w"), "code": Bits(24, 8, "w")},
        SystemRegister.BUS_ERROR: {
            "error": Bits(0, 1, "rw", clears="write"),
            "write": Bits(1, 1, "rw", clears="write"),
        },
        SystemRegister.TRAPPED: {"trapped": Bits(0, 1, "rw", clears="write")},
    },
}


class Event(enum.IntEnum):
    """What the firmware announces through `SystemRegister.EVENT`."""

    READY = 1  #: argument: RunStatus after boot or after loading a program
    DONE = 2  #: argument: RunStatus of the inference
    STEP = 3  #: argument: index of the CPU step that finished
    TEST = 4  #: argument: 0 pass, otherwise the number of the failed test
    TRAP = 5  #: argument: mcause


EVENT_SHIFT = 24


class Interrupt(enum.IntEnum):
    """Numbers of the CPU's interrupts: bits of its mask, CSR 0xBC0, and of what is pending, CSR 0xFC0.

    All are levels. Bit 31 of the mask is not an interrupt: it enables the custom-0 instructions.
    """

    ENGINE = 0
    BUS_ERROR = 1  #: an access that nobody answered, see `SystemRegister.BUS_ERROR`
    UART = 2
    TIMER = 3


class EngineError(enum.IntEnum):
    """Sticky error codes of the engine; `Register.ERROR_INFO` tells more."""

    NONE = 0
    BAD_OPCODE = 1  #: info: the opcode
    BAD_WIDTH = 2  #: info: the descriptor's control word
    BAD_SHAPE = 3  #: info: the number of the first descriptor word that makes the job impossible
    BAD_ACT_ADDRESS = 4  #: info: end of a LOAD or STORE, address of the image row, or first output, beyond the buffer
    BAD_MEMORY_ADDRESS = 5  #: info: byte address the memory port refused
    PSUM_OVERFLOW = 6  #: info: psum entries the job needs
    QUEUE_OVERFLOW = 7  #: info: word written to a full queue, or to FETCH_JOBS while others are fetched
    BAD_REGISTER = 8  #: info: byte offset of the register that does not exist or does not allow the access
    BAD_INSTRUCTION = 9  #: info: CFU function
    BAD_FETCH = 10  #: info: address of descriptors that is misaligned, has none, or interrupts one being pushed
    NOT_IDLE = 11  #: info: byte offset of the register that wants an idle engine


class Opcode(enum.IntEnum):
    """Bits 7..0 of a job's first word."""

    LOAD = 1  #: copy from memory to the activation buffer
    MAC = 2  #: fully connected or convolution layer (or a stripe of one)
    VECTOR = 3  #: elementwise function of one or two tensors of bytes, or a maximum pool
    STORE = 4  #: copy from the activation buffer to memory


class OutFormat(enum.IntEnum):
    """What a job writes per output; VECTOR jobs write bytes."""

    INT8 = 0  #: requantised, signed
    UINT8 = 1  #: requantised, unsigned
    INT32 = 2  #: bias added, not requantised


class Profile(enum.IntEnum):
    """Rounding profile of the requantiser."""

    TFLM = 0  #: gemmlowp: saturating rounding doubling high multiply, then rounding divide by a power of two
    ONNX = 1  #: rint(float32(acc) * float32(scale)), as ONNX Runtime


@dataclass(frozen=True)
class Field:
    """Where a job descriptor holds one number.

    Parameters
    ----------
    word, low, bits : int
        Word of the descriptor, position of the least significant bit, width.
    doc : str
    signed : bool
        Whether software reads and writes it as two's complement.
    """

    word: int
    low: int
    bits: int
    doc: str
    signed: bool = False


#: 32-bit words of a job descriptor, used or not: whole beats of any memory port.
JOB_WORDS = 32
JOB_BYTES = 4 * JOB_WORDS

#: Job descriptor, by opcode. ``opcode`` itself is bits 7..0 of word 0 in each.
#:
#: A MAC job walks its input as im2col would: per output pixel, ``kernel_h`` kernel rows of ``runs`` runs of
#: ``run_bytes`` contiguous bytes (all taps and channels of a kernel row are one run, unless dilated). Their
#: concatenation, cut every ``rows`` bytes, gives the row tiles. Positions are bytes relative to the start of an image
#: row; bytes outside [0, row_bytes) or outside [0, in_height) image rows read as ``pad_value``.
#: Loop order: word tile, row tile, output pixel. Word tiles may read different channels (``tile_position_step``,
#: ``tile_base_step``): a depthwise layer is a job whose tiles hold a few channels each, with weights where row and
#: output share a channel.
#:
#: A pixel may stand for a block of neighbouring ones that share one walk. The outputs of a tile are groups of
#: ``group_words`` each, ``group_columns`` side by side, then further lines of as many: output j belongs to group
#: g = j // group_words in column g % group_columns and line g // group_columns of the block, and lies at ``group_step``
#: times that column plus ``group_line_step`` times that line. Of the last block of a line only ``edge_columns`` columns
#: are written, of the last line of blocks ``edge_lines`` lines.
#:
#: A VECTOR job walks its input alike: per output pixel, a window of ``kernel_h`` x ``kernel_w`` positions of
#: ``pixel_bytes`` bytes. Byte by byte it keeps the largest, x, over the positions that lie completely inside the image;
#: where there is none, x is the lowest value. Output i of a pixel is the requantised sum of table entry ``x`` and, if
#: the job is binary, entry ``z`` of the second table, for byte i of the second operand's pixel. Sums wrap. Fields that
#: MAC and VECTOR jobs share lie in the same bits. The output may be any operand of an elementwise job, in place.
JOB_FIELDS: dict[Opcode, dict[str, Field]] = {
    Opcode.LOAD: {
        "opcode": Field(0, 0, 8, "Opcode.LOAD"),
        "source": Field(1, 0, 32, "memory byte address, a multiple of the memory port's width"),
        "destination": Field(2, 0, 32, "activation buffer byte address, a multiple of the buffer port's width"),
        "length": Field(3, 0, 32, "bytes, at least 1; the last beat is cut to the length"),
    },
    Opcode.STORE: {
        "opcode": Field(0, 0, 8, "Opcode.STORE"),
        "destination": Field(1, 0, 32, "memory byte address, of any alignment"),
        "source": Field(2, 0, 32, "activation buffer byte address, of any alignment"),
        "length": Field(3, 0, 32, "bytes, at least 1"),
    },
    Opcode.MAC: {
        "opcode": Field(0, 0, 8, "Opcode.MAC"),
        "act_signed": Field(0, 8, 1, "activations are two's complement"),
        "weight_signed": Field(0, 9, 1, "weights are two's complement"),
        "act_bits": Field(0, 10, 4, "1 to 8; activation bits above are ignored"),
        "weight_bits": Field(0, 14, 5, "one of the macro's weight widths"),
        "profile": Field(0, 19, 1, "Profile"),
        "out_format": Field(0, 20, 2, "OutFormat"),
        "shared_weights": Field(0, 22, 1, "the stream holds one tile, which serves for all"),
        "in_base": Field(1, 0, 32, "activation address of position 0 of image row first_row (wraps)"),
        "row_bytes": Field(2, 0, 24, "bytes of an image row (width * channels)"),
        "in_height": Field(3, 0, 16, "image rows"),
        "first_row": Field(3, 16, 16, "image row of the first kernel row of the first pixel (-pad_top)", signed=True),
        "first_position": Field(4, 0, 24, "position of the first pixel (-pad_left * channels)", signed=True),
        "pixel_step": Field(5, 0, 24, "positions from an output pixel to the next (stride_w * channels)"),
        "line_step": Field(6, 0, 24, "bytes from an output row's input to the next's (stride_h * row_bytes)"),
        "stride_h": Field(7, 0, 16, "image rows from an output row to the next"),
        "dilation_h": Field(7, 16, 16, "image rows from a kernel row to the next"),
        "kernel_step": Field(8, 0, 24, "bytes from a kernel row to the next (dilation_h * row_bytes)"),
        "out_width": Field(9, 0, 16, "output pixels in a row"),
        "out_height": Field(9, 16, 16, "output rows"),
        "kernel_h": Field(10, 0, 8, "kernel rows"),
        "runs": Field(10, 8, 8, "runs in a kernel row"),
        "pad_value": Field(10, 16, 8, "byte read outside the image (the input zero point)"),
        "run_bytes": Field(11, 0, 24, "bytes of a run"),
        "run_step": Field(12, 0, 24, "positions from a run to the next (dilation_w * channels)"),
        "row_tiles": Field(13, 0, 16, "tiles over the reduction axis"),
        "last_rows": Field(13, 16, 16, "rows of the last row tile, 1 to rows"),
        "word_tiles": Field(14, 0, 16, "tiles over the output channels"),
        "last_words": Field(14, 16, 16, "outputs of the last word tile, 1 to outputs(weight_bits)"),
        "tile_words": Field(21, 0, 16, "outputs of every other word tile, 1 to outputs(weight_bits)"),
        "tile_position_step": Field(22, 0, 24, "positions from a word tile's input to the next's (0: all share it)"),
        "tile_base_step": Field(25, 0, 24, "bytes from a word tile's image to the next's (0: all share it)"),
        "weight_addr": Field(15, 0, 32, "memory byte address of the weight stream, a multiple of the port's width"),
        "out_base": Field(16, 0, 32, "activation address of output channel 0 of the first pixel"),
        "out_pixel_step": Field(17, 0, 24, "bytes from an output pixel to the next in its line"),
        "out_line_step": Field(26, 0, 24, "bytes from an output line to the next"),
        "out_tile_step": Field(18, 0, 24, "bytes from a word tile's outputs to the next tile's"),
        "group_words": Field(21, 16, 16, "outputs of a group, a multiple of the lanes"),
        "group_columns": Field(23, 24, 8, "groups side by side"),
        "group_step": Field(23, 0, 24, "bytes from a group to the next in its line"),
        "group_line_step": Field(24, 0, 24, "bytes from a line of groups to the next"),
        "edge_columns": Field(24, 24, 8, "columns of groups written of a line's last pixel"),
        "edge_lines": Field(25, 24, 8, "lines of groups written of the last line's pixels"),
        "out_zero_point": Field(19, 0, 8, "added after scaling, in the output's own format"),
        "clamp_min": Field(19, 8, 8, "lower bound of the output, in the output's own format"),
        "clamp_max": Field(19, 16, 8, "upper bound of the output, in the output's own format"),
        "psum_entries": Field(20, 0, 24, "partial sums held: out_height * out_width * outputs if row_tiles > 1"),
    },
    Opcode.VECTOR: {
        "opcode": Field(0, 0, 8, "Opcode.VECTOR"),
        "x_signed": Field(0, 8, 1, "bytes are compared as two's complement"),
        "binary": Field(0, 9, 1, "there is a second operand"),
        "profile": Field(0, 19, 1, "Profile"),
        "out_format": Field(0, 20, 2, "OutFormat.INT8 or UINT8"),
        "in_base": Field(1, 0, 32, "activation address of position 0 of image row first_row (wraps)"),
        "row_bytes": Field(2, 0, 24, "bytes of an image row (width * channels)"),
        "in_height": Field(3, 0, 16, "image rows"),
        "first_row": Field(3, 16, 16, "image row of the first window's first row (-pad_top)", signed=True),
        "first_position": Field(4, 0, 24, "position of the first window (-pad_left * channels)", signed=True),
        "pixel_step": Field(5, 0, 24, "positions from a window to the next (stride_w * channels)"),
        "line_step": Field(6, 0, 24, "bytes from an output row's input to the next's (stride_h * row_bytes)"),
        "stride_h": Field(7, 0, 16, "image rows from an output row to the next"),
        "out_width": Field(9, 0, 16, "output pixels in a row"),
        "out_height": Field(9, 16, 16, "output rows"),
        "kernel_h": Field(10, 0, 8, "rows of a window"),
        "kernel_w": Field(10, 8, 8, "positions in a row of a window"),
        "pixel_bytes": Field(11, 0, 24, "bytes of a position, and of an output pixel (channels)"),
        "column_step": Field(12, 0, 24, "positions from one of a window to the next in its row (channels)"),
        "second_base": Field(13, 0, 32, "activation address of the second operand"),
        "second_pixel_step": Field(14, 0, 24, "bytes from a pixel of the second operand to the next"),
        "table_addr": Field(15, 0, 32, "memory byte address of the tables, a multiple of the port's width"),
        "out_base": Field(16, 0, 32, "activation address of the first output"),
        "out_pixel_step": Field(17, 0, 24, "bytes from an output pixel to the next"),
        "multiplier": Field(18, 0, 32, "of every output, as in a record"),
        "out_zero_point": Field(19, 0, 8, "added after scaling, in the output's own format"),
        "clamp_min": Field(19, 8, 8, "lower bound of the output, in the output's own format"),
        "clamp_max": Field(19, 16, 8, "upper bound of the output, in the output's own format"),
        "shift": Field(19, 24, 8, "of every output, as in a record", signed=True),
    },
}  # fmt: skip
# The weight stream of a MAC job is contiguous: for each word tile, one 16-byte record per output of the tile, then
# for each row tile its rows, each ``words * cell_bits`` bits padded to whole memory beats. A job with
# ``shared_weights`` has only the first row tile of the first word tile. Output j of a tile has weight_bits bits at bit
# j * weight_bits of a row, so bytes and nibbles lie in little-endian order.

#: Bytes of a requantisation record: int32 bias; uint32 multiplier (TFLM: Q31, not negative; ONNX: 24-bit mantissa of
#: the float32 scale, with its leading one); int32 shift (TFLM: left if positive; ONNX: scale = multiplier * 2**shift);
#: a word of 0. Every output format reads it.
PARAM_BYTES = 16

#: Entries, one int32 for each byte, of a VECTOR job's table. The second operand's table follows the first one's.
TABLE_WORDS = 256

PROGRAM_MAGIC = 0x504D4943  # "CIMP"
PROGRAM_VERSION = 5

#: Words of the program image's header, in order. Offsets count bytes from the start of the image, in little-endian
#: memory; memory addresses in jobs are absolute.
PROGRAM_HEADER = (
    "magic",  # PROGRAM_MAGIC
    "version",  # PROGRAM_VERSION
    "config_hash",  # EngineConfig.hash
    "image_bytes",  # the image as loaded, header included; a multiple of 4
    "crc32",  # zlib.crc32 of the image from byte 20 on (what follows this word)
    "memory_bytes",  # what the program uses from PROGRAM_OFFSET on: image, input and output
    "steps_offset",  # first Step
    "steps_bytes",
    "input_offset",  # where the host writes the input tensor, a multiple of the memory port's width
    "input_bytes",
    "output_offset",  # where the program leaves the output tensor
    "output_bytes",
    "model_hash",  # first 32 bits of the SHA-256 of the model file
    "reserved0",
    "reserved1",
    "reserved2",
)


#: Operands that tell the windows of a pool, which lie inside the image, and in how many orders their values are added.
WINDOW_WORDS = (
    "images", "height", "width", "channels", "kernel_h", "kernel_w", "stride_h", "stride_w", "out_height", "out_width",
    "orders",
)  # fmt: skip

#: Sums that an order may keep at a time.
SUM_DEPTH = 8

#: Most values of a row of a softmax: their sum must not overflow.
SOFTMAX_VALUES = 4095


class Step(enum.IntEnum):
    """Bits 7..0 of a step's first word; bits 31..16 are its length in words, the first one included.

    Steps from COMBINE on are computed by the CPU, which first waits for the engine and afterwards announces
    `Event.STEP`. Their tensors are addresses in the activation buffer, multiples of 4; their tables are byte offsets in
    the image, multiples of 4, which a byte indexes by its bits. A ladder is a function that never falls: the number of
    its rungs, at most 255, its lowest value, then the first input of each value above, ascending. Inputs are int32, or
    float32 with all bits but the sign inverted if negative. For each difference to the largest value of a row there is
    an exponential, an int32, or a term, a uint64 up to 2**51, and a numerator, a float32: y[i] is the ladder of its
    float32 quotient by the float32 sum of the row's terms, of 28 bits of fraction. A real is a float32. An order has
    2 n - 1 int32 for n values under a window: a value's distance in bytes from the first one puts its real number on a
    stack of `SUM_DEPTH`, -1 replaces the upper two by their sum. Output i takes order i modulo their number.
    """

    END = 0
    JOBS = 1  #: byte offset in the image, jobs: that many descriptors, one after the other
    COMBINE = 2  #: a, b, y, bytes, table of 65536 bytes: y[i] = table[256 * a[i] + b[i]]
    NARROW = 3  #: x, y, values, ladder: y[i] = ladder(x[i]) of int32
    SOFTMAX = 4  #: x, y, values of a row, rows, bits of x inverted, of y inverted, exponentials: softmax as TFLite's
    SHARE = 5  #: x, y, values of a row, rows, bits of x inverted, terms, numerators, ladder: softmax as ONNX Runtime's
    MEAN = 6  #: x, a, b, y, WINDOW_WORDS, reals, ladder, orders: y[i] = a[i] if it is b[i], else ladder(float32 sum)


class Mailbox(enum.IntEnum):
    """Byte offsets, from MAILBOX_OFFSET, of the words the host and the firmware share."""

    COMMAND = 0x00  #: HostCommand; the firmware sets it to 0 when it is done
    STATUS = 0x04  #: RunStatus
    INFO = 0x08  #: more about the status: engine error, offending word, step
    ADDRESS = 0x0C  #: Register.ERROR_INFO, or the address of a bus error
    CYCLES_LOW = 0x10  #: cycles of the last command, measured by the firmware
    CYCLES_HIGH = 0x14
    STEP = 0x18  #: index of the last step begun
    VERSION = 0x1C  #: PROGRAM_VERSION the firmware understands


class HostCommand(enum.IntEnum):
    """What the host asks for in `Mailbox.COMMAND`."""

    NONE = 0
    LOAD = 1  #: check the program image
    RUN = 2  #: one inference


class RunStatus(enum.IntEnum):
    """Answer to a host command."""

    OK = 0
    BAD_MAGIC = 1
    BAD_VERSION = 2
    BAD_CONFIG = 3  #: compiled for another hardware configuration; info: the hardware's hash
    BAD_SIZE = 4  #: does not fit the memory, or its parts lie outside it
    BAD_CRC = 5  #: info: the CRC computed
    BAD_STEP = 6  #: info: byte offset of the step
    ENGINE_ERROR = 7  #: info: EngineError; address: Register.ERROR_INFO
    BUS_ERROR = 8  #: address: the unmapped address
    TRAP = 9  #: info: mcause; address: mepc
    NOT_LOADED = 10
    BAD_COMMAND = 11
    TIMEOUT = 12  #: the engine made no progress


# Frames on the serial port, each way: RFC 1055 (SLIP) with an END before and behind. A frame is whole words: the first
# holds `HostRequest` in bits 7..0, `HostAnswer` in bits 15..8 and a sequence number in bits 31..16; the last is the
# CRC-32 of the others, as zlib's.
SLIP_END = 0xC0
SLIP_ESC = 0xDB
SLIP_ESC_END = 0xDC  #: behind SLIP_ESC: a byte of SLIP_END
SLIP_ESC_ESC = 0xDD  #: behind SLIP_ESC: a byte of SLIP_ESC

#: Version of the protocol.
HOST_VERSION = 1

#: Most bytes that one frame writes or reads, a multiple of 4.
HOST_DATA_BYTES = 1024

#: Bit of a frame's first word: it comes from the device.
HOST_ANSWER = 0x80


class HostRequest(enum.IntEnum):
    """What a host asks for on the serial port; what follows are the words of the request, then those of the answer.

    Offsets count bytes from PROGRAM_OFFSET and are multiples of 4, like numbers of bytes.
    """

    IDENTIFY = 1  #: nothing: HOST_IDENTITY. Begins a session: its sequence number is the first
    WRITE = 2  #: offset, the words to write: nothing. Whoever writes to a loaded image has to load it again
    READ = 3  #: offset, bytes: the words read
    COMMAND = 4  #: HostCommand: HOST_RESULT, once the command is done
    RATE = 5  #: cycles per bit, cycles: nothing. Afterwards, so many cycles without a sound frame end the new rate


class HostAnswer(enum.IntEnum):
    """What becomes of a request on the serial port."""

    DONE = 0
    BAD_FRAME = 1  #: damaged on the way: send it again; the sequence number is 0
    NO_SESSION = 2  #: not the sequence number that follows: the device was reset, or talks to another host
    BAD_REQUEST = 3  #: unknown, or with words that make no sense
    BAD_ADDRESS = 4  #: beyond the memory


#: Words of the answer to IDENTIFY.
HOST_IDENTITY = (
    "host_version",  # HOST_VERSION
    "program_version",  # PROGRAM_VERSION the firmware understands
    "config_hash",  # EngineConfig.hash of the hardware
    "ram_bytes",  # size of the main memory
    "clock_hz",  # clock frequency
    "divisor",  # clock cycles per bit
    "loaded_bytes",  # size of the image that RUN would run, 0 if there is none
)

#: Words of the answer to COMMAND: what the mailbox holds, and the engine's counters.
HOST_RESULT = (
    "status",  # RunStatus
    "info",
    "address",
    "step",
    "cycles_low",
    "cycles_high",
    "busy",
    "compute",
    "stall_input",
    "stall_weights",
    "stall_output",
    "operations",
)


def pack_job(opcode: Opcode, **values: int) -> list[int]:
    """Words of a job descriptor.

    Parameters
    ----------
    opcode : Opcode
    **values : int
        Every field of ``JOB_FIELDS[opcode]`` but the opcode.

    Returns
    -------
    list of int
        ``JOB_WORDS`` unsigned 32-bit words.

    Raises
    ------
    ValueError
        If a field is missing, unknown or does not fit.
    """
    fields = JOB_FIELDS[opcode]
    if unknown := values.keys() - fields.keys() | {"opcode"} & values.keys():
        raise ValueError(f"{opcode.name} job has no field {', '.join(sorted(unknown))}")
    if missing := fields.keys() - values.keys() - {"opcode"}:
        raise ValueError(f"{opcode.name} job lacks {', '.join(sorted(missing))}")
    words = [0] * JOB_WORDS
    for name, field in fields.items():
        value = int(opcode) if name == "opcode" else int(values[name])
        low, high = (-(1 << field.bits - 1), 1 << field.bits - 1) if field.signed else (0, 1 << field.bits)
        if not low <= value < high:
            raise ValueError(f"{opcode.name} job field {name} must lie in [{low}, {high}), not {value}")
        words[field.word] |= (value & (1 << field.bits) - 1) << field.low
    return words


def unpack_job(words: list[int]) -> dict[str, int]:
    """Fields of a job descriptor, by name; the inverse of `pack_job`.

    Raises
    ------
    ValueError
        If the opcode is unknown.
    """
    fields = JOB_FIELDS[Opcode(words[0] & 0xFF)]
    values = {}
    for name, field in fields.items():
        value = words[field.word] >> field.low & (1 << field.bits) - 1
        if field.signed and value >> field.bits - 1:
            value -= 1 << field.bits
        values[name] = value
    return values


def _is_constant(name: str, value: object) -> bool:
    return name.isupper() and isinstance(value, int)


def _c_field(field: Field) -> str:
    above, below = 32 - field.low - field.bits, 32 - field.bits
    if field.signed:
        return f"((int32_t)((words)[{field.word}] << {above}) >> {below})"
    return f"((words)[{field.word}] << {above} >> {below})"


def c_header() -> str:
    """This module as a C header."""
    lines = ["/* Generated by `python -m cimarron.isa`: do not edit. */"]
    lines += ["#ifndef CIMARRON_ISA_H", "#define CIMARRON_ISA_H", ""]
    lines.extend(f"#define {name} 0x{value:X}u" for name, value in globals().items() if _is_constant(name, value))
    for prefix, enumeration in {
        "REG": Register,
        "CFU": Instruction,
        "OUT": OutFormat,
        "PROFILE": Profile,
        "MACRO": MacroInstruction,
        "FACT": MacroFact,
        "JOB_EVENT": JobEvent,
        "FLASH_REGISTER": FlashRegister,
        "UART": UartRegister,
        "TIMER": TimerRegister,
        "SYSTEM": SystemRegister,
        "EVENT": Event,
        "IRQ": Interrupt,
        "ENGINE_ERROR": EngineError,
        "OP": Opcode,
        "STEP": Step,
        "MAILBOX": Mailbox,
        "COMMAND": HostCommand,
        "STATUS": RunStatus,
        "REQUEST": HostRequest,
        "ANSWER": HostAnswer,
    }.items():
        lines.append("")
        lines.extend(f"#define {prefix}_{member.name} 0x{member.value:X}u" for member in enumeration)
    lines += ["", "/* A field of the job descriptor whose words these are. */"]
    for opcode, fields in JOB_FIELDS.items():
        lines.extend(f"#define {opcode.name}_{name.upper()}(words) {_c_field(field)}" for name, field in fields.items())
    lines += ["", "/* Word index in the program header. */"]
    lines.extend(f"#define HEADER_{name.upper()} {index}u" for index, name in enumerate(PROGRAM_HEADER))
    lines += [f"#define HEADER_WORDS {len(PROGRAM_HEADER)}u", "", "/* Word index in a window. */"]
    lines.extend(f"#define WINDOW_{name.upper()} {index}u" for index, name in enumerate(WINDOW_WORDS))
    lines += [f"#define WINDOW_WORDS {len(WINDOW_WORDS)}u", "", "/* Word index in answers to a host. */"]
    for prefix, names in {"IDENTITY": HOST_IDENTITY, "RESULT": HOST_RESULT}.items():
        lines.extend(f"#define {prefix}_{name.upper()} {index}u" for index, name in enumerate(names))
        lines.append(f"#define {prefix}_WORDS {len(names)}u")
    lines += ["", "#endif", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    print(c_header(), end="")
