"""Bench of the engine among enemies: whatever software does, it ends, says so, and can be cleared."""

import os
from random import Random

import cocotb
from cimarron.config import load_config
from cimarron.isa import (
    ACT_WINDOW,
    JOB_FIELDS,
    RAM_BASE,
    EngineError,
    Instruction,
    Opcode,
    OutFormat,
    Register,
    pack_job,
)
from cocotb.triggers import ClockCycles, FallingEdge, gather
from tblib.engine import EnginePort, start
from tblib.engine_model import EngineModel
from tblib.jobs import job_words, random_mac, random_store
from tblib.vector_jobs import random_vector

CONFIG = load_config(os.environ.get("CIMARRON_CONFIG", "tiny")).engine

#: Memory behind the engine: the honest job's stream from the start, a hostile one's from the middle on.
MEMORY_BYTES = 2**17
HOSTILE_ADDR = RAM_BASE + MEMORY_BYTES // 2

#: Polls of STATUS within which a LOAD of the whole buffer and a small MAC job are done, and those within which an
#: enormous one finishes some operation.
PATIENCE, STEP_PATIENCE = 3000, 1000


def place(fields: dict[str, int]) -> tuple[range, range]:
    """Activation addresses that an honest MAC job reads, and those it writes, with the gaps between them."""
    first = fields["in_base"] - fields["first_row"] * fields["row_bytes"] & 0xFFFF_FFFF
    last_tile = fields["word_tiles"] - 1
    end = first + last_tile * fields["tile_base_step"] + fields["in_height"] * fields["row_bytes"]
    size = 4 if fields["out_format"] == OutFormat.INT32 else 1
    lines = -(-fields["tile_words"] // (fields["group_words"] * fields["group_columns"]))
    steps = (
        (last_tile, "out_tile_step"),
        (fields["out_height"] - 1, "out_line_step"),
        (fields["out_width"] - 1, "out_pixel_step"),
        (lines - 1, "group_line_step"),
        (fields["group_columns"] - 1, "group_step"),
    )
    last = fields["out_base"] + sum(count * fields[name] for count, name in steps)
    return range(first, end), range(fields["out_base"], last + min(fields["group_words"], fields["tile_words"]) * size)


def honest_job(rng: Random, memory: bytearray, at: int = RAM_BASE) -> dict[str, int]:
    """A small valid job, its stream placed in memory."""
    fields, stream = random_mac(rng, CONFIG, limit=4)
    memory[at - RAM_BASE : at - RAM_BASE + len(stream)] = stream
    return {**fields, "weight_addr": at}


def any_job(rng: Random, memory: bytearray, at: int) -> list[int]:
    """Descriptor of a small valid job that computes, or writes memory from ``at`` on."""
    if rng.random() < 0.2:
        return pack_job(Opcode.STORE, **random_store(rng, CONFIG, range(at, RAM_BASE + len(memory))))
    if rng.random() < 0.5:
        return job_words(honest_job(rng, memory, at))
    fields, tables = random_vector(rng, CONFIG, limit=4)
    memory[at - RAM_BASE : at - RAM_BASE + len(tables)] = tables
    return pack_job(Opcode.VECTOR, **fields, table_addr=at)


async def expect_health(port: EnginePort, rng: Random, memory: bytearray) -> None:
    """Without any preparation, an honest job gives what the model says, in its bytes and in those next to them."""
    fields = honest_job(rng, memory)
    model = EngineModel(CONFIG, memory, RAM_BASE)
    read, written = place(fields)
    for span in (written, read):
        low, high = max(0, (span.start & ~3) - 4), min(CONFIG.act_buffer_bytes, (span.stop + 3 & ~3) + 4)
        data = rng.randbytes(high - low)
        model.activations[low:high] = data
        await port.write_act(low, data)
    await port.push(job_words(fields))
    model.execute(job_words(fields))
    assert await port.wait_idle() == EngineError.NONE
    assert await port.read(Register.RETIRED) == 1
    low, high = max(0, written.start - 4), min(CONFIG.act_buffer_bytes, written.stop + 4)
    assert await port.read_act(low, high - low) == model.activations[low:high]


async def clear(port: EnginePort) -> None:
    """CONTROL leaves an idle engine without an error, at once."""
    await port.write(Register.CONTROL, 1)
    assert await port.read(Register.STATUS) & 3 == 0
    assert await port.read(Register.ERROR) == EngineError.NONE
    assert await port.read(Register.BUSY) == 0


async def settle(port: EnginePort) -> None:
    """Wait for the job at hand to end, well or with a sticky error; one that goes on has to get somewhere."""
    for _ in range(PATIENCE):
        status = await port.read(Register.STATUS)
        if status & 2:
            assert await port.read(Register.ERROR) in set(EngineError) - {EngineError.NONE}
            return
        if not status & 1:
            return
    before = await port.read(Register.OPERATIONS)
    for _ in range(STEP_PATIENCE):
        if await port.read(Register.OPERATIONS) != before or await port.read(Register.ERROR):
            return
    raise AssertionError(f"the engine hangs: {before} operations done, status {status:#x}")


def spoiled(rng: Random, words: list[int]) -> list[int]:
    """A descriptor with a few bits flipped."""
    words = list(words)
    for _ in range(rng.randrange(1, 4)):
        words[rng.randrange(len(words))] ^= 1 << rng.randrange(32)
    return words


def extreme(rng: Random, words: list[int]) -> list[int]:
    """A descriptor with some fields at an end of their range or anywhere in it."""
    words = list(words)
    layout = JOB_FIELDS[Opcode(words[0] & 0xFF)]
    names = sorted(layout.keys() - {"opcode"})
    for name in rng.sample(names, min(len(names), rng.randrange(1, 6))):
        field = layout[name]
        mask = (1 << field.bits) - 1
        value = rng.choice((0, 1, mask, mask >> 1, (mask >> 1) + 1, rng.getrandbits(field.bits)))
        words[field.word] = words[field.word] & ~(mask << field.low) | value << field.low
    return words


def random_words(rng: Random, words: list[int]) -> list[int]:
    """Anything at all, often with an opcode that exists."""
    first = rng.getrandbits(32) if rng.random() < 0.2 else rng.getrandbits(24) << 8 | rng.choice(list(Opcode))
    return [first, *(rng.getrandbits(32) for _ in words[1:])]


async def survive(dut, mangle, jobs: int) -> None:
    """Run mangled jobs; each ends or goes on working, and after a clear nothing of it is left."""
    memory = bytearray(MEMORY_BYTES)
    rng, port = await start(dut, memory, stall=0.1, late=0.1)
    for _ in range(jobs):
        words = mangle(rng, any_job(rng, memory, HOSTILE_ADDR))
        dut._log.debug("job %s", " ".join(f"{word:08x}" for word in words))
        for a, b in zip(words[::2], words[1::2], strict=True):
            await port.instruction(Instruction.PUSH, a, b)
        await settle(port)
        await clear(port)
        await expect_health(port, rng, memory)
        await clear(port)


@cocotb.test()
async def flipped_bits_never_hang_it(dut):
    await survive(dut, spoiled, 12)


@cocotb.test()
async def extreme_fields_never_hang_it(dut):
    await survive(dut, extreme, 12)


@cocotb.test()
async def random_words_never_hang_it(dut):
    await survive(dut, random_words, 8)


@cocotb.test()
async def it_is_cleared_at_any_moment(dut):
    """Through either port, in the middle of descriptors, loads and computations."""
    memory = bytearray(MEMORY_BYTES)
    rng, port = await start(dut, memory, stall=0.2, late=0.2)
    for _ in range(15):
        words = any_job(rng, memory, HOSTILE_ADDR)
        stream = [*words, *words][: 2 * rng.randrange(1, len(words) + 1)]
        for a, b in zip(stream[::2], stream[1::2], strict=True):
            await port.instruction(Instruction.PUSH, a, b)
        await ClockCycles(dut.clk, rng.randrange(1, 400))
        await FallingEdge(dut.clk)
        if rng.random() < 0.5:
            await port.bus(Register.CONTROL, 1)
        await clear(port)
        await expect_health(port, rng, memory)
        await clear(port)


async def random_commands(port: EnginePort, rng: Random, count: int) -> None:
    """Custom instructions with any function and operands, most of them about a register."""
    for _ in range(count):
        function = rng.choice((*Instruction, rng.getrandbits(10)))
        operand = rng.choice((*Register, rng.getrandbits(8), rng.getrandbits(32)))
        await port.instruction(function, operand, rng.choice((0, 1, rng.getrandbits(32))))


async def random_accesses(port: EnginePort, rng: Random, count: int) -> None:
    """Reads and writes anywhere in the bus window, most of them of a register or inside the activation buffer."""
    for _ in range(count):
        inside = ACT_WINDOW + rng.randrange(CONFIG.act_buffer_bytes)
        address = rng.choice((*Register, inside, inside, rng.randrange(2 * ACT_WINDOW))) & ~3
        await port.bus(address, rng.choice((None, 0, 1, rng.getrandbits(32))), rng.getrandbits(4))


@cocotb.test()
async def every_access_is_answered(dut):
    """On both ports at once, whatever they ask for, with jobs in the engine."""
    memory = bytearray(MEMORY_BYTES)
    rng, port = await start(dut, memory, stall=0.2, late=0.2)
    for _ in range(6):
        await port.push(any_job(rng, memory, HOSTILE_ADDR))
        await gather(random_commands(port, rng, 60), random_accesses(port, rng, 60))
        await clear(port)
        await expect_health(port, rng, memory)
        await clear(port)


@cocotb.test()
async def neighbours_are_written_while_jobs_run(dut):
    """Writes of any bytes of a word through the window, next to what a job reads and writes, and reads of both."""
    memory = bytearray(MEMORY_BYTES)
    rng, port = await start(dut, memory, stall=0.2, late=0.2)
    model = EngineModel(CONFIG, memory, RAM_BASE)
    data = rng.randbytes(CONFIG.act_buffer_bytes)
    model.activations[:] = data
    await port.write_act(0, data)
    for _ in range(8):
        fields = honest_job(rng, memory)
        read, written = place(fields)
        await port.push(job_words(fields))
        model.execute(job_words(fields))
        edges = [at + step for at in (read.start, read.stop, written.start, written.stop) for step in range(-8, 8, 4)]
        while await port.read(Register.STATUS) & 1:
            word = rng.choice([edge & ~3 for edge in edges if 0 <= edge < CONFIG.act_buffer_bytes])
            lanes = [lane for lane in range(4) if word + lane not in read and word + lane not in written]
            chosen = rng.sample(lanes, rng.randrange(len(lanes) + 1))
            value = rng.getrandbits(32)
            await port.bus(ACT_WINDOW + word, value, sum(1 << lane for lane in chosen))
            for lane in chosen:
                model.activations[word + lane] = value >> 8 * lane & 0xFF
            around = rng.choice(edges) & CONFIG.act_buffer_bytes - 4
            got = await port.read_act(around, 4)
            stable = [at for at in range(around, around + 4) if at not in written]
            assert all(got[at - around] == model.activations[at] for at in stable)
        assert await port.read(Register.ERROR) == EngineError.NONE
    assert await port.read_act(0, CONFIG.act_buffer_bytes) == model.activations
