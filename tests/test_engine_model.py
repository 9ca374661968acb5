"""The engine's model against jobs worked out by hand, and every error a job can have."""

import struct

import pytest
from cimarron.config import PRESETS, EngineConfig, MacroConfig
from cimarron.isa import EngineError, Opcode, OutFormat, Profile, pack_job
from tblib.engine_model import EngineModel, JobError

BASE = 0x4000_8000
#: 4 bytes per beat; rows of 2 x 4-bit words take one beat each.
CONFIG = EngineConfig(
    macro=MacroConfig(rows=4, words=4), act_buffer_bytes=256, act_port_bytes=4, weight_port_bits=32, psum_entries=16,
    lanes=1,
)  # fmt: skip

MAC = {
    "act_signed": 1, "weight_signed": 1, "act_bits": 8, "weight_bits": 8, "profile": Profile.ONNX,
    "out_format": OutFormat.INT32, "in_base": 0, "row_bytes": 3, "in_height": 1, "first_row": 0, "first_position": 0,
    "pixel_step": 3, "line_step": 3, "stride_h": 1, "dilation_h": 1, "kernel_step": 3, "out_width": 1,
    "out_height": 1, "kernel_h": 1, "runs": 1, "pad_value": 0, "run_bytes": 3, "run_step": 3, "row_tiles": 1,
    "last_rows": 3, "word_tiles": 1, "last_words": 2, "tile_words": 2, "tile_position_step": 0,
    "tile_base_step": 0, "shared_weights": 0, "out_line_step": 8, "group_words": 4, "group_columns": 1,
    "group_step": 0, "group_line_step": 0, "edge_columns": 1, "edge_lines": 1,
    "weight_addr": BASE, "out_base": 64, "out_pixel_step": 8, "out_tile_step": 8, "out_zero_point": 0,
    "clamp_min": 0, "clamp_max": 0, "psum_entries": 0,
}  # fmt: skip
LOAD = {"source": BASE, "destination": 0, "length": 4}


def record(bias: int, multiplier: int = 0, shift: int = 0) -> bytes:
    return struct.pack("<iIii", bias, multiplier, shift, 0)


def row(*weights: int) -> bytes:
    return bytes(weight & 0xFF for weight in weights).ljust(4, b"\0")


def run(stream: bytes, activations: bytes, **changes: int) -> EngineModel:
    model = EngineModel(CONFIG, stream.ljust(1024, b"\0"), BASE)
    model.activations[: len(activations)] = activations
    model.execute(pack_job(Opcode.MAC, **(MAC | changes)))
    return model


def int32s(model: EngineModel, count: int) -> list[int]:
    return list(struct.unpack_from(f"<{count}i", model.activations, 64))


def test_word_tiles_may_read_channels_of_their_own():
    stream = record(0) + row(3) + record(0) + row(5)
    model = run(
        stream, bytes([10, 20]), row_bytes=2, run_bytes=1, last_rows=1, word_tiles=2, last_words=1, tile_words=1,
        tile_position_step=1, out_tile_step=4,
    )  # fmt: skip
    assert int32s(model, 2) == [30, 100]


def test_word_tiles_may_read_images_of_their_own():
    stream = record(0) + row(3) + record(0) + row(5)
    model = run(
        stream, bytes([10, 0, 0, 0, 20]), row_bytes=1, run_bytes=1, last_rows=1, word_tiles=2, last_words=1,
        tile_words=1, tile_base_step=4, out_tile_step=4,
    )  # fmt: skip
    assert int32s(model, 2) == [30, 100]


def test_shared_weights_serve_every_tile():
    stream = record(1) + row(2) * 4
    model = run(
        stream, bytes(range(1, 13)), row_bytes=12, run_bytes=6, row_tiles=2, last_rows=2, word_tiles=2, last_words=1,
        tile_words=1, tile_position_step=6, out_tile_step=4, shared_weights=1, psum_entries=1,
    )  # fmt: skip
    assert int32s(model, 2) == [1 + 2 * sum(range(1, 7)), 1 + 2 * sum(range(7, 13))]


def test_groups_are_pixels_of_a_block_cut_at_the_edges():
    stream = record(0) + record(0) + row(1, 2)
    model = run(
        stream, bytes([1, 2, 3, 4]), row_bytes=2, in_height=2, pixel_step=1, line_step=2, stride_h=1, run_bytes=1,
        last_rows=1, out_width=2, out_height=2, out_pixel_step=8, out_line_step=12, group_words=1, group_columns=2,
        group_step=4, edge_columns=1,
    )  # fmt: skip
    assert int32s(model, 6) == [1, 2, 2, 3, 6, 4]
    model = run(
        stream, bytes([1, 2, 3, 4]), row_bytes=2, in_height=2, pixel_step=1, line_step=2, stride_h=1, run_bytes=1,
        last_rows=1, out_width=2, out_height=2, out_pixel_step=4, out_line_step=16, group_words=1, group_columns=1,
        group_line_step=8, edge_lines=1,
    )  # fmt: skip
    assert int32s(model, 6) == [1, 2, 2, 4, 3, 4]


WEIGHTS = record(100) + record(-7) + row(1, -1) + row(2, 0) + row(3, 127)


def test_load_copies_to_the_byte():
    model = EngineModel(CONFIG, bytes(range(1, 65)), BASE)
    model.activations[:] = b"\xee" * 256
    model.execute(pack_job(Opcode.LOAD, source=BASE + 4, destination=8, length=5))
    assert model.activations[8:14].hex() == "0506070809ee"
    assert model.retired == 1


def test_store_copies_to_the_byte():
    model = EngineModel(CONFIG, bytearray(b"\xee" * 64), BASE)
    model.activations[3:8] = bytes([1, 2, 3, 4, 5])
    model.execute(pack_job(Opcode.STORE, source=3, destination=BASE + 6, length=5))
    assert model.memory[5:12].hex() == "ee0102030405ee"
    assert model.retired == 1


def test_stores_before_an_error_stay():
    model = EngineModel(CONFIG, bytearray(64), BASE)
    model.activations[:4] = bytes([1, 2, 3, 4])
    with pytest.raises(JobError):
        model.execute(pack_job(Opcode.STORE, source=0, destination=BASE + 62, length=4))
    assert model.memory == bytes(62) + bytes([1, 2])


def test_dot_products_get_their_bias():
    # [5, -6, 7] x columns [1, 2, 3] and [-1, 0, 127].
    assert int32s(run(WEIGHTS, bytes([5, 250, 7])), 2) == [100 + 5 - 12 + 21, -7 - 5 + 889]


def test_unsigned_activations_and_weights():
    assert int32s(run(WEIGHTS, bytes([5, 250, 7]), act_signed=0, weight_signed=0), 2) == [
        100 + 5 + 500 + 21, -7 + 5 * 255 + 7 * 127,
    ]  # fmt: skip


def test_activation_bits_above_the_width_are_ignored():
    # 0xF5 is 5 in three bits, which is -3 as a signed number of three bits; 0x0A is 2.
    assert int32s(run(WEIGHTS, bytes([0xF5, 0x0A, 0]), act_bits=3), 1) == [100 - 3 + 4]


def test_nibbles_are_packed_from_the_lowest_bit():
    stream = record(0) * 4 + bytes([0xF1, 0x78, 0, 0])
    model = run(stream, bytes([10]), weight_bits=4, row_bytes=1, run_bytes=1, last_rows=1, last_words=4)
    assert int32s(model, 4) == [10, -10, -80, 70]


def test_outside_the_image_lies_the_pad_value():
    # One row of 3 bytes, walked from position -1 and again from 1, two pixels of three taps.
    model = run(WEIGHTS, bytes([5, 250, 7]), first_position=-1, pixel_step=2, out_width=2, pad_value=9)
    assert int32s(model, 4)[::2] == [100 + 9 + 2 * 5 + 3 * -6, 100 - 6 + 2 * 7 + 3 * 9]


def test_rows_above_and_below_the_image_read_as_the_pad_value():
    # An image of two rows of one byte; three kernel rows of one byte, from row -1 on.
    walk = {"row_bytes": 1, "in_height": 2, "kernel_h": 3, "run_bytes": 1, "kernel_step": 1, "first_row": -1}
    model = run(WEIGHTS, bytes([5, 6]), **walk, in_base=0xFFFF_FFFF, line_step=1, out_height=2, pad_value=9)
    assert int32s(model, 4)[::2] == [100 + 9 + 10 + 18, 100 + 5 + 12 + 27]


def test_sums_go_through_row_tiles_and_wrap():
    # Five inputs of -128 in tiles of 4 and 1, weights of -128: 5 * 2**14, on top of the largest bias.
    stream = record(2**31 - 1) + record(0) + row(-128, 1) * 5
    tiles = {"row_bytes": 5, "run_bytes": 5, "row_tiles": 2, "last_rows": 1, "psum_entries": 2}
    assert int32s(run(stream, b"\x80" * 5, **tiles), 2) == [-(2**31) - 1 + 5 * 2**14, -640]


def test_word_tiles_follow_one_another_in_stream_and_output():
    stream = record(1) + record(2) + row(1, 2) + record(3) + row(3)
    model = run(stream, bytes([10]), row_bytes=1, run_bytes=1, last_rows=1, word_tiles=2, last_words=1)
    assert int32s(model, 3) == [11, 22, 33]


@pytest.mark.parametrize(
    ("profile", "multiplier", "shift", "acc", "expected"),
    [
        # Half steps: float products round to even, gemmlowp away from zero.
        (Profile.ONNX, 2**23, -24, 5, 2),
        (Profile.ONNX, 2**23, -24, 7, 4),
        (Profile.ONNX, 2**23, -24, -5, -2),
        (Profile.TFLM, 2**30, 0, 5, 3),
        (Profile.TFLM, 2**30, 0, -5, -2),
        (Profile.TFLM, 2**30, -1, -6, -2),
        (Profile.TFLM, 2**30, 3, 5, 20),
    ],
)
def test_sums_are_requantised(profile, multiplier, shift, acc, expected):
    stream = record(acc, multiplier, shift) * 2 + row(0)
    model = run(
        stream, b"\0", row_bytes=1, run_bytes=1, last_rows=1, last_words=1, profile=profile,
        out_format=OutFormat.INT8, clamp_min=0x80, clamp_max=0x7F,
    )  # fmt: skip
    assert struct.unpack_from("b", model.activations, 64)[0] == expected


def test_outputs_are_clamped_in_their_own_format():
    stream = record(300, 2**23, -23) + record(-300, 2**23, -23) + row(0)
    one = {"row_bytes": 1, "run_bytes": 1, "last_rows": 1}
    model = run(stream, b"\0", **one, out_format=OutFormat.UINT8, out_zero_point=200, clamp_min=200, clamp_max=250)
    assert list(model.activations[64:66]) == [250, 200]
    model = run(stream, b"\0", **one, out_format=OutFormat.INT8, out_zero_point=0xFF, clamp_min=0xF0, clamp_max=100)
    assert list(model.activations[64:66]) == [100, 0xF0]


def error_of(words: list[int], memory_bytes: int = 1024) -> tuple[EngineError, int]:
    model = EngineModel(CONFIG, bytes(memory_bytes), BASE)
    with pytest.raises(JobError) as error:
        model.execute(words)
    assert model.retired == 0
    return error.value.code, error.value.info


@pytest.mark.parametrize(
    ("changes", "code", "info"),
    [
        ({"source": BASE + 2}, EngineError.BAD_SHAPE, 1),
        ({"destination": 2}, EngineError.BAD_SHAPE, 2),
        ({"length": 0}, EngineError.BAD_SHAPE, 3),
        ({"destination": 252, "length": 5}, EngineError.BAD_ACT_ADDRESS, 257),
        ({"source": BASE + 1024}, EngineError.BAD_MEMORY_ADDRESS, BASE + 1024),
        ({"source": BASE + 1020, "length": 5}, EngineError.BAD_MEMORY_ADDRESS, BASE + 1024),
        ({"source": BASE - 4, "length": 8}, EngineError.BAD_MEMORY_ADDRESS, BASE - 4),
    ],
)
def test_bad_loads(changes, code, info):
    assert error_of(pack_job(Opcode.LOAD, **(LOAD | changes))) == (code, info)


@pytest.mark.parametrize(
    ("changes", "code", "info"),
    [
        ({"row_bytes": 0}, EngineError.BAD_SHAPE, 2),
        ({"in_height": 0}, EngineError.BAD_SHAPE, 3),
        ({"out_width": 0}, EngineError.BAD_SHAPE, 9),
        ({"out_height": 0}, EngineError.BAD_SHAPE, 9),
        ({"kernel_h": 0}, EngineError.BAD_SHAPE, 10),
        ({"runs": 0}, EngineError.BAD_SHAPE, 10),
        ({"run_bytes": 0}, EngineError.BAD_SHAPE, 11),
        ({"row_tiles": 0}, EngineError.BAD_SHAPE, 13),
        ({"last_rows": 0}, EngineError.BAD_SHAPE, 13),
        ({"last_rows": 5}, EngineError.BAD_SHAPE, 13),
        ({"last_rows": 2}, EngineError.BAD_SHAPE, 13),
        ({"word_tiles": 0}, EngineError.BAD_SHAPE, 14),
        ({"last_words": 0}, EngineError.BAD_SHAPE, 14),
        ({"last_words": 3}, EngineError.BAD_SHAPE, 14),
        ({"tile_words": 0}, EngineError.BAD_SHAPE, 21),
        ({"tile_words": 3}, EngineError.BAD_SHAPE, 21),
        ({"group_words": 0}, EngineError.BAD_SHAPE, 21),
        ({"group_words": 5}, EngineError.BAD_SHAPE, 21),
        ({"group_columns": 0}, EngineError.BAD_SHAPE, 23),
        ({"weight_addr": BASE + 2}, EngineError.BAD_SHAPE, 15),
        ({"row_tiles": 2, "psum_entries": 17}, EngineError.PSUM_OVERFLOW, 17),
        ({"in_base": 254}, EngineError.BAD_ACT_ADDRESS, 254),
        ({"out_base": 256}, EngineError.BAD_ACT_ADDRESS, 256),
        ({"out_base": 252}, EngineError.BAD_ACT_ADDRESS, 256),
        ({"weight_addr": BASE + 1020}, EngineError.BAD_MEMORY_ADDRESS, BASE + 1024),
    ],
)
def test_bad_layers(changes, code, info):
    assert error_of(pack_job(Opcode.MAC, **(MAC | changes))) == (code, info)


@pytest.mark.parametrize("changes", [{"act_bits": 0}, {"act_bits": 9}, {"weight_bits": 6}, {"out_format": 3}])
def test_widths_that_do_not_exist(changes):
    words = pack_job(Opcode.MAC, **(MAC | changes))
    assert error_of(words) == (EngineError.BAD_WIDTH, words[0])


@pytest.mark.parametrize(
    ("changes", "code", "info"),
    [
        ({"length": 0}, EngineError.BAD_SHAPE, 3),
        ({"source": 252, "length": 5}, EngineError.BAD_ACT_ADDRESS, 257),
        ({"destination": BASE + 1025}, EngineError.BAD_MEMORY_ADDRESS, BASE + 1024),
        ({"destination": BASE - 1}, EngineError.BAD_MEMORY_ADDRESS, BASE - 4),
    ],
)
def test_bad_stores(changes, code, info):
    store = {"source": 0, "destination": BASE, "length": 4}
    model = EngineModel(CONFIG, bytearray(1024), BASE)
    with pytest.raises(JobError) as error:
        model.execute(pack_job(Opcode.STORE, **(store | changes)))
    assert (error.value.code, error.value.info, model.retired) == (code, info, 0)


@pytest.mark.parametrize("opcode", [0, 5, 255])
def test_opcodes_that_do_not_exist(opcode):
    assert error_of([opcode] + [0] * 23) == (EngineError.BAD_OPCODE, opcode)


def test_results_before_an_error_stay():
    model = EngineModel(CONFIG, WEIGHTS.ljust(1024, b"\0"), BASE)
    model.activations[:3] = bytes([5, 250, 7])
    with pytest.raises(JobError):
        model.execute(pack_job(Opcode.MAC, **(MAC | {"out_base": 252})))
    assert struct.unpack_from("<i", model.activations, 252)[0] == 114


def test_records_and_rows_narrower_than_the_port_take_a_beat():
    config = PRESETS["cells256"].engine
    stream = record(1).ljust(32, b"\0") + record(2).ljust(32, b"\0") + bytes([3, 4]).ljust(32, b"\0")
    model = EngineModel(config, stream, BASE)
    model.activations[0] = 10
    one = {"row_bytes": 1, "run_bytes": 1, "last_rows": 1}
    model.execute(pack_job(Opcode.MAC, **(MAC | one)))
    assert int32s(model, 2) == [31, 42]


VECTOR = {
    "x_signed": 1, "binary": 0, "profile": Profile.ONNX, "out_format": OutFormat.INT8, "in_base": 0, "row_bytes": 4,
    "in_height": 1, "first_row": 0, "first_position": 0, "pixel_step": 0, "line_step": 0, "stride_h": 1,
    "out_width": 1, "out_height": 1, "kernel_h": 1, "kernel_w": 1, "pixel_bytes": 4, "column_step": 0,
    "second_base": 32, "second_pixel_step": 0, "table_addr": BASE, "out_base": 64, "out_pixel_step": 0,
    "multiplier": 2**23, "out_zero_point": 0, "clamp_min": 0x80, "clamp_max": 0x7F, "shift": -23,
}  # fmt: skip
#: Entry i of the first table is 3 * i, of the second one -i, for the bits i of a byte.
TABLES = struct.pack("<512i", *(3 * i for i in range(256)), *(-i for i in range(256)))


def run_vector(activations: bytes, second: bytes = b"", /, **changes: int) -> bytes:
    model = EngineModel(CONFIG, TABLES, BASE)
    model.activations[: len(activations)] = activations
    model.activations[32 : 32 + len(second)] = second
    model.execute(pack_job(Opcode.VECTOR, **(VECTOR | changes)))
    return bytes(model.activations[64:80])


def test_bytes_are_looked_up():
    assert run_vector(bytes([0, 1, 40, 255])).startswith(bytes([0, 3, 120, 127]))


def test_two_operands_are_added_and_scaled():
    # 3 * x - z over 4, half to even: 10 / 4 = 2.5 -> 2, 14 / 4 = 3.5 -> 4, -2 / 4 = -0.5 -> 0; plus 5.
    result = run_vector(bytes([4, 5, 0, 200]), bytes([2, 1, 2, 0]), binary=1, shift=-25, out_zero_point=5)
    assert result.startswith(bytes([7, 9, 5, 127]))


def test_windows_give_their_largest_byte():
    # Rows [1, 200] and [3, 4]; 200 is -56 if signed. Padding to the left, right and above is left out.
    window = {"row_bytes": 2, "in_height": 2, "pixel_bytes": 1, "kernel_h": 2, "kernel_w": 2, "column_step": 1}
    steps = {"pixel_step": 1, "line_step": 2, "out_pixel_step": 1, "first_row": -1, "first_position": -1}
    place = {"in_base": 0xFFFF_FFFE, "out_width": 3, "out_height": 2}
    image = bytes([1, 200, 3, 4])
    expected = [1, 1, 200 - 256, 3, 4, 4]
    assert run_vector(image, **window, **steps, **place)[:6] == bytes(min(3 * (v & 0xFF), 127) for v in expected)
    unsigned = [1, 200, 200, 3, 200, 200]
    result = run_vector(image, **window, **steps, **place, x_signed=0, shift=-25, out_format=OutFormat.UINT8,
                        clamp_min=0, clamp_max=255)  # fmt: skip
    assert result[:6] == bytes(round(3 * v / 4) for v in unsigned)


@pytest.mark.parametrize(("x_signed", "lowest"), [(0, 0), (1, 128)])
def test_windows_outside_the_image_give_the_lowest_value(x_signed, lowest):
    result = run_vector(bytes([9, 9, 9, 9]), first_row=1, x_signed=x_signed, shift=-25)
    assert result[:4] == bytes([3 * lowest // 4]) * 4


@pytest.mark.parametrize(
    ("changes", "code", "info"),
    [
        ({"row_bytes": 0}, EngineError.BAD_SHAPE, 2),
        ({"in_height": 0}, EngineError.BAD_SHAPE, 3),
        ({"out_width": 0}, EngineError.BAD_SHAPE, 9),
        ({"out_height": 0}, EngineError.BAD_SHAPE, 9),
        ({"kernel_h": 0}, EngineError.BAD_SHAPE, 10),
        ({"kernel_w": 0}, EngineError.BAD_SHAPE, 10),
        ({"pixel_bytes": 0}, EngineError.BAD_SHAPE, 11),
        ({"table_addr": BASE + 2}, EngineError.BAD_SHAPE, 15),
        ({"in_base": 253}, EngineError.BAD_ACT_ADDRESS, 253),
        ({"out_base": 254}, EngineError.BAD_ACT_ADDRESS, 256),
        ({"table_addr": BASE + 4}, EngineError.BAD_MEMORY_ADDRESS, BASE + 1024),
    ],
)
def test_bad_vector_jobs(changes, code, info):
    assert error_of(pack_job(Opcode.VECTOR, **(VECTOR | changes))) == (code, info)


def test_second_operands_beyond_the_buffer():
    words = pack_job(Opcode.VECTOR, **(VECTOR | {"binary": 1, "second_base": 253}))
    assert error_of(words, len(TABLES)) == (EngineError.BAD_ACT_ADDRESS, 253)


def test_vector_jobs_write_bytes():
    words = pack_job(Opcode.VECTOR, **(VECTOR | {"out_format": OutFormat.INT32}))
    assert error_of(words) == (EngineError.BAD_WIDTH, words[0])
