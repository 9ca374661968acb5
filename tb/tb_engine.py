"""Bench of the engine: random jobs from random memories, judged by a model that knows only the descriptors."""

import os
from random import Random

import cocotb
from cimarron.config import load_config
from cimarron.isa import (
    ACT_WINDOW,
    ENGINE_ID,
    JOB_WORDS,
    RAM_BASE,
    EngineError,
    Instruction,
    Opcode,
    OutFormat,
    Register,
    pack_job,
)
from cocotb.triggers import FallingEdge
from tblib.activations import expect_model, fill
from tblib.engine import start
from tblib.engine_model import EngineModel, JobError
from tblib.jobs import job_words, random_mac

CONFIG = load_config(os.environ.get("CIMARRON_CONFIG", "tiny")).engine


@cocotb.test()
async def registers_answer_on_both_ports(dut):
    _, port = await start(dut)
    for read in (port.bus, port.read):
        assert await read(Register.ID) == ENGINE_ID
        assert await read(Register.CONFIG_HASH) == CONFIG.hash
    await port.write(Register.IRQ_ENABLE, 3)
    assert await port.bus(Register.IRQ_ENABLE) == 3


@cocotb.test()
async def activation_buffer_is_reached_through_the_window(dut):
    rng, port = await start(dut)
    data = rng.randbytes(64)
    await port.write_act(128, data)
    await port.bus(ACT_WINDOW + 132, 0xDDCCBBAA, sel=0b0101)
    expected = bytearray(data)
    expected[4], expected[6] = 0xAA, 0xCC
    assert await port.read_act(128, 64) == expected
    last = CONFIG.act_buffer_bytes - 4
    await port.write_act(last, b"last")
    assert await port.read_act(last, 4) == b"last"
    assert await port.read(Register.ERROR) == EngineError.NONE


@cocotb.test()
async def inputs_are_loaded(dut):
    rng = Random(cocotb.RANDOM_SEED)
    content = bytearray(rng.randbytes(1024))
    _, port = await start(dut, content, stall=0.3, late=0.3)
    for _ in range(8):
        offset = rng.randrange(8) * CONFIG.port_bytes
        destination = rng.randrange(8) * CONFIG.act_port_bytes
        length = rng.randrange(1, 300)
        before = await port.read_act(0, 512)
        await port.push(pack_job(Opcode.LOAD, source=RAM_BASE + offset, destination=destination, length=length))
        assert await port.wait_idle() == EngineError.NONE
        expected = bytearray(before)
        expected[destination : destination + length] = content[offset : offset + length]
        assert await port.read_act(0, 512) == expected


def random_program(rng: Random, jobs: int) -> tuple[bytearray, list[list[int]]]:
    """Memory with the weight streams of random jobs, and their descriptors."""
    content, words = bytearray(), []
    for _ in range(jobs):
        fields, stream = random_mac(rng, CONFIG)
        words.append(job_words({**fields, "weight_addr": RAM_BASE + len(content)}))
        content += stream
    return content, words


async def run_jobs(dut, jobs: int, *, traffic: bool, **pressure: float) -> None:
    """Queue random jobs and compare the whole activation buffer after the last one."""
    content, words = random_program(Random(cocotb.RANDOM_SEED), jobs)
    rng, port = await start(dut, content, **pressure)
    model = EngineModel(CONFIG, content, RAM_BASE)
    await fill(port, model, rng)
    for job in words:
        await port.push(job)
        model.execute(job)
        while traffic and rng.random() < 0.8:
            await port.bus(ACT_WINDOW + 4 * rng.randrange(CONFIG.act_buffer_bytes // 4))
    assert model.retired == jobs
    await expect_model(port, model)


@cocotb.test()
async def one_job(dut):
    await run_jobs(dut, 1, traffic=False)


@cocotb.test()
async def queued_jobs(dut):
    await run_jobs(dut, 12, traffic=False)


@cocotb.test()
async def queued_jobs_with_slow_memory_and_bus_traffic(dut):
    await run_jobs(dut, 8, traffic=True, stall=0.4, late=0.4)


def spoil(rng: Random, fields: dict[str, int]) -> dict[str, int]:
    """The fields with one of them made impossible."""
    act_bytes, macro = CONFIG.act_buffer_bytes, CONFIG.macro
    return fields | rng.choice(
        [
            {"act_bits": rng.choice((0, *range(macro.max_act_bits + 1, 16)))},
            {"weight_bits": rng.choice([bits for bits in range(32) if bits not in macro.weight_widths])},
            {"out_format": 3},
            {rng.choice(("row_bytes", "in_height", "out_width", "out_height", "kernel_h", "runs", "run_bytes")): 0},
            {"row_tiles": 0},
            {"last_rows": rng.choice((0, macro.rows + 1))},
            {"word_tiles": 0},
            {rng.choice(("last_words", "tile_words")): rng.choice((0, macro.words + 1))},
            {"group_words": rng.choice((0, macro.words + CONFIG.lanes, *range(1, CONFIG.lanes)))},
            {"group_columns": 0},
            {"weight_addr": RAM_BASE + 1},
            {"row_tiles": 2, "psum_entries": CONFIG.psum_entries + 1},
            {"in_base": act_bytes, "first_row": 0},
            {"out_base": act_bytes - 1, "out_format": OutFormat.INT32},
            {
                "out_base": act_bytes - 1,
                "out_format": OutFormat.INT8,
                "last_words": 2,
                "group_words": macro.words,
                "out_pixel_step": 0,
                "edge_columns": 1,
                "edge_lines": 1,
            },
            {"last_rows": fields["last_rows"] % macro.rows + 1},
        ]
    )


@cocotb.test()
async def impossible_jobs_end_in_an_error(dut):
    """Each stops the engine with the model's code and info, leaves its neighbours' results, and is cleared."""
    rng = Random(cocotb.RANDOM_SEED)
    content, words = random_program(rng, 1)
    spare = -(-len(content) // CONFIG.port_bytes) * CONFIG.port_bytes
    content += bytes(2**16)
    rng, port = await start(dut, content)
    for _ in range(30):
        model = EngineModel(CONFIG, content, RAM_BASE)
        fields, stream = random_mac(rng, CONFIG)
        bad = job_words(spoil(rng, {**fields, "weight_addr": RAM_BASE + spare}))
        content[spare : spare + len(stream)] = stream
        try:
            model.execute(bad)
        except JobError as error:
            expected = error
        else:
            raise AssertionError("the model accepts the job")
        await port.push(words[0])
        assert await port.wait_idle() == EngineError.NONE
        await port.write(Register.IRQ_ENABLE, 1)
        await port.push(bad)
        assert await port.wait_idle() == expected.code
        assert await port.read(Register.ERROR_INFO) == expected.info
        assert dut.irq.value == 1
        assert await port.instruction(Instruction.PUSH, *words[0][:2]) == 0, "a stopped engine takes no job"
        await port.write(Register.CONTROL, 1)
        assert await port.wait_idle() == EngineError.NONE
        assert dut.irq.value == 0


@cocotb.test()
async def bad_accesses_end_in_an_error(dut):
    _, port = await start(dut)
    cases = [
        (port.instruction(Instruction.READ, 0x100), EngineError.BAD_REGISTER, 0x100),
        (port.bus(Register.ID, 1), EngineError.BAD_REGISTER, Register.ID),
        (port.bus(0x7FFC), EngineError.BAD_REGISTER, 0x7FFC),
        (port.instruction(5), EngineError.BAD_INSTRUCTION, 5),
        (port.instruction(0x3FF), EngineError.BAD_INSTRUCTION, 0x3FF),
        (port.bus(ACT_WINDOW + CONFIG.act_buffer_bytes), EngineError.BAD_ACT_ADDRESS, CONFIG.act_buffer_bytes),
        (port.bus(ACT_WINDOW + 0xFFFFC, 1), EngineError.BAD_ACT_ADDRESS, 0xFFFFC),
        (port.push([0] * JOB_WORDS), EngineError.BAD_OPCODE, 0),
    ]
    for access, code, info in cases:
        await access
        assert await port.wait_idle() == code
        assert await port.read(Register.ERROR_INFO) == info
        await port.write(Register.CONTROL, 1)


@cocotb.test()
async def the_other_port_sees_an_error_in_the_next_cycle(dut):
    """What comes in the cycle after a bad access, through the other port, is answered with its error."""
    _, port = await start(dut)
    beyond = CONFIG.act_buffer_bytes
    for address, code, info in (
        (0x7FFC, EngineError.BAD_REGISTER, 0x7FFC),
        (ACT_WINDOW + beyond, EngineError.BAD_ACT_ADDRESS, beyond),
    ):
        for register, expected in ((Register.ERROR, code), (Register.ERROR_INFO, info)):
            access = cocotb.start_soon(port.bus(address))
            await FallingEdge(dut.clk)
            assert await port.read(register) == expected
            await access
            await port.write(Register.CONTROL, 1)
    instruction = cocotb.start_soon(port.instruction(5))
    await FallingEdge(dut.clk)
    assert await port.bus(Register.ERROR) == EngineError.BAD_INSTRUCTION
    await instruction


@cocotb.test()
async def a_full_queue_refuses_and_reports(dut):
    """Words pushed by instruction are refused, words written over the bus are an error, when none fits."""
    _, port = await start(dut, bytearray(256), late=1.0)
    load = pack_job(Opcode.LOAD, source=RAM_BASE, destination=0, length=4)
    taken = 0
    while await port.instruction(Instruction.PUSH, *load[taken % len(load) :][:2]):
        taken += 2
        assert taken < 1000
    assert taken >= CONFIG.queue_jobs * len(load)
    assert await port.read(Register.ERROR) == EngineError.NONE
    while not await port.read(Register.ERROR):
        await port.bus(Register.JOB, 0x55)
    assert await port.read(Register.ERROR) == EngineError.QUEUE_OVERFLOW
    assert await port.read(Register.ERROR_INFO) == 0x55


@cocotb.test()
async def unreachable_memory_ends_in_an_error(dut):
    rng, port = await start(dut, bytearray(256))
    for opcode in (Opcode.LOAD, Opcode.STORE, Opcode.MAC):
        beyond = RAM_BASE + 4096
        fields, _ = random_mac(rng, CONFIG)
        if opcode == Opcode.LOAD:
            await port.push(pack_job(opcode, source=beyond, destination=0, length=4))
        elif opcode == Opcode.STORE:
            await port.push(pack_job(opcode, source=0, destination=beyond, length=4))
        else:
            await port.push(job_words({**fields, "weight_addr": beyond}))
        assert await port.wait_idle() == EngineError.BAD_MEMORY_ADDRESS
        assert await port.read(Register.ERROR_INFO) == beyond
        await port.write(Register.CONTROL, 1)


@cocotb.test()
async def steady_state_reaches_the_bound(dut):
    """With the vector in one run of bytes, an operation takes as many cycles as its slowest part needs, and no more."""
    macro = CONFIG.macro
    rng = Random(cocotb.RANDOM_SEED)
    gather = macro.rows // CONFIG.act_port_bytes
    pixels = 40
    _, port = await start(dut, bytearray(8192))
    for act_bits in (1, 4, 8):
        for outputs in (1, macro.groups):
            fields, _ = random_mac(rng, CONFIG)
            fields |= {
                "act_bits": act_bits, "weight_bits": macro.max_weight_bits, "out_format": OutFormat.INT8,
                "in_base": 0, "row_bytes": pixels * macro.rows, "in_height": 1, "first_row": 0, "first_position": 0,
                "pixel_step": macro.rows, "out_width": pixels, "out_height": 1, "kernel_h": 1, "runs": 1,
                "run_bytes": macro.rows, "row_tiles": 1, "last_rows": macro.rows, "word_tiles": 1,
                "last_words": outputs, "tile_words": outputs, "tile_position_step": 0, "tile_base_step": 0,
                "out_base": 2048, "out_pixel_step": outputs, "group_words": macro.words, "shared_weights": 0,
            }  # fmt: skip
            await port.write(Register.CONTROL, 1)
            await port.push(job_words({**fields, "weight_addr": RAM_BASE}))
            assert await port.wait_idle() == EngineError.NONE
            cycles = await port.read(Register.COMPUTE)
            operation = macro.operation_cycles(act_bits)
            if macro.plane_skipping:
                assert pixels <= cycles <= pixels * operation
            else:
                assert cycles == pixels * operation
            stalls = [await port.read(r) for r in (Register.STALL_INPUT, Register.STALL_OUTPUT)]
            others = max(gather, -(-outputs // CONFIG.lanes))
            low, high = max(cycles // pixels, others), max(-(-cycles // pixels), others)
            # Two vectors are gathered while weights are loaded, and filling the pipeline is no steady state.
            busy = cycles + sum(stalls)
            assert (pixels - 2) * low <= busy <= pixels * high + 24, (act_bits, outputs, stalls)


@cocotb.test()
async def idle_raises_the_interrupt(dut):
    _, port = await start(dut)
    await port.write(Register.IRQ_ENABLE, 2)
    assert dut.irq.value == 0
    await port.push(pack_job(Opcode.LOAD, source=RAM_BASE, destination=0, length=4))
    await port.wait_idle()
    await FallingEdge(dut.clk)
    assert dut.irq.value == 1
    await port.write(Register.IRQ_PENDING, 2)
    assert dut.irq.value == 0
