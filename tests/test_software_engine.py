"""The engine in software, on this machine: the firmware's sources with a macro in plain integers, against the model."""

import struct
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest
from cimarron.config import BANK_BYTES, PRESETS, EngineConfig, MacroConfig
from cimarron.isa import JOB_BYTES, JOB_WORDS, RAM_BASE, EngineError, Opcode, OutFormat, Profile, c_header, pack_job
from cimarron_sim import firmware
from cimarron_sim.firmware.build import compiler_version
from tblib.engine_model import EngineModel, JobError
from tblib.jobs import random_mac
from tblib.requantise import edge_pins, expected_value, random_pins, tie_pins
from tblib.vector_jobs import random_vector

pytestmark = pytest.mark.skipif(compiler_version() is None, reason="ziglang is not installed")

HERE = Path(__file__).parent / "software_engine"
FOLDER = firmware.FIRMWARE.parent

#: Where a case has its job, and what the job reads.
JOB, STREAM = RAM_BASE, RAM_BASE + JOB_BYTES

SMALL = PRESETS["icebreaker"].engine
CONFIGS = {
    "icebreaker": SMALL,
    "rows of two words": replace(SMALL, macro=MacroConfig(rows=24, words=16, write_bits=32, max_weight_bits=16)),
    "narrow cells": replace(SMALL, macro=MacroConfig(rows=8, words=16, cell_bits=1, max_weight_bits=4)),
    "a word": replace(SMALL, macro=MacroConfig(rows=16, words=8)),
}


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    """The engine's sources as a program of this machine; undefined behaviour ends it."""
    folder = tmp_path_factory.mktemp("engine")
    (folder / "isa.h").write_text(c_header())
    sources = [path for path in sorted((FOLDER / "picorv32").glob("*.c")) if path.name != "divide.c"]
    command = [sys.executable, "-m", "ziglang", "cc", "-std=c11", "-O1"]
    command += ["-fsanitize=undefined", "-fno-sanitize-recover=all", "-Wall", "-Wextra", "-Werror"]
    command += ["-DENGINE_IN_SOFTWARE", f"-I{folder}", f"-I{FOLDER}"]
    for header in ("isa.h", "system.h", "macro.h"):
        command += ["-include", str((folder if header == "isa.h" else HERE) / header)]
    command += [str(HERE / "host.c"), *map(str, sources), "-o", str(folder / "engine")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "engine"


@dataclass
class Case:
    """One job, the memory from it on, and the activations before."""

    config: EngineConfig
    words: Sequence[int]
    stream: bytes
    activations: bytes

    @property
    def memory(self) -> bytes:
        return (struct.pack(f"<{JOB_WORDS}I", *self.words) + self.stream).ljust(BANK_BYTES, b"\0")

    def encoded(self) -> bytes:
        macro = self.config.macro
        widths = macro.cell_bits | macro.max_weight_bits << 8 | macro.max_act_bits << 16
        facts = (self.config.hash, macro.rows, macro.words, widths, self.config.act_buffer_bytes,
                 self.config.psum_entries, 0, 0)  # fmt: skip
        bank = self.activations.ljust(BANK_BYTES, b"\0")
        return struct.pack("<8I", *facts) + self.memory + bank + struct.pack("<I", JOB)

    def expected(self) -> tuple[int, int, bytes, bytes]:
        """Error code, info, activations and memory, as the model has them."""
        model = EngineModel(self.config, bytearray(self.memory), RAM_BASE)
        model.activations[:] = self.activations
        try:
            model.execute(self.words)
        except JobError as error:
            return error.code, error.info, bytes(model.activations), bytes(model.memory)
        return 0, 0, bytes(model.activations), bytes(model.memory)


def run(program: Path, cases: Sequence[Case]) -> list[tuple[int, int, bytes, bytes]]:
    done = subprocess.run([program], input=b"".join(case.encoded() for case in cases), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    size = 8 + 2 * BANK_BYTES
    assert len(done.stdout) == size * len(cases)
    outcomes = []
    for case, start in zip(cases, range(0, len(done.stdout), size), strict=True):
        code, info = struct.unpack_from("<2I", done.stdout, start)
        bank = start + 8 + BANK_BYTES
        memory, activations = done.stdout[start + 8 : bank], done.stdout[bank : bank + case.config.act_buffer_bytes]
        outcomes.append((code, info, activations, memory))
    return outcomes


def compare(program: Path, cases: Sequence[Case]) -> list[int]:
    """Every outcome must be the model's; the error codes."""
    codes = []
    for index, (case, got) in enumerate(zip(cases, run(program, cases), strict=True)):
        expected = case.expected()
        assert got[:2] == expected[:2], f"case {index}: {EngineError(got[0]).name} {got[1]:#x}"
        if expected[2] != got[2]:
            at = next(i for i, (a, b) in enumerate(zip(expected[2], got[2], strict=True)) if a != b)
            pytest.fail(f"case {index}: activation {at:#x} is {got[2][at]:#x}, not {expected[2][at]:#x}")
        assert expected[3] == got[3], f"case {index}: memory differs"
        codes.append(got[0])
    return codes


def mac_case(rng: Random, config: EngineConfig, **changes: int) -> Case:
    fields, stream = random_mac(rng, config, limit=4)
    words = pack_job(Opcode.MAC, **(fields | {"weight_addr": STREAM} | changes))
    return Case(config, words, stream, rng.randbytes(config.act_buffer_bytes))


def vector_case(rng: Random, config: EngineConfig, **changes: int) -> Case:
    fields, tables = random_vector(rng, config, limit=4)
    words = pack_job(Opcode.VECTOR, **(fields | {"table_addr": STREAM} | changes))
    return Case(config, words, tables, rng.randbytes(config.act_buffer_bytes))


@pytest.mark.parametrize("name", CONFIGS)
def test_layers_come_out_as_the_model_says(program, name):
    rng = Random(name)
    small = replace(CONFIGS[name], act_buffer_bytes=4096)
    assert set(compare(program, [mac_case(rng, small) for _ in range(40)])) == {0}


def test_vector_jobs_come_out_as_the_model_says(program):
    rng = Random(2)
    small = replace(SMALL, act_buffer_bytes=4096)
    assert set(compare(program, [vector_case(rng, small) for _ in range(40)])) == {0}


def requantising_cases(pins: Iterable[dict[str, int]]) -> tuple[list[Case], list[list[int]]]:
    """VECTOR jobs whose tables hold sums: those with the same numbers beside them share a job; and what must come."""
    groups: defaultdict[tuple, list[dict[str, int]]] = defaultdict(list)
    for pin in pins:
        groups[tuple(value for name, value in pin.items() if name != "acc")].append(pin)
    cases, expected = [], []
    for group in groups.values():
        for start in range(0, len(group), 256):
            some = group[start : start + 256]
            first, count = some[0], len(some)
            shift = first["shift"] - (first["shift"] >> 7 << 8)
            words = pack_job(
                Opcode.VECTOR, x_signed=0, binary=0, profile=Profile(first["profile"]),
                out_format=OutFormat.UINT8 if first["out_unsigned"] else OutFormat.INT8, in_base=0, row_bytes=count,
                in_height=1, first_row=0, first_position=0, pixel_step=1, line_step=1, stride_h=1, out_width=1,
                out_height=1, kernel_h=1, kernel_w=1, pixel_bytes=count, column_step=1, second_base=0,
                second_pixel_step=0, table_addr=STREAM, out_base=256, out_pixel_step=count,
                multiplier=first["multiplier"], shift=shift, out_zero_point=first["zero_point"],
                clamp_min=first["clamp_min"], clamp_max=first["clamp_max"],
            )  # fmt: skip
            table = struct.pack(f"<{count}I", *(pin["acc"] for pin in some)).ljust(1024, b"\0")
            cases.append(Case(SMALL, words, table, bytes(range(256)).ljust(SMALL.act_buffer_bytes, b"\0")))
            expected.append([expected_value(pin) for pin in some])
    return cases, expected


@pytest.mark.parametrize("profile", Profile)
def test_sums_are_rounded_as_the_reference_rounds(program, profile):
    rng = Random(3)
    pins = [*edge_pins(profile), *tie_pins(profile)]
    pins += [pin for pin in (random_pins(rng) for _ in range(600)) if pin["profile"] == profile]
    cases, expected = requantising_cases(pins)
    for (code, _, activations, _), values in zip(run(program, cases), expected, strict=True):
        assert code == 0
        assert list(activations[256 : 256 + len(values)]) == values


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"weight_bits": 5}, EngineError.BAD_WIDTH),
        ({"weight_bits": 16}, EngineError.BAD_WIDTH),
        ({"act_bits": 0}, EngineError.BAD_WIDTH),
        ({"act_bits": 9}, EngineError.BAD_WIDTH),
        ({"out_format": 3}, EngineError.BAD_WIDTH),
        *(
            ({name: 0}, EngineError.BAD_SHAPE)
            for name in (
                "row_bytes", "in_height", "out_width", "out_height", "kernel_h", "runs", "run_bytes", "row_tiles",
                "last_rows", "word_tiles", "last_words", "tile_words", "group_words", "group_columns",
            )
        ),
        ({"last_rows": 17}, EngineError.BAD_SHAPE),
        ({"last_words": 9}, EngineError.BAD_SHAPE),
        ({"group_words": 9}, EngineError.BAD_SHAPE),
        ({"weight_addr": STREAM + 2}, EngineError.BAD_SHAPE),
        ({"row_tiles": 65535}, EngineError.BAD_SHAPE),
        ({"weight_addr": RAM_BASE + BANK_BYTES - 20}, EngineError.BAD_MEMORY_ADDRESS),
        ({"weight_addr": 0x1000}, EngineError.BAD_MEMORY_ADDRESS),
        ({"in_base": 32768, "first_row": 0}, EngineError.BAD_ACT_ADDRESS),
        ({"out_base": 32768}, EngineError.BAD_ACT_ADDRESS),
    ],
)  # fmt: skip
def test_impossible_layers_are_refused_with_the_model_s_error(program, changes, code):
    rng = Random(4)
    cases = [mac_case(rng, SMALL, **changes) for _ in range(6)]
    assert code in set(compare(program, cases))


def many_sums(rng: Random, config: EngineConfig) -> Case:
    """A layer with more than 16 partial sums, on hardware that has no more."""
    while True:
        case = mac_case(rng, config)
        if case.words[20] > 16:
            return replace(case, config=replace(config, psum_entries=16))


def test_partial_sums_that_do_not_fit_are_refused(program):
    assert compare(program, [many_sums(Random(5), SMALL)]) == [EngineError.PSUM_OVERFLOW]


def test_jobs_that_lie_about_their_partial_sums_are_refused(program):
    case = many_sums(Random(6), SMALL)
    lying = list(case.words)
    needed, lying[20] = lying[20], 1
    ((code, info, _, _),) = run(program, [replace(case, words=lying)])
    assert (code, info) == (EngineError.PSUM_OVERFLOW, needed)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"out_format": OutFormat.INT32}, EngineError.BAD_WIDTH),
        *(({name: 0}, EngineError.BAD_SHAPE) for name in ("row_bytes", "out_width", "kernel_w", "pixel_bytes")),
        ({"table_addr": STREAM + 1}, EngineError.BAD_SHAPE),
        ({"table_addr": RAM_BASE + BANK_BYTES - 64}, EngineError.BAD_MEMORY_ADDRESS),
        ({"in_base": 32768, "first_row": 0}, EngineError.BAD_ACT_ADDRESS),
        ({"binary": 1, "second_base": 32768}, EngineError.BAD_ACT_ADDRESS),
        ({"out_base": 32767}, EngineError.BAD_ACT_ADDRESS),
    ],
)
def test_impossible_vector_jobs_are_refused_with_the_model_s_error(program, changes, code):
    rng = Random(7)
    cases = [vector_case(rng, SMALL, **changes) for _ in range(6)]
    assert code in set(compare(program, cases))


@pytest.mark.parametrize(
    ("source", "destination", "length"),
    [
        (RAM_BASE, 0, 1), (RAM_BASE + 4, 8, 5), (RAM_BASE + BANK_BYTES - 4, 32764, 4), (RAM_BASE, 0, 32768),
        (RAM_BASE + 2, 0, 4), (RAM_BASE, 2, 4), (RAM_BASE, 0, 0), (RAM_BASE, 32764, 5), (RAM_BASE, 4, 0xFFFF_FFFF),
        (RAM_BASE + BANK_BYTES - 4, 0, 5), (0x1000, 0, 4),
    ],
)  # fmt: skip
def test_loads_copy_or_are_refused_as_the_model_says(program, source, destination, length):
    words = pack_job(Opcode.LOAD, source=source, destination=destination, length=length)
    rng = Random(8)
    compare(program, [Case(SMALL, words, rng.randbytes(40000), rng.randbytes(32768))])


@pytest.mark.parametrize(
    ("source", "destination", "length"),
    [
        (0, RAM_BASE + 0x1000, 4), (3, RAM_BASE + 0x1001, 7), (32767, RAM_BASE + BANK_BYTES - 1, 1),
        (8, RAM_BASE + 0x1000, 11), (2, RAM_BASE + 0x1002, 9), (8, RAM_BASE + BANK_BYTES - 8, 12),
        (0, RAM_BASE + 0x1000, 0), (32767, RAM_BASE, 2), (4, RAM_BASE, 0xFFFF_FFFF),
        (1, RAM_BASE + BANK_BYTES - 5, 9), (0, RAM_BASE - 3, 4), (0, 0x1002, 4),
    ],
)  # fmt: skip
def test_stores_copy_or_are_refused_as_the_model_says(program, source, destination, length):
    words = pack_job(Opcode.STORE, source=source, destination=destination, length=length)
    rng = Random(9)
    compare(program, [Case(SMALL, words, rng.randbytes(40000), rng.randbytes(32768))])


def test_unknown_opcodes_are_refused(program):
    words = [0x7F] + [0] * (JOB_WORDS - 1)
    assert compare(program, [Case(SMALL, words, b"", bytes(32768))]) == [EngineError.BAD_OPCODE]
