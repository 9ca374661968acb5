"""Bench of the vector path: random VECTOR jobs, alone and among MAC jobs, judged by the engine's model."""

import os
from random import Random

import cocotb
from cimarron.config import load_config
from cimarron.engine.drain import Drain
from cimarron.engine.vector import Vector
from cimarron.isa import ACT_WINDOW, RAM_BASE, EngineError, Opcode, OutFormat, Profile, Register, pack_job
from cocotb.triggers import FallingEdge
from tblib.activations import expect_model, fill
from tblib.engine import start
from tblib.engine_model import EngineModel, JobError
from tblib.jobs import job_words, random_mac
from tblib.vector_jobs import random_vector

CONFIG = load_config(os.environ.get("CIMARRON_CONFIG", "tiny")).engine


def random_program(rng: Random, jobs: int, macs: float) -> tuple[bytearray, list[list[int]]]:
    """Memory with the streams of random jobs, ``macs`` of which are MAC jobs, and their descriptors."""
    content, words = bytearray(), []
    for _ in range(jobs):
        if rng.random() < macs:
            fields, stream = random_mac(rng, CONFIG, limit=4)
            words.append(job_words({**fields, "weight_addr": RAM_BASE + len(content)}))
        else:
            fields, stream = random_vector(rng, CONFIG)
            words.append(pack_job(Opcode.VECTOR, **fields, table_addr=RAM_BASE + len(content)))
        content += stream.ljust(-(-len(stream) // CONFIG.port_bytes) * CONFIG.port_bytes, b"\0")
    return content, words


async def run_jobs(dut, jobs: int, *, macs: float = 0.0, traffic: bool = False, **pressure: float) -> None:
    """Queue random jobs and compare the whole activation buffer after the last one."""
    content, words = random_program(Random(cocotb.RANDOM_SEED), jobs, macs)
    rng, port = await start(dut, content, **pressure)
    model = EngineModel(CONFIG, content, RAM_BASE)
    await fill(port, model, rng)
    for job in words:
        await port.push(job)
        model.execute(job)
        while traffic and rng.random() < 0.95:
            at = ACT_WINDOW + 4 * rng.randrange(CONFIG.act_buffer_bytes // 4)
            # A write of no byte takes the write port all the same.
            await port.bus(at, rng.choice((None, 0)), sel=0)
    assert model.retired == jobs
    await expect_model(port, model)


@cocotb.test()
async def one_job(dut):
    await run_jobs(dut, 1)


@cocotb.test()
async def queued_jobs(dut):
    await run_jobs(dut, 30)


@cocotb.test()
async def jobs_among_layers(dut):
    await run_jobs(dut, 16, macs=0.5)


@cocotb.test()
async def slow_memory_and_bus_traffic(dut):
    await run_jobs(dut, 16, macs=0.2, traffic=True, stall=0.4, late=0.4)


def spoil(rng: Random, fields: dict[str, int]) -> dict[str, int]:
    """The fields with one of them made impossible."""
    act_bytes = CONFIG.act_buffer_bytes
    names = ("row_bytes", "in_height", "out_width", "out_height", "kernel_h", "kernel_w", "pixel_bytes")
    return fields | rng.choice(
        [
            {"out_format": rng.choice((2, 3))},
            {rng.choice(names): 0},
            {rng.choice(names): 0},
            {"table_addr": RAM_BASE + 1},
            {"table_addr": RAM_BASE + 2**20},
            {"in_base": act_bytes - fields["row_bytes"] + 1, "first_row": 0},
            {"binary": 1, "second_base": act_bytes - fields["pixel_bytes"] + 1},
            {"out_base": act_bytes - fields["pixel_bytes"] + 1},
            {"out_base": 2**32 - 1, "out_pixel_step": 2**24 - 1},
        ]
    )


@cocotb.test()
async def impossible_jobs_end_in_an_error(dut):
    """Each stops the engine with the model's code and info, and after a clear the next job is done."""
    content = bytearray(2**14)
    rng, port = await start(dut, content)
    for _ in range(30):
        fields, stream = random_vector(rng, CONFIG)
        good = {**fields, "table_addr": RAM_BASE}
        content[: len(stream)] = stream
        model = EngineModel(CONFIG, content, RAM_BASE)
        bad = pack_job(Opcode.VECTOR, **spoil(rng, good))
        try:
            model.execute(bad)
        except JobError as error:
            expected = error
        else:
            raise AssertionError("the model accepts the job")
        await port.push(bad)
        assert await port.wait_idle() == expected.code
        assert await port.read(Register.ERROR_INFO) == expected.info
        await port.write(Register.CONTROL, 1)
        await port.push(pack_job(Opcode.VECTOR, **good))
        assert await port.wait_idle() == EngineError.NONE


def walk_fields(
    size: int, *, binary: int = 0, channels: int | None = None, out: tuple[int, int] = (1, 1), kernel: int = 1
) -> dict[str, int]:
    """An elementwise job of ``size`` bytes, or one over square windows of ``channels``."""
    pixel = channels or size
    row = pixel * (out[1] + kernel - 1)
    return {
        "x_signed": 1, "binary": binary, "profile": Profile.ONNX, "out_format": OutFormat.INT8, "in_base": 0,
        "row_bytes": row, "in_height": out[0] + kernel - 1, "first_row": 0, "first_position": 0, "pixel_step": pixel,
        "line_step": row, "stride_h": 1, "out_width": out[1], "out_height": out[0], "kernel_h": kernel,
        "kernel_w": kernel, "pixel_bytes": pixel, "column_step": pixel, "second_base": 1024, "second_pixel_step": pixel,
        "table_addr": RAM_BASE, "out_base": 2048, "out_pixel_step": pixel, "multiplier": 2**23, "out_zero_point": 0,
        "clamp_min": 0x80, "clamp_max": 0x7F, "shift": -23,
    }  # fmt: skip


def predicted(fields: dict[str, int]) -> int:
    """Cycles from ``start`` to the last write, tables in place, as docs/engine.md counts them."""
    port, lanes = CONFIG.act_port_bytes, CONFIG.lanes
    full, rest = divmod(fields["pixel_bytes"], port)
    pieces = [-(-port // lanes)] * full + ([-(-rest // lanes)] if rest else [])
    lookups = pieces * (fields["out_width"] * fields["out_height"])
    reads = fields["kernel_h"] * fields["kernel_w"] + fields["binary"]
    first = Vector.latency + reads
    return first + sum(max(reads, piece) for piece in lookups[:-1]) + lookups[-1] - 1 + Drain.latency


def long_layer(rng: Random) -> list[int]:
    """A MAC job that computes one output again and again, for longer than tables take to load."""
    fields, _ = random_mac(rng, CONFIG)
    fields |= {
        "act_bits": 8, "weight_bits": 8, "out_format": OutFormat.INT8, "in_base": 0, "row_bytes": 1, "in_height": 1,
        "first_row": 0, "first_position": 0, "pixel_step": 0, "out_width": 700, "out_height": 1, "kernel_h": 1,
        "runs": 1, "run_bytes": 1, "row_tiles": 1, "last_rows": 1, "word_tiles": 1, "last_words": 1, "tile_words": 1,
        "tile_position_step": 0, "tile_base_step": 0, "group_words": CONFIG.lanes, "group_columns": 1,
        "edge_columns": 1, "edge_lines": 1, "shared_weights": 0, "out_base": 0, "out_pixel_step": 0,
        "weight_addr": RAM_BASE,
    }  # fmt: skip
    return job_words(fields)


@cocotb.test()
async def cycles_are_those_of_the_formula(dut):
    """Tables load behind a layer; from its retirement on, a job takes two cycles to begin and those of its walk."""
    rng, port = await start(dut, bytearray(4096))
    cases = [
        walk_fields(1), walk_fields(256), walk_fields(250, binary=1), walk_fields(512, binary=1),
        walk_fields(0, channels=5, out=(3, 4), kernel=2), walk_fields(0, channels=16, out=(2, 3)),
        walk_fields(0, channels=8, out=(3, 3), kernel=3), walk_fields(0, channels=21, out=(2, 2), kernel=2, binary=1),
    ]  # fmt: skip
    for fields in cases:
        retired: list[int] = []
        await port.push(long_layer(rng))
        await port.push(pack_job(Opcode.VECTOR, **fields))
        for cycle in range(20_000):
            if dut.monitor__retired.value == 1:
                retired.append(cycle)
            if len(retired) == 2:
                break
            await FallingEdge(dut.clk)
        assert retired[1] - retired[0] == 2 + predicted(fields), fields
