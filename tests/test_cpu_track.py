"""What the harness says that the CPU did must be what its program counter did, as the waveforms have it.

A wait is found without any knowledge of what the engine answers: questions to it, one soon after the other, and no
other custom instruction in between.
"""

import dataclasses
import re
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from cimarron.config import PRESETS
from cimarron.isa import JOB_BYTES, PROGRAM_HEADER, RAM_BASE, Instruction, Step
from cimarron_sim import firmware
from cimarron_sim.compiler import compile
from cimarron_sim.compiler.image import finish, step
from cimarron_sim.compiler.program import Program
from cimarron_sim.runner.simulation import Simulation
from cimarron_sim.runner.timeline import Activity
from networks import two_layers
from random_graphs import Builder

TINY = PRESETS["tiny"]

#: Instructions from a look at the engine to the next, at most, when the CPU waits.
LOOP = 20
#: Clock cycles from the engine's answer until the instruction that asked has left the pipeline, at most.
PIPELINE = 3

SIGNALS = ("lastStagePc", "lastStageIsFiring", "iBusWishbone_CYC", "dBusWishbone_CYC")


def whole() -> Program:
    """One step that hands over all jobs."""
    return compile(two_layers(), TINY)


def in_two_parts() -> Program:
    """Two steps hand over the jobs, so that the second finds the engine fetching.

    They lie where the program had a step of the CPU, with what was behind it: the output stays where it is.
    """
    program = compile(Builder((1, 20)).fully_connected(11).fully_connected(5).softmax().graph(), TINY)
    header = program.header
    body = bytearray(program.image[4 * len(PROGRAM_HEADER) :])
    offset = header["steps_offset"] - 4 * len(PROGRAM_HEADER)
    word, first, jobs = struct.unpack_from("<3I", body, offset)
    assert word & 0xFF == Step.JOBS
    last = step(Step.JOBS, [first + (jobs - 1) * JOB_BYTES, 1])
    steps = step(Step.JOBS, [first, jobs - 1]) + last + step(Step.END)
    assert len(steps) <= header["steps_bytes"]
    body[offset : offset + len(steps)] = steps
    fixed = ("magic", "version", "image_bytes", "crc32")
    image = finish(bytes(body), **{name: value for name, value in header.items() if name not in fixed})
    layers = tuple(layer for layer in program.layers if layer.last_job < jobs)
    return dataclasses.replace(program, image=image, layers=layers)


def waveforms(path: Path) -> dict[str, list[int]]:
    """Values of `SIGNALS` in each clock cycle, before it ends: at every second time of the file.

    The file is Verilator's, of two states and a change per line; other readers refuse names with a dollar in front.
    """
    names: dict[str, str] = {}
    values: dict[str, int] = dict.fromkeys(SIGNALS, 0)
    cycles: dict[str, list[int]] = {name: [] for name in SIGNALS}
    now = 0
    for line in path.read_text().splitlines():
        if variable := re.match(r"\s*\$var wire +\d+ (\S+) (\w+)( \[\S+\])? \$end", line):
            if variable[2] in SIGNALS:
                names[variable[1]] = variable[2]
        elif time := re.fullmatch(r"#(\d+)", line):
            for passed in range(now, now := int(time[1])):
                if passed % 2 == 0:
                    for name in SIGNALS:
                        cycles[name].append(values[name])
        elif (change := re.fullmatch(r"(?:b([01]+) |([01]))(\S+)", line)) and change[3] in names:
            values[names[change[3]]] = int(change[1] or change[2], 2)
    assert set(names.values()) == set(SIGNALS)
    return cycles


def custom_instructions() -> dict[int, int]:
    """Functions of the custom instructions in the firmware, by address: those with opcode custom-0."""
    image = firmware.load()
    words = struct.unpack(f"<{len(image) // 4}I", image)
    return {RAM_BASE + 4 * i: word >> 12 & 7 for i, word in enumerate(words) if word & 0x7F == 0b0001011}


def waits(completed: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """First and last look of each wait, in clock cycles; `completed` are cycles and addresses of all instructions."""
    functions = custom_instructions()
    asked = [
        (index, cycle, functions[address]) for index, (cycle, address) in enumerate(completed) if address in functions
    ]
    found: list[list[int]] = []
    again = False
    for (index, cycle, function), (index_after, cycle_after, function_after) in pairwise(asked):
        loops = function == function_after == Instruction.READ and index_after - index <= LOOP
        if loops and not again:
            found.append([cycle, cycle_after])
        elif loops:
            found[-1][1] = cycle_after
        again = loops
    return [(first, last) for first, last in found]


@pytest.fixture(scope="module", params=[whole, in_two_parts], ids=lambda make: make.__name__)
def seen(request, tmp_path_factory) -> tuple[tuple[Activity, ...], dict[str, list[int]]]:
    """What the harness says of an inference, and its waveforms."""
    path = tmp_path_factory.mktemp("waves") / "inference.vcd"
    program = request.param()
    data = np.random.default_rng(3).integers(0, 256, program.input.nbytes, np.uint8).tobytes()
    # The second finds warm caches; the waveforms begin with the first.
    first, second = Simulation(TINY, trace=path).run(program, [data] * 2).inferences
    assert second.timeline is not None
    waves = {name: values[first.cycles :][: second.cycles] for name, values in waveforms(path).items()}
    return second.timeline.cpu, waves


@pytest.mark.cosim
@pytest.mark.slow
def test_the_cpu_waits_where_its_program_counter_loops(seen):
    cpu, waves = seen
    fired = [cycle for cycle, fires in enumerate(waves["lastStageIsFiring"]) if fires]
    loops = waits([(cycle, waves["lastStagePc"][cycle]) for cycle in fired])
    told = [part for part in cpu if part.waits]
    assert len(told) == len(loops) > 0
    for part, (first, last) in zip(told, loops, strict=True):
        assert 0 < first - part.begin <= PIPELINE
        assert 0 < last - part.end <= PIPELINE


@pytest.mark.cosim
@pytest.mark.slow
def test_instructions_and_requests_are_those_of_the_core(seen):
    cpu, waves = seen
    for part in cpu:
        assert part.instructions == sum(waves["lastStageIsFiring"][part.begin : part.end])
        buses = [waves[name][part.begin : part.end] for name in ("iBusWishbone_CYC", "dBusWishbone_CYC")]
        assert part.bus == sum(instruction or data for instruction, data in zip(*buses, strict=True))
        # The loop is in the instruction cache, and a custom instruction is no request.
        assert part.bus == 0 or not part.waits


@pytest.mark.cosim
@pytest.mark.slow
def test_a_refused_hand_over_waits_until_the_engine_has_fetched():
    _, inference = Simulation(TINY).run(in_two_parts(), [bytes(20)] * 2, processes=1).inferences
    timeline = inference.timeline
    assert timeline is not None
    cpu = timeline.cpu
    assert [(part.step, part.waits) for part in cpu] == [
        (None, False), (0, False), (1, False), (1, True), (1, False), (2, False), (2, True), (2, False),
    ]  # fmt: skip
    # The engine still works on what it was given first when the second hand-over is accepted.
    (_, second) = [part for part in cpu if part.waits]
    assert [part.kind for part in cpu] == ["command", *["jobs"] * 4, *["end"] * 3]
    assert second.end > timeline.spans[-1].end
    first = cpu[3]
    assert first.end < timeline.spans[1].end
