"""Programs on disk, and images that cannot be trusted."""

import json
import struct
import zlib

import pytest
from cimarron.config import PRESETS
from cimarron.isa import JOB_BYTES, PROGRAM_HEADER, Opcode, RunStatus, Step
from cimarron_sim.compiler import Program, ProgramError, compile
from cimarron_sim.compiler.image import verify
from random_graphs import Builder

TINY, DEFAULT = PRESETS["tiny"], PRESETS["default"]


@pytest.fixture(scope="module")
def program() -> Program:
    return compile(Builder((1, 20), seed=5).fully_connected(6).graph(), TINY)


def rewritten(image: bytes, **words: int) -> bytes:
    """The image with other header words and a CRC that fits them."""
    changed = bytearray(image)
    for name, value in words.items():
        struct.pack_into("<I", changed, 4 * PROGRAM_HEADER.index(name), value)
    if "crc32" not in words:
        struct.pack_into("<I", changed, 16, zlib.crc32(changed[20:]))
    return bytes(changed)


def test_header_describes_the_image(program):
    words = dict(zip(PROGRAM_HEADER, struct.unpack_from("<16I", program.image), strict=True))
    assert words["magic"].to_bytes(4, "little") == b"CIMP"
    assert words["config_hash"] == TINY.engine.hash
    assert words["image_bytes"] == len(program.image)
    assert words["crc32"] == zlib.crc32(program.image[20:])
    assert (words["input_bytes"], words["output_bytes"]) == (20, 6)
    assert words["model_hash"] == 0x00C0FFEE
    # JOBS of 3 words, END; then the descriptors of a load, a layer and a store.
    assert words["steps_bytes"] == 4 * (3 + 1)
    kind, offset, jobs = struct.unpack_from("<3I", program.image, words["steps_offset"])
    assert (kind, jobs) == (3 << 16 | Step.JOBS, 3)
    opcodes = [program.image[offset + index * JOB_BYTES] for index in range(jobs)]
    assert opcodes == [Opcode.LOAD, Opcode.MAC, Opcode.STORE]
    assert words["input_offset"] >= len(program.image)
    assert words["output_offset"] >= words["input_offset"] + 20
    assert words["memory_bytes"] >= words["output_offset"] + 6


def test_steps_of_a_program_hold_all_of_its_jobs(program):
    assert program.steps == ((Step.JOBS, 3), (Step.END, 0))
    builder = Builder((1, 6, 6, 4), seed=5).conv2d(4, (3, 3)).softmax()
    # Behind the load and the layer, the CPU's step counts as a job; what it computed is stored by the last one.
    program = compile(builder.graph(), TINY)
    ((first, jobs), *others) = program.steps
    assert (first, others) == (Step.JOBS, [(Step.SHARE, 1), (Step.JOBS, 1), (Step.END, 0)])
    assert program.layers[-1].last_job == jobs + 1


def test_saved_programs_come_back(program, tmp_path):
    program.save(tmp_path / "digits")
    assert Program.load(tmp_path / "digits", TINY) == program


def test_saving_is_deterministic_and_leaves_nothing_else(program, tmp_path):
    contents = []
    for _ in range(2):
        program.save(tmp_path)
        contents.append({path.name: path.read_bytes() for path in tmp_path.iterdir()})
    assert contents[0] == contents[1]
    assert set(contents[0]) == {"program.bin", "program.json"}


def status_of(image: bytes, config=TINY) -> RunStatus:
    with pytest.raises(ProgramError) as error:
        verify(image, config)
    return error.value.status


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ({"magic": 0x464C457F}, RunStatus.BAD_MAGIC),
        ({"version": 1}, RunStatus.BAD_VERSION),
        ({"config_hash": 1}, RunStatus.BAD_CONFIG),
        ({"image_bytes": 64}, RunStatus.BAD_SIZE),
        ({"crc32": 0}, RunStatus.BAD_CRC),
        ({"memory_bytes": 2**31}, RunStatus.BAD_SIZE),
        ({"memory_bytes": 64}, RunStatus.BAD_SIZE),
        ({"steps_offset": 0}, RunStatus.BAD_SIZE),
        ({"steps_bytes": 2**31}, RunStatus.BAD_SIZE),
        ({"steps_bytes": 4}, RunStatus.BAD_STEP),
        ({"input_offset": 0}, RunStatus.BAD_SIZE),
        ({"input_bytes": 2**31}, RunStatus.BAD_SIZE),
        ({"output_offset": 8}, RunStatus.BAD_SIZE),
        ({"output_bytes": 2**31}, RunStatus.BAD_SIZE),
    ],
)
def test_wrong_header_words_are_refused(program, words, status):
    assert status_of(rewritten(program.image, **words)) is status


def test_other_hardware_is_refused(program):
    assert status_of(program.image, DEFAULT) is RunStatus.BAD_CONFIG
    verify(program.image)


@pytest.mark.parametrize("length", [0, 63, 64, 200])
def test_truncated_images_are_refused(program, length):
    assert status_of(program.image[:length]) is RunStatus.BAD_SIZE


def test_any_flipped_bit_is_refused(program):
    for byte in range(0, len(program.image), 7):
        image = bytearray(program.image)
        image[byte] ^= 1 << byte % 8
        assert status_of(bytes(image)) is not RunStatus.OK


@pytest.mark.parametrize("word", [0x10000 | 9, 0, 4 << 16 | 1, 0xFFFF0000 | 1])
def test_unknown_and_overlong_steps_are_refused(program, word):
    image = bytearray(program.image)
    struct.pack_into("<I", image, 64, word)
    assert status_of(rewritten(bytes(image))) is RunStatus.BAD_STEP


@pytest.mark.parametrize("operands", [(66, 1), (0, 2**31), (2**32 - 4, 1), (96, 1000)])
def test_descriptors_outside_the_image_are_refused(program, operands):
    image = bytearray(program.image)
    struct.pack_into("<2I", image, 68, *operands)
    assert status_of(rewritten(bytes(image))) is RunStatus.BAD_STEP


def load_error(directory) -> ProgramError:
    with pytest.raises(ProgramError) as error:
        Program.load(directory)
    return error.value


def test_missing_files_are_named(tmp_path):
    error = load_error(tmp_path / "nowhere")
    assert error.status is RunStatus.NOT_LOADED
    assert str(error).endswith("program.bin cannot be read (No such file or directory): compile the model again")


def test_files_of_two_programs_do_not_mix(program, tmp_path):
    program.save(tmp_path)
    other = compile(Builder((1, 20), seed=6).fully_connected(6).graph(), TINY)
    (tmp_path / "program.bin").write_bytes(other.image)
    error = load_error(tmp_path)
    assert error.status is RunStatus.BAD_CRC
    assert "do not belong together" in str(error)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\x00"])
def test_damaged_manifests_are_refused(program, tmp_path, text):
    program.save(tmp_path)
    (tmp_path / "program.json").write_text(text)
    assert str(load_error(tmp_path)).startswith(str(tmp_path / "program.json"))


def test_manifests_of_another_format_are_refused(program, tmp_path):
    program.save(tmp_path)
    path = tmp_path / "program.json"
    manifest = json.loads(path.read_text())
    del manifest["layers"][0]["op"]
    path.write_text(json.dumps(manifest))
    assert load_error(tmp_path).status is RunStatus.BAD_VERSION
