"""What the engine does to memory and activation buffer, job by job, written from `cimarron.isa`: the scoreboard."""

from collections.abc import Iterator, Sequence

import numpy as np
from cimarron.config import EngineConfig
from cimarron.isa import PARAM_BYTES, TABLE_WORDS, EngineError, Opcode, OutFormat, Profile, unpack_job

__all__ = ["EngineModel", "JobError"]

_INT32 = np.iinfo(np.int32)


class JobError(Exception):
    """A job the engine refuses: what its error registers hold afterwards."""

    def __init__(self, code: EngineError, info: int):
        super().__init__(f"{code.name}, info {info:#x}")
        self.code = code
        self.info = info & 0xFFFF_FFFF


def _wrap(values: np.ndarray) -> np.ndarray:
    return (values & 0xFFFF_FFFF).astype(np.uint32).view(np.int32).astype(np.int64)


def _from_bits(raw: np.ndarray, bits: int, signed: bool) -> np.ndarray:
    values = raw.astype(np.int64) & (1 << bits) - 1
    return np.where(values >> bits - 1 & 1, values - (1 << bits), values) if signed else values


def _requantise_onnx(acc: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    # Doubles hold mantissa times power of two exactly; the one rounding of the product is to float32.
    scale = np.ldexp(multiplier.astype(np.float64), shift).astype(np.float32)
    with np.errstate(over="ignore"):
        return np.rint(acc.astype(np.float32) * scale).astype(np.float64)


def _requantise_tflm(acc: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    x = _wrap(acc << np.maximum(shift, 0))
    product = x * multiplier
    # gemmlowp rounds to nearest with ties away from zero: nudge, then divide towards zero.
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    high = np.where(nudged >= 0, nudged >> 31, -(-nudged >> 31))
    right = np.maximum(-shift, 0)
    remainder = high & (1 << right) - 1
    threshold = ((1 << right) - 1 >> 1) + (high < 0)
    return ((high >> right) + (remainder > threshold)).astype(np.float64)


class EngineModel:
    """Memory, activation buffer and what one job after the other makes of them.

    Parameters
    ----------
    config : EngineConfig
    memory : bytes or bytearray
        What the memory port sees; STORE jobs need one that can be written.
    base : int
        Memory address of its first byte.

    Attributes
    ----------
    activations : bytearray
        The activation buffer.
    retired : int
        Jobs completed.
    """

    def __init__(self, config: EngineConfig, memory: bytes | bytearray, base: int):
        self.config = config
        self.memory = memory
        self.base = base
        self.activations = bytearray(config.act_buffer_bytes)
        self.retired = 0

    def execute(self, words: Sequence[int]) -> None:
        """Execute one job.

        Parameters
        ----------
        words : sequence of int
            The descriptor's ``JOB_WORDS`` words.

        Raises
        ------
        JobError
            With the error code and its info. For BAD_ACT_ADDRESS that is the end of a LOAD or STORE, the image row, the
            second operand's pixel or the output value that lies beyond the buffer. What was written before stays.
        """
        if words[0] & 0xFF not in set(Opcode):
            raise JobError(EngineError.BAD_OPCODE, words[0] & 0xFF)
        fields = unpack_job(list(words))
        if fields["opcode"] == Opcode.LOAD:
            self._load(fields)
        elif fields["opcode"] == Opcode.STORE:
            self._store_to_memory(fields)
        elif fields["opcode"] == Opcode.VECTOR:
            self._check_vector(fields, words[0])
            self._vector(fields)
        else:
            self._check_mac(fields, words[0])
            self._mac(fields)
        self.retired += 1

    def _read(self, address: int, count: int) -> bytes:
        """Memory contents by whole beats."""
        port = self.config.port_bytes
        start = address - self.base
        beats_end = -(-(start + count) // port) * port
        if start < 0 or beats_end > len(self.memory):
            inside = max(0, (len(self.memory) - start) // port) if start >= 0 else 0
            raise JobError(EngineError.BAD_MEMORY_ADDRESS, address + inside * port)
        return bytes(self.memory[start : start + count])

    def _load(self, fields: dict[str, int]) -> None:
        end = fields["destination"] + fields["length"]
        if fields["source"] % self.config.port_bytes:
            raise JobError(EngineError.BAD_SHAPE, 1)
        if fields["destination"] % self.config.act_port_bytes:
            raise JobError(EngineError.BAD_SHAPE, 2)
        if fields["length"] == 0:
            raise JobError(EngineError.BAD_SHAPE, 3)
        if end > len(self.activations):
            raise JobError(EngineError.BAD_ACT_ADDRESS, min(end, 0xFFFF_FFFF))
        self.activations[fields["destination"] : end] = self._read(fields["source"], fields["length"])

    def _store_to_memory(self, fields: dict[str, int]) -> None:
        assert isinstance(self.memory, bytearray)
        source, length, port = fields["source"], fields["length"], self.config.port_bytes
        if length == 0:
            raise JobError(EngineError.BAD_SHAPE, 3)
        if source + length > len(self.activations):
            raise JobError(EngineError.BAD_ACT_ADDRESS, min(source + length, 0xFFFF_FFFF))
        for offset in range(length):
            at = fields["destination"] + offset - self.base
            if not 0 <= at // port * port <= len(self.memory) - port:
                raise JobError(EngineError.BAD_MEMORY_ADDRESS, self.base + at // port * port)
            self.memory[at] = self.activations[source + offset]

    def _check_mac(self, fields: dict[str, int], control: int) -> None:
        macro = self.config.macro
        if (
            fields["weight_bits"] not in macro.weight_widths
            or not 1 <= fields["act_bits"] <= macro.max_act_bits
            or fields["out_format"] not in set(OutFormat)
        ):
            raise JobError(EngineError.BAD_WIDTH, control)
        outputs = macro.outputs(fields["weight_bits"])
        rules = [
            (2, fields["row_bytes"] > 0),
            (3, fields["in_height"] > 0),
            (9, fields["out_width"] > 0 and fields["out_height"] > 0),
            (10, fields["kernel_h"] > 0 and fields["runs"] > 0),
            (11, fields["run_bytes"] > 0),
            (13, fields["row_tiles"] > 0 and 1 <= fields["last_rows"] <= macro.rows),
            (14, fields["word_tiles"] > 0 and 1 <= fields["last_words"] <= outputs),
            (21, 1 <= fields["tile_words"] <= outputs),
            (21, 1 <= fields["group_words"] <= macro.words and fields["group_words"] % self.config.lanes == 0),
            (23, fields["group_columns"] > 0),
            (15, fields["weight_addr"] % self.config.port_bytes == 0),
        ]
        for word, holds in rules:
            if not holds:
                raise JobError(EngineError.BAD_SHAPE, word)
        if fields["row_tiles"] > 1 and fields["psum_entries"] > self.config.psum_entries:
            raise JobError(EngineError.PSUM_OVERFLOW, fields["psum_entries"])

    def _gather(self, fields: dict[str, int], tile: int) -> np.ndarray:
        """Raw input bytes of a word tile, shape (pixels, depth)."""

        def axis(name: str, position: int) -> np.ndarray:
            return np.arange(fields[name]).reshape([-1 if i == position else 1 for i in range(5)])

        line, column, tap_row = axis("out_height", 0), axis("out_width", 1), axis("kernel_h", 2)
        run, byte = axis("runs", 3), axis("run_bytes", 4)
        image_row = fields["first_row"] + line * fields["stride_h"] + tap_row * fields["dilation_h"]
        base = fields["in_base"] + tile * fields["tile_base_step"]
        address = base + line * fields["line_step"] + tap_row * fields["kernel_step"] & 0xFFFF_FFFF
        first = fields["first_position"] + tile * fields["tile_position_step"]
        position = first + column * fields["pixel_step"] + run * fields["run_step"] + byte

        row_inside = (image_row >= 0) & (image_row < fields["in_height"])
        beyond = row_inside & (address + fields["row_bytes"] > len(self.activations))
        if beyond.any():
            raise JobError(EngineError.BAD_ACT_ADDRESS, int(address[beyond][0]))
        inside = row_inside & (position >= 0) & (position < fields["row_bytes"])
        buffer = np.frombuffer(bytes(self.activations), np.uint8)
        values = np.where(inside, buffer[np.where(inside, address + position, 0)], fields["pad_value"])
        return values.reshape(fields["out_height"] * fields["out_width"], -1)

    def vectors(self, fields: dict[str, int]) -> Iterator[np.ndarray]:
        """Activations of each macro operation of a MAC job, int64 arrays of shape (rows,), in the engine's order."""
        rows, tiles = self.config.macro.rows, fields["row_tiles"]
        for tile in range(fields["word_tiles"]):
            x = _from_bits(self._gather(fields, tile), fields["act_bits"], bool(fields["act_signed"]))
            padded = np.pad(x, ((0, 0), (0, tiles * rows - x.shape[1])))
            yield from np.concatenate(np.split(padded, tiles, axis=1))

    def _mac(self, fields: dict[str, int]) -> None:
        macro, bits = self.config.macro, fields["weight_bits"]
        depth = (fields["row_tiles"] - 1) * macro.rows + fields["last_rows"]
        row_stride = -(-macro.row_bits // self.config.weight_port_bits) * self.config.port_bytes
        record_stride = -(-PARAM_BYTES // self.config.port_bytes) * self.config.port_bytes
        if depth != fields["kernel_h"] * fields["runs"] * fields["run_bytes"]:
            raise JobError(EngineError.BAD_SHAPE, 13)

        address = fields["weight_addr"]
        shared = fields["shared_weights"]
        loaded_rows = min(depth, macro.rows) if shared else depth
        loaded = 0
        for tile in range(fields["word_tiles"]):
            outputs = fields["last_words"] if tile == fields["word_tiles"] - 1 else fields["tile_words"]
            x = _from_bits(self._gather(fields, tile), fields["act_bits"], bool(fields["act_signed"]))
            if tile == 0 or not shared:
                loaded = outputs
                stream = self._read(address, loaded * record_stride + loaded_rows * row_stride)
                address += len(stream)
            records = np.frombuffer(stream, "<u4", loaded * record_stride // 4).reshape(loaded, -1)[:outputs]
            rows = np.frombuffer(stream, np.uint8, offset=loaded * record_stride).reshape(loaded_rows, row_stride)
            rows = np.tile(rows, (-(-depth // loaded_rows), 1))[:depth]
            cells = np.unpackbits(rows, axis=1, bitorder="little")[:, : outputs * bits].reshape(depth, outputs, bits)
            raw = (cells.astype(np.int64) << np.arange(bits)).sum(axis=2)
            acc = _wrap(x @ _from_bits(raw, bits, bool(fields["weight_signed"])) + records[:, 0].astype(np.int64))
            self._write(fields, tile, self._finish(fields, acc, records))

    @staticmethod
    def _finish(fields: dict[str, int], acc: np.ndarray, records: np.ndarray) -> np.ndarray:
        """Outputs as integers, shape (pixels, outputs)."""
        if fields["out_format"] == OutFormat.INT32:
            return acc.astype("<i4")
        multiplier, shift = records[:, 1].astype(np.int64), records[:, 2].astype(np.uint32).view(np.int32)
        requantise = _requantise_onnx if fields["profile"] == Profile.ONNX else _requantise_tflm
        dtype = np.dtype(np.int8 if fields["out_format"] == OutFormat.INT8 else np.uint8)
        bounds = np.array([fields[name] for name in ("out_zero_point", "clamp_min", "clamp_max")], np.uint8).view(dtype)
        zero_point, low, high = (int(value) for value in bounds)
        return np.clip(requantise(acc, multiplier, shift) + zero_point, low, high).astype(dtype)

    def _write(self, fields: dict[str, int], tile: int, values: np.ndarray) -> None:
        size, width = values.dtype.itemsize, fields["out_width"]
        for pixel, outputs in enumerate(values):
            line, column = divmod(pixel, width)
            first = fields["out_base"] + tile * fields["out_tile_step"]
            first += line * fields["out_line_step"] + column * fields["out_pixel_step"]
            for group, start in enumerate(range(0, len(outputs), fields["group_words"])):
                group_line, group_column = divmod(group, fields["group_columns"])
                beyond_column = column == width - 1 and group_column >= fields["edge_columns"]
                beyond_line = line == fields["out_height"] - 1 and group_line >= fields["edge_lines"]
                if beyond_column or beyond_line:
                    continue
                at = first + group_line * fields["group_line_step"] + group_column * fields["group_step"]
                self._store(at, outputs[start : start + fields["group_words"]], size)

    def _store(self, first: int, outputs: np.ndarray, size: int) -> None:
        fitting = max(0, (len(self.activations) - first) // size)
        content = outputs[:fitting].tobytes()
        self.activations[first : first + len(content)] = content
        if fitting < len(outputs):
            raise JobError(EngineError.BAD_ACT_ADDRESS, first + fitting * size)

    def _check_vector(self, fields: dict[str, int], control: int) -> None:
        if fields["out_format"] not in (OutFormat.INT8, OutFormat.UINT8):
            raise JobError(EngineError.BAD_WIDTH, control)
        rules = [
            (2, fields["row_bytes"] > 0),
            (3, fields["in_height"] > 0),
            (9, fields["out_width"] > 0 and fields["out_height"] > 0),
            (10, fields["kernel_h"] > 0 and fields["kernel_w"] > 0),
            (11, fields["pixel_bytes"] > 0),
            (15, fields["table_addr"] % self.config.port_bytes == 0),
        ]
        for word, holds in rules:
            if not holds:
                raise JobError(EngineError.BAD_SHAPE, word)

    def _largest(self, fields: dict[str, int], line: int, column: int) -> np.ndarray:
        """Largest byte of each channel over the window of an output pixel, raw, shape (pixel_bytes,)."""
        dtype, count = np.int8 if fields["x_signed"] else np.uint8, fields["pixel_bytes"]
        result = np.full(count, np.iinfo(dtype).min, dtype)
        for row in range(fields["kernel_h"]):
            image_row = fields["first_row"] + line * fields["stride_h"] + row
            address = fields["in_base"] + line * fields["line_step"] + row * fields["row_bytes"] & 0xFFFF_FFFF
            if not 0 <= image_row < fields["in_height"]:
                continue
            if address + fields["row_bytes"] > len(self.activations):
                raise JobError(EngineError.BAD_ACT_ADDRESS, address)
            for tap in range(fields["kernel_w"]):
                at = fields["first_position"] + column * fields["pixel_step"] + tap * fields["column_step"]
                if 0 <= at <= fields["row_bytes"] - count:
                    start = address + at
                    result = np.maximum(result, np.frombuffer(bytes(self.activations[start : start + count]), dtype))
        return result.view(np.uint8)

    def _vector(self, fields: dict[str, int]) -> None:
        count = TABLE_WORDS << fields["binary"]
        tables = np.frombuffer(self._read(fields["table_addr"], 4 * count), "<i4").astype(np.int64)
        record = np.array([[0, fields["multiplier"], fields["shift"] & 0xFFFF_FFFF]], np.uint32)
        for line in range(fields["out_height"]):
            for column in range(fields["out_width"]):
                pixel = line * fields["out_width"] + column
                total = tables[self._largest(fields, line, column)]
                if fields["binary"]:
                    at = fields["second_base"] + pixel * fields["second_pixel_step"]
                    if at + fields["pixel_bytes"] > len(self.activations):
                        raise JobError(EngineError.BAD_ACT_ADDRESS, at)
                    second = np.frombuffer(bytes(self.activations[at : at + fields["pixel_bytes"]]), np.uint8)
                    total = total + tables[TABLE_WORDS:][second]
                values = self._finish(fields, _wrap(total), record)
                self._store(fields["out_base"] + pixel * fields["out_pixel_step"], values, 1)
