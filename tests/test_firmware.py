"""The firmware: its builder, its prebuilt image, and what it answers on the system's RTL."""

import json
import random
import re
import struct
import zlib
from collections import Counter
from dataclasses import dataclass, fields

import numpy as np
import pytest
from cimarron.config import CPUS, PRESETS
from cimarron.isa import (
    EVENT_SHIFT,
    JOB_BYTES,
    JOB_WORDS,
    MAILBOX_OFFSET,
    PROGRAM_HEADER,
    PROGRAM_OFFSET,
    RAM_BASE,
    EngineError,
    Event,
    Opcode,
    RunStatus,
    Step,
    pack_job,
)
from cimarron_sim import firmware
from cimarron_sim.compiler import Program, compile
from cimarron_sim.compiler.image import ProgramError as ImageError
from cimarron_sim.compiler.image import finish, step, verify
from cimarron_sim.firmware.build import (
    RECORD,
    BuildError,
    build_boot,
    build_firmware,
    compile_program,
    compiler_version,
    flatten,
)
from cimarron_sim.reference.execute import execute
from cimarron_sim.runner.simulation import Simulation, SimulationError
from engine_double import DoubleSoc
from program_runner import BUILD, ProgramRunner
from random_graphs import Builder

CONFIG = PRESETS["tiny"]

#: Where the steps of a program begin: behind the header.
STEPS = 4 * len(PROGRAM_HEADER)
#: Offset of a header word of 0: a ladder without rungs.
RESERVED = 4 * PROGRAM_HEADER.index("reserved0")

needs_compiler = pytest.mark.skipif(compiler_version() is None, reason="ziglang is not installed")


@pytest.fixture
def recorded_compiler():
    recorded = json.loads(RECORD.read_text())["ziglang"]
    if compiler_version() != recorded:
        pytest.skip(f"the images were built with ziglang {recorded}, installed is {compiler_version()}")


@pytest.mark.usefixtures("recorded_compiler")
@pytest.mark.parametrize("cpu", CPUS)
def test_prebuilt_image_is_that_of_the_sources(cpu):
    assert build_firmware(cpu=cpu) == firmware.load(cpu), "run `make firmware` and commit the image"


@pytest.mark.usefixtures("recorded_compiler")
def test_prebuilt_boot_memory_is_that_of_the_sources():
    assert build_boot() == firmware.load_boot(), "run `make firmware` and commit the image"


@pytest.mark.parametrize("cpu", CPUS)
def test_prebuilt_image_leaves_room_for_its_stack(cpu):
    assert 0 < len(firmware.load(cpu)) <= MAILBOX_OFFSET - 2048


@needs_compiler
def test_programs_are_placed_at_their_base(tmp_path):
    (tmp_path / "start.S").write_text('.section .text.start, "ax"\n.global _start\n_start: ebreak\n.word value\n')
    (tmp_path / "data.c").write_text("int value = 0x11223344; int zero[8];")
    image = compile_program([tmp_path / "start.S", tmp_path / "data.c"])
    ebreak, address = struct.unpack_from("<2I", image)
    assert ebreak == 0x0010_0073
    assert RAM_BASE < address < RAM_BASE + len(image)
    assert image[address - RAM_BASE :][:4].hex() == "44332211"


@needs_compiler
def test_programs_see_the_contract(tmp_path):
    (tmp_path / "start.S").write_text('#include "isa.h"\n.section .text.start, "ax"\n.global _start\n_start: nop\n')
    source = '#include "isa.h"\n_Static_assert(PROGRAM_MAGIC == 0x504D4943u && STATUS_TIMEOUT == 12, "");'
    (tmp_path / "check.c").write_text(source)
    assert compile_program([tmp_path / "start.S", tmp_path / "check.c"])


@needs_compiler
def test_sources_that_do_not_compile_are_named(tmp_path):
    (tmp_path / "broken.c").write_text("int main(void) { return missing; }")
    with pytest.raises(BuildError, match=r"broken\.c did not compile:\n(.|\n)*missing"):
        compile_program([tmp_path / "broken.c"])


@needs_compiler
def test_programs_too_large_for_their_place_do_not_link(tmp_path):
    (tmp_path / "large.c").write_text("char large[32000]; void _start(void) { large[1] = 1; for (;;) {} }")
    with pytest.raises(BuildError, match="the program leaves no room for the stack below the mailbox"):
        compile_program([tmp_path / "large.c"], options=["-fno-lto"])


def executable(address: int, machine: int = 243) -> bytes:
    header = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    header += struct.pack("<HHIIIIIHHHHHH", 2, machine, 1, address, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    return header + struct.pack("<8I", 1, 84, address, address, 5, 9, 7, 4) + b"hello"


def test_segments_are_flattened():
    assert flatten(executable(0x1004), 0x1000) == b"\0\0\0\0hello\0\0\0"


def test_segments_below_the_base_are_refused():
    with pytest.raises(BuildError, match="a segment at 0x1004 lies below the base 0x2000"):
        flatten(executable(0x1004), 0x2000)


@pytest.mark.parametrize("content", [b"", b"MZ" * 40, executable(0, machine=62)])
def test_other_files_are_no_executables(content):
    with pytest.raises(BuildError, match="not a 32-bit little-endian RISC-V ELF file"):
        flatten(content, 0)


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return Simulation(CONFIG)


@pytest.fixture(scope="module")
def builder() -> Builder:
    return Builder((1, 20), seed=5).fully_connected(9, bits=4).fully_connected(6)


@pytest.fixture(scope="module")
def program(builder) -> Program:
    return compile(builder.graph(), CONFIG)


def with_words(image: bytes, **words: int) -> bytes:
    """The image with other header words; the CRC fits them unless it is one of them."""
    changed = bytearray(image)
    for name, value in words.items():
        struct.pack_into("<I", changed, 4 * PROGRAM_HEADER.index(name), value)
    if "crc32" not in words:
        struct.pack_into("<I", changed, 16, zlib.crc32(changed[20:]))
    return bytes(changed)


def with_steps(program: Program, *steps: bytes) -> bytes:
    """The image with other steps, over its own and as much behind them as they take."""
    content = b"".join(steps)
    changed = bytearray(program.image)
    changed[STEPS : STEPS + len(content)] = content
    return with_words(bytes(changed), steps_bytes=len(content))


def with_jobs(program: Program, *jobs: list[int]) -> bytes:
    """The image with other jobs, no more than its own."""
    offset, count = struct.unpack_from("<2I", program.image, STEPS + 4)
    assert len(jobs) <= count
    changed = bytearray(with_steps(program, step(Step.JOBS, [offset, len(jobs)]), step(Step.END)))
    for index, words in enumerate(jobs):
        struct.pack_into(f"<{JOB_WORDS}I", changed, offset + index * JOB_BYTES, *words)
    return with_words(bytes(changed))


@dataclass(frozen=True, kw_only=True)
class Doubtful(Program):
    """A program with any image; the host goes by the header of the good one."""

    good: Program

    @property
    def header(self) -> dict[str, int]:
        return self.good.header


def answer(simulation: Simulation, program: Program, image: bytes, runtime: bytes | None = None) -> str:
    """What the firmware answers to an image that is not to be run."""
    facts = {field.name: getattr(program, field.name) for field in fields(Program)}
    doubtful = Doubtful(**{**facts, "image": image, "layers": ()}, good=program)
    with pytest.raises(SimulationError) as error:
        simulation.run(doubtful, [bytes(program.input.nbytes)], limit=4_000_000, firmware=runtime)
    return str(error.value)


@pytest.mark.cosim
def test_inferences_follow_one_another(simulation, builder, program):
    graph = builder.graph()
    inputs = [builder.input() for _ in range(3)]
    result = simulation.run(program, [x.tobytes() for x in inputs], processes=1)
    assert result.uart == "Cimarron\r\n"
    for x, inference in zip(inputs, result.inferences, strict=True):
        np.testing.assert_array_equal(inference.output, execute(graph, {"x": x})[graph.outputs[0]])
        assert 0 < inference.firmware_cycles < inference.cycles


@pytest.mark.cosim
@pytest.mark.parametrize(
    ("words", "status", "info"),
    [
        ({"magic": 0x504D4942}, RunStatus.BAD_MAGIC, 0x504D4942),
        ({"version": 1}, RunStatus.BAD_VERSION, 1),
        ({"config_hash": CONFIG.engine.hash ^ 1}, RunStatus.BAD_CONFIG, CONFIG.engine.hash),
        ({"image_bytes": 66}, RunStatus.BAD_SIZE, 3),
        ({"image_bytes": 60}, RunStatus.BAD_SIZE, 3),
        ({"image_bytes": 2**31}, RunStatus.BAD_SIZE, 3),
        ({"memory_bytes": 0}, RunStatus.BAD_SIZE, 5),
        ({"memory_bytes": CONFIG.ram_bytes - 0x8000 + 4}, RunStatus.BAD_SIZE, 5),
        ({"steps_offset": 0}, RunStatus.BAD_SIZE, 6),
        ({"steps_offset": 66}, RunStatus.BAD_SIZE, 6),
        ({"steps_bytes": 2**32 - 1}, RunStatus.BAD_SIZE, 6),
        ({"input_offset": 0}, RunStatus.BAD_SIZE, 8),
        ({"input_bytes": 2**32 - 1}, RunStatus.BAD_SIZE, 8),
        ({"output_offset": 64}, RunStatus.BAD_SIZE, 10),
        ({"output_bytes": 2**31}, RunStatus.BAD_SIZE, 10),
        ({"steps_bytes": 12}, RunStatus.BAD_STEP, 76),
    ],
)
def test_wrong_header_words_are_refused(simulation, program, words, status, info):
    got = answer(simulation, program, with_words(program.image, **words))
    assert got == f"the firmware answered load with {status.name}, info {info:#x}, address 0x0, step 0"


@pytest.mark.cosim
@pytest.mark.parametrize("byte", [16, 20, 64, 300, -1])
def test_damaged_images_are_refused(simulation, program, byte):
    image = bytearray(program.image)
    image[byte] ^= 0x10
    got = answer(simulation, program, bytes(image))
    if byte == 20:  # inside memory_bytes, which is looked at before the CRC
        assert "BAD_SIZE" in got or "BAD_CRC" in got
    else:
        assert f"load with BAD_CRC, info {zlib.crc32(image[20:]):#x}" in got


@pytest.mark.cosim
@pytest.mark.parametrize(
    "words",
    [
        [0x1_0007],  # no such step
        [0x2_0000, 0],  # END takes no operand
        [0xFFFF_0001],  # longer than the program
        [0x3_0001, 66, 1],  # descriptors between words
        [0x3_0001, 64, 1000],  # beyond the image
        [0x3_0001, 0xFFFF_FFFC, 1],
        [0x3_0001, 64, 0x8000_0000],  # more than 32 bits count bytes
        [0],  # of no length
        [0x4_0002, 0, 0, 4],  # COMBINE without its table
        [0x5_0003, 2, 0, 4, RESERVED],  # tensor between words
        [0x5_0003, 0, 0x10_0000, 4, RESERVED],  # tensor beyond the window
        [0x5_0003, 0, 0, 0x4_0001, RESERVED],
        [0x5_0003, 0, 0, 0xFFFF_FFFD, RESERVED],
        [0x5_0003, 0, 0, 4, RESERVED + 2],  # table between words
        [0x5_0003, 0, 0, 4, 0x7_0000],  # table beyond the image
        [0x6_0002, 0, 0, 0, 4, 0],  # a table of 64 KiB in a smaller image
        [0x5_0003, 0, 0, 0x4000_0000, RESERVED],  # NARROW of more values than 32 bits count bytes
        [0x5_0003, 0, 0, 4, 0],  # its ladder begins with the program's magic
        [0x8_0004, 0, 0, 0, 1, 0, 0, 0],  # SOFTMAX of no values
        [0x8_0004, 0, 0, 4096, 1, 0, 0, 0],  # of too many
        [0x8_0004, 0, 0, 4095, 0x10_0000, 0, 0, 0],
        [0x8_0004, 0, 0, 4, 1, 256, 0, 0],  # inverting what is no byte
        [0x9_0005, 0, 0, 4, 1, 0, 0, 0, 0],  # SHARE with a ladder that is none
        [0x9_0005, 0, 0, 4, 1, 256, 0, 0, RESERVED],  # inverting what is no byte
        [0x13_0006, *[0] * 4, *[1] * 11, 0, 0, RESERVED],  # MEAN with a ladder that is none
        [0x13_0006, *[0] * 4, *[1] * 4, 2, *[1] * 6, 0, RESERVED, RESERVED],  # kernel larger than the image
        [0x13_0006, *[0] * 4, *[1] * 4, 0, *[1] * 6, 0, RESERVED, RESERVED],  # no kernel
        [0x13_0006, *[0] * 4, *[1] * 6, 0xFFFF_FFFF, 1, 0x8_0000, 1, 1, 0, RESERVED, RESERVED],  # windows far away
        [0x13_0006, *[0] * 4, 0x1_0000, 0x1_0000, *[1] * 9, 0, RESERVED, RESERVED],  # 2**32 pixels
        [0x13_0006, *[0] * 4, 1, 1, 1, 0, *[1] * 7, 0, RESERVED, RESERVED],  # no channels
        [0x13_0006, 0, 0, 2, 0, *[1] * 11, 0, RESERVED, RESERVED],  # bounds between words
        [0x13_0006, *[0] * 4, *[1] * 10, 0, 0, RESERVED, RESERVED],  # no orders
        [0x13_0006, *[0] * 4, *[1] * 10, 0x4000_0001, 0, RESERVED, RESERVED],  # more than 32 bits count bytes
        [0x13_0006, *[0] * 4, *[1] * 11, 0, RESERVED, 0],  # an order that begins far outside the window
        [0x13_0006, *[0] * 4, 1, 2, 1, 1, 2, *[1] * 6, 0, RESERVED, RESERVED],  # an order of three numbers for two
    ],
)
def test_steps_that_cannot_run_are_refused(simulation, program, words):
    sound = step(Step.NARROW, [0, 0, 0, RESERVED])
    image = with_steps(program, sound, struct.pack(f"<{len(words)}I", *words))
    assert f"load with BAD_STEP, info {STEPS + len(sound):#x}," in answer(simulation, program, image)


def damaged(rng: random.Random, image: bytes) -> bytes:
    """The image with one to four words of its header, steps or descriptors changed, and usually the CRC of that."""
    changed = bytearray(image)
    for _ in range(rng.randint(1, 4)):
        offset = 4 * rng.randrange(len(image) // 4 if rng.random() < 0.3 else (STEPS + 32) // 4)
        (word,) = struct.unpack_from("<I", changed, offset)
        extreme = rng.choice([0, 1, 2**31, 2**32 - 1, 2**32 - 4, word + 4, word - 4, len(image)])
        word = rng.choice([word ^ 1 << rng.randrange(32), rng.getrandbits(32), rng.getrandbits(8), extreme])
        struct.pack_into("<I", changed, offset, word & 0xFFFF_FFFF)
    return with_words(bytes(changed)) if rng.random() < 0.9 else bytes(changed)


@pytest.mark.cosim
@pytest.mark.parametrize("seed", range(3))
def test_the_firmware_answers_whatever_the_image(simulation, program, seed):
    rng = random.Random(seed)
    facts = {field.name: getattr(program, field.name) for field in fields(Program)}
    answers: Counter[str] = Counter()
    for index in range(25):
        image = damaged(rng, program.image)
        doubtful = Doubtful(**{**facts, "image": image, "layers": ()}, good=program)
        expected = RunStatus.OK
        try:
            verify(image, CONFIG)
        except ImageError as error:
            expected = error.status
        try:
            simulation.run(doubtful, [bytes(program.input.nbytes)], limit=8_000_000)
            got = "done with OK"
        except SimulationError as error:
            got = str(error)
        answered = re.search("(load|done) with ([A-Z_]+)", got)
        assert answered, f"seed {seed}, image {index}: {got}"
        # The host checks the sizes of steps, the firmware their operands as well.
        if expected is not RunStatus.OK:
            assert answered[1] == "load", f"seed {seed}, image {index}: {got}, but the host sees {expected.name}"
        answers[answered[0]] += 1
    assert len(answers) > 3, answers


@pytest.mark.cosim
def test_engine_errors_come_with_code_info_and_step(simulation, program):
    source = RAM_BASE + 0x8000
    good = pack_job(Opcode.LOAD, source=source, destination=0, length=4)
    bad = pack_job(Opcode.LOAD, source=source, destination=2, length=4)
    image = with_jobs(program, good, bad)
    assert f"done with ENGINE_ERROR: {EngineError.BAD_SHAPE.name}, info 0x2, step " in answer(
        simulation, program, image
    )


@pytest.mark.cosim
def test_memory_the_engine_cannot_read_is_reported(simulation, program):
    bad = pack_job(Opcode.LOAD, source=0x1000, destination=0, length=4)
    image = with_jobs(program, bad)
    assert "done with ENGINE_ERROR: BAD_MEMORY_ADDRESS, info 0x1000, step 1" in answer(simulation, program, image)


@pytest.mark.cosim
def test_jobs_that_cannot_be_fetched_are_reported(simulation, program):
    image = with_steps(program, step(Step.JOBS, [0, 0]), step(Step.END))
    assert f"done with ENGINE_ERROR: BAD_FETCH, info {RAM_BASE + PROGRAM_OFFSET:#x}, step 1" in answer(
        simulation, program, image
    )


@pytest.mark.cosim
def test_jobs_may_be_handed_over_while_others_are_fetched(simulation):
    builder = Builder((1, 20), seed=5).fully_connected(9, bits=4).fully_connected(6).softmax()
    program = compile(builder.graph(), CONFIG)
    # The steps lie where those of the softmax, and of what is behind it, were.
    offset, count = struct.unpack_from("<2I", program.image, STEPS + 4)
    layers = tuple(layer for layer in program.layers if layer.last_job < count)
    rest = offset + JOB_BYTES
    image = with_steps(program, step(Step.JOBS, [offset, 1]), step(Step.JOBS, [rest, count - 1]), step(Step.END))
    facts = {field.name: getattr(program, field.name) for field in fields(Program)}
    x = builder.input()
    doubtful = Doubtful(**{**facts, "image": image, "layers": layers}, good=program)
    inference = simulation.run(doubtful, [x.tobytes()]).inferences[0]
    assert len(inference.layers) == 3
    expected = execute(builder.graph(), {"x": x})
    for layer in inference.layers:
        np.testing.assert_array_equal(layer.output, expected[layer.tensor])


@pytest.mark.cosim
@needs_compiler
def test_an_engine_without_progress_is_given_up(simulation):
    # Patience of a few looks, and a job during which nothing completes for thousands of cycles.
    program = compile(Builder((1, 2000)).fully_connected(4).graph(), CONFIG)
    impatient = build_firmware(options=["-DPATIENCE=16"])
    assert "done with TIMEOUT, info 0x0, address 0x0, step " in answer(simulation, program, program.image, impatient)


#: Stands in for the UART and plays the host: after every failure it says what the mailbox tells and asks for more.
_HOST = """
#include "system.h"
#include "uart.h"

static const uint32_t script[] = {COMMANDS};
static uint32_t next;

void uart_text(const char *text) {
    if (text[0] != 'C' && text[0] != 'f') {
        return;
    }
    if (text[0] == 'f') {
        announce(EVENT_STEP, *mailbox(MAILBOX_INFO));
        announce(EVENT_STEP, *mailbox(MAILBOX_ADDRESS));
    }
    if (next == sizeof script / sizeof *script) {
        announce(EVENT_TEST, 0);
    } else {
        *mailbox(MAILBOX_COMMAND) = script[next++];
    }
}

void uart_hex(uint32_t value) { (void)value; }

void uart_put(uint8_t byte) { (void)byte; }
"""


def scripted_host(*commands: str) -> str:
    """Source of a host that asks for these commands in turn."""
    return _HOST.replace("COMMANDS", ", ".join(commands))


#: Stands in for the CRC: an illegal instruction the first time, an access to nothing the second time.
FAULTS = """
#include "system.h"
#include "crc32.h"

static uint32_t calls;

/* One copy, so that the test finds the instruction. */
__attribute__((noinline)) uint32_t crc32(const uint32_t *words, uint32_t count) {
    (void)count;
    if (calls++ == 0) {
        __asm__ volatile(".word 0x0BADC0DB");
    }
    (void)*device(0x90001234);
    return words[-1];
}
"""


@pytest.mark.cosim
@needs_compiler
def test_every_failure_is_reported_and_the_next_command_served(tmp_path):
    host = scripted_host("99", "COMMAND_RUN", "COMMAND_LOAD", "COMMAND_RUN", "COMMAND_LOAD", "COMMAND_RUN")
    (tmp_path / "uart.c").write_text(host)
    (tmp_path / "crc32.c").write_text(FAULTS)
    folder = firmware.FIRMWARE.parent
    kept = (path for path in sorted(folder.glob("*.c")) if not (tmp_path / path.name).exists())
    sources = [folder / "start.S", *kept]
    runtime = compile_program([*sources, tmp_path / "uart.c", tmp_path / "crc32.c"], include=[folder])
    illegal = RAM_BASE + runtime.index((0x0BADC0DB).to_bytes(4, "little"))
    # The engine's double has the configuration hash 0.
    image = finish(step(Step.END), memory_bytes=68, steps_offset=64, steps_bytes=4, input_offset=68, output_offset=68)
    memory = runtime.ljust(PROGRAM_OFFSET, b"\0") + image

    system = ProgramRunner(DoubleSoc(CONFIG), "double_soc", BUILD)
    ready, done, told, trap = (event << EVENT_SHIFT for event in (Event.READY, Event.DONE, Event.STEP, Event.TRAP))
    not_loaded = [done | RunStatus.NOT_LOADED, told, told]
    assert system.run(memory, tmp_path).events == [
        ready,
        *(ready | RunStatus.BAD_COMMAND, told | 99, told),
        *not_loaded,
        *(trap | 2, ready | RunStatus.TRAP, told | 2, told | illegal & 0xFF_FFFF),
        *not_loaded,
        *(ready | RunStatus.BUS_ERROR, told, told | 0x1234),
        *not_loaded,
        Event.TEST << EVENT_SHIFT,
    ]
