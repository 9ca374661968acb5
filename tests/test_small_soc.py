# amaranth: UnusedElaboratable=no
"""The system without an engine in gates: its core, its boot memory, and its firmware on the RTL."""

import importlib
import re
import struct
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from cimarron.config import BANK_BYTES, PRESETS, ConfigError, EngineConfig, MacroConfig, SocConfig, load_config
from cimarron.engine.ports import CommandSignature, MonitorSignature
from cimarron.isa import (
    EVENT_SHIFT,
    PROGRAM_OFFSET,
    RAM_BASE,
    EngineError,
    Event,
    JobEvent,
    MacroFact,
    MacroInstruction,
    Opcode,
    RunStatus,
    Step,
    pack_job,
)
from cimarron.macro.macro import Macro
from cimarron.soc.macro_port import MacroPort
from cimarron.soc.picorv32 import picorv32_source
from cimarron.soc.rom import Rom
from cimarron.soc.small_soc import SmallSoc
from cimarron.soc.soc import Soc
from cimarron_sim import firmware
from cimarron_sim.compiler import compile
from cimarron_sim.compiler.image import step
from cimarron_sim.firmware.build import compile_program, firmware_sources
from cimarron_sim.frontend import load
from cimarron_sim.reference.execute import execute
from cimarron_sim.runner.bench import run_bench
from cimarron_sim.runner.session import run_model
from cimarron_sim.runner.simulation import Simulation
from cimarron_sim.runner.verilog import write_verilog
from program_runner import BUILD, ProgramRunner
from random_graphs import Builder
from test_firmware import answer, needs_compiler, scripted_host, with_jobs, with_steps, with_words
from test_riscv import PASSED, assemble, riscv_tests, wrong_expectation

CONFIG = PRESETS["icebreaker"]
ENVIRONMENT = Path(__file__).parent / "riscv" / "picorv32_test.h"

#: Divisions are functions of the firmware.
SOURCES = [path for path in sorted(riscv_tests().glob("*.S")) if path.stem not in ("div", "divu", "rem", "remu")]


@pytest.fixture(scope="module")
def system() -> ProgramRunner:
    return ProgramRunner(SmallSoc(CONFIG), "small_soc", BUILD, core=picorv32_source())


@needs_compiler
@pytest.mark.cosim
@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_program_of_riscv_tests_passes(source, system, tmp_path):
    assert system.run(assemble(source, ENVIRONMENT), tmp_path).events == [PASSED]


@needs_compiler
@pytest.mark.cosim
@pytest.mark.slow
def test_wrong_expectation_is_found(system, tmp_path):
    assert system.run(assemble(wrong_expectation(tmp_path), ENVIRONMENT), tmp_path).events == [PASSED | 4]


@needs_compiler
@pytest.mark.cosim
@pytest.mark.slow
@pytest.mark.parametrize("bad", [".word 0", "div a0, a1, a2", "lw a0, 2(zero)", "csrr a0, mcause", "ebreak"])
def test_what_the_core_cannot_execute_starts_it_again(bad, system, tmp_path):
    source = tmp_path / "bad.S"
    source.write_text(f"RVTEST_CODE_BEGIN\n    {bad}\n    RVTEST_PASS\n")
    assert system.run(assemble(source, ENVIRONMENT), tmp_path).events == [
        Event.TRAP << EVENT_SHIFT | 0xFFFFFF,
        PASSED | 0xFFFFFF,
    ]


@needs_compiler
@pytest.mark.cosim
@pytest.mark.slow
def test_firmware_comes_from_the_flash(tmp_path):
    here = Path(__file__).parent
    (tmp_path / "firmware.bin").write_bytes(compile_program([here / "riscv" / "boot.S"]))
    chip = write_verilog(SmallSoc(CONFIG, boot=firmware.load_boot(), blocks=True), tmp_path, "chip")
    sources = [chip, picorv32_source(), here / "sb_spram256ka.v"]
    cycles_per_bit = CONFIG.clock_hz // CONFIG.uart_baud
    environment = {"FIRMWARE": str(tmp_path / "firmware.bin"), "CYCLES_PER_BIT": str(cycles_per_bit)}
    run_bench(sources, "chip", "tb_boot", env=environment)


def test_the_boot_memory_holds_what_is_shipped():
    assert 0 < len(firmware.load_boot()) <= Rom.size
    with pytest.raises(ValueError, match=r"^Contents of 1028 bytes do not fit the 1024 bytes of the boot memory$"):
        Rom(bytes(1028))


class Driven(wiring.Component):
    """A macro behind its port."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        super().__init__({"command": In(CommandSignature()), "monitor": Out(MonitorSignature())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.port = port = MacroPort(self._config)
        m.submodules.macro = macro = Macro(self._config.macro)
        wiring.connect(m, wiring.flipped(self.command), port.command)
        wiring.connect(m, wiring.flipped(self.monitor), port.monitor)
        wiring.connect(m, port.write, macro.write)
        wiring.connect(m, port.operation, macro.i_stream)
        wiring.connect(m, macro.o_stream, port.result)
        m.d.comb += port.plane.eq(macro.plane)
        return m


def drive(config: EngineConfig, testbench) -> None:
    """Run ``testbench(ctx, dut, instruction)`` where ``await instruction(function, a, b)`` is the answer."""
    dut = Driven(config)

    async def run(ctx):
        async def instruction(function: MacroInstruction, a: int = 0, b: int = 0) -> int:
            request, response = dut.command.request, dut.command.response
            ctx.set(response.ready, 1)
            ctx.set(request.payload, {"function": function, "a": a & 0xFFFF_FFFF, "b": b & 0xFFFF_FFFF})
            ctx.set(request.valid, 1)
            for _ in range(100):
                done, answer = ctx.get(response.valid), ctx.get(response.payload)
                assert ctx.get(request.ready) == done
                await ctx.tick()
                if done:
                    ctx.set(request.valid, 0)
                    return answer
            pytest.fail(f"{function.name} was not answered in 100 cycles")

        await testbench(ctx, dut, instruction)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(run)
    simulator.run()


def signed32(value: int) -> int:
    return value - (value >> 31 << 32)


@pytest.mark.parametrize(
    "macro",
    [
        CONFIG.engine.macro,
        PRESETS["tang_nano_20k"].engine.macro,
        MacroConfig(rows=8, words=16, write_bits=32, cell_bits=4, max_weight_bits=16),
        MacroConfig(rows=16, words=8, cell_bits=2, max_weight_bits=4, max_act_bits=5),
    ],
    ids=["icebreaker", "tang_nano_20k", "two beats", "narrow"],
)
def test_dot_products_come_out_exactly(macro):
    rng = Random(1)
    config = EngineConfig(macro=macro, act_port_bytes=4, weight_port_bits=32, lanes=1)

    async def testbench(ctx, dut, instruction):
        for _ in range(12):
            bits, w_signed = rng.choice(macro.weight_widths), rng.randrange(2)
            act_bits, a_signed = rng.randrange(1, macro.max_act_bits + 1), rng.randrange(2)
            weight_set = rng.randrange(macro.weight_sets)
            weights = np.array([[rng.getrandbits(bits) for _ in range(macro.outputs(bits))] for _ in range(macro.rows)])
            for row in range(macro.rows):
                content = sum(int(weight) << bits * i for i, weight in enumerate(weights[row]))
                for beat in range(macro.write_beats):
                    place = row | beat << 10 | macro.weight_widths.index(bits) << 16 | w_signed << 20 | weight_set << 24
                    await instruction(MacroInstruction.WEIGHTS, content >> 32 * beat, place)
            x = np.array([rng.getrandbits(8) for _ in range(macro.rows)])
            for start in range(0, macro.rows, 8):
                low, high = struct.unpack("<2I", bytes(x[start : start + 8].tolist()))
                await instruction(MacroInstruction.ACTIVATIONS, low, high)
            assert await instruction(MacroInstruction.MULTIPLY, act_bits | a_signed << 4 | weight_set << 8) == 1

            x = x & (1 << act_bits) - 1
            x = np.where(a_signed & x >> act_bits - 1, x - (1 << act_bits), x)
            weights = np.where(w_signed & weights >> bits - 1, weights - (1 << bits), weights)
            columns = bits // macro.cell_bits
            for j, expected in enumerate(x @ weights):
                last = j == macro.outputs(bits) - 1
                assert signed32(await instruction(MacroInstruction.RESULT, j * columns, int(last))) == expected

    drive(config, testbench)


def test_no_instruction_waits_for_what_never_comes():
    async def testbench(ctx, dut, instruction):
        assert await instruction(MacroInstruction.RESULT, 0, 1) == 0
        assert await instruction(MacroInstruction.MULTIPLY, 8) == 1
        assert await instruction(MacroInstruction.MULTIPLY, 8) == 0
        await instruction(MacroInstruction.RESULT, 0, 1)
        assert await instruction(MacroInstruction.MULTIPLY, 8) == 1
        for function in (6, 7):
            assert await instruction(function) == 0

    drive(CONFIG.engine, testbench)


def test_it_describes_the_hardware():
    macro = CONFIG.engine.macro
    facts = {
        MacroFact.CONFIG_HASH: CONFIG.engine.hash,
        MacroFact.ROWS: macro.rows,
        MacroFact.WORDS: macro.words,
        MacroFact.WIDTHS: 4 | 8 << 8 | 8 << 16,
        MacroFact.ACT_BUFFER_BYTES: CONFIG.engine.act_buffer_bytes,
        MacroFact.PSUM_ENTRIES: CONFIG.engine.psum_entries,
    }

    async def testbench(ctx, dut, instruction):
        assert {fact: await instruction(MacroInstruction.DESCRIBE, fact) for fact in MacroFact} == facts
        assert await instruction(MacroInstruction.DESCRIBE, max(MacroFact) + 1) == 0

    drive(CONFIG.engine, testbench)


def test_the_monitor_learns_what_software_says():
    async def testbench(ctx, dut, instruction):
        monitor = dut.monitor
        await instruction(MacroInstruction.JOB, JobEvent.BEGUN)
        await ctx.tick().repeat(5)
        await instruction(MacroInstruction.MULTIPLY, 8)
        await instruction(MacroInstruction.RESULT, 0, 1)
        assert not ctx.get(monitor.retired)
        await instruction(MacroInstruction.JOB, JobEvent.RETIRED)
        assert ctx.get(monitor.retired)
        busy, compute, idle = ctx.get(monitor.busy), ctx.get(monitor.compute), ctx.get(monitor.stall_input)
        assert compute == CONFIG.engine.macro.operation_cycles(8)
        assert ctx.get(monitor.operations) == 1
        assert 5 < idle < busy
        await ctx.tick().repeat(5)
        assert ctx.get(monitor.busy) == busy
        await instruction(MacroInstruction.JOB, JobEvent.FAILED)
        assert ctx.get(monitor.error)
        await instruction(MacroInstruction.JOB, JobEvent.CLEARED)
        assert not ctx.get(monitor.error)
        assert ctx.get(monitor.busy) == ctx.get(monitor.compute) == 0

    drive(CONFIG.engine, testbench)


def engine_of(macro: MacroConfig, weight_port_bits: int = 32) -> EngineConfig:
    return EngineConfig(macro=macro, act_port_bytes=4, weight_port_bits=weight_port_bits, lanes=1)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"cpu": "picorv32", "engine_in": "gates"}, "soc.engine_in gates needs cpu vexriscv, not picorv32"),
        ({"cpu": "vexriscv"}, "soc.engine_in software needs cpu picorv32, not vexriscv"),
        ({"cpu": "serv"}, "soc.cpu must be vexriscv or picorv32, not 'serv'"),
        (
            {"ram_bytes": 131072},
            "soc.ram_bytes must fit the 65536 bytes of a bank if the engine is software and the target ice40, not take"
            " 131072",
        ),
        (
            {"engine": engine_of(MacroConfig(rows=16, words=8), 64)},
            "soc.engine.weight_port_bits must be 32, the core's word, if the engine is software, not 64",
        ),
        (
            {"engine": engine_of(MacroConfig(rows=16, words=16))},
            "soc.engine.macro.write_bits must be 32 if the engine is software and a row has 64 bits",
        ),
        (
            {"engine": engine_of(MacroConfig(rows=12, words=8))},
            "soc.engine.macro.rows must be a multiple of the 8 activations of one instruction if the engine is"
            " software, not 12",
        ),
        (
            {"engine": engine_of(MacroConfig(rows=16, words=8, target="ice40"))},
            "soc.engine.act_buffer_bytes 65536 + psum_entries 8192 x 4 bytes must fit the 65536 bytes of a bank if the"
            " engine is software and the target ice40, not take 131072",
        ),
    ],
)
def test_systems_that_cannot_be_built_are_refused(changes, sentence):
    software: dict[str, Any] = {
        "engine": CONFIG.engine,
        "cpu": "picorv32",
        "engine_in": "software",
        "ram_bytes": BANK_BYTES,
    }
    with pytest.raises(ConfigError, match=f"^{re.escape(sentence)}$"):
        SocConfig(**(software | changes))


@pytest.mark.parametrize(
    ("act_buffer_bytes", "psum_entries", "expected"), [(8192, 2048, 16384), (8192, 4096, 32768), (65536, 8192, 131072)]
)
def test_a_bank_holds_activations_and_partial_sums(act_buffer_bytes, psum_entries, expected):
    engine = replace(CONFIG.engine, act_buffer_bytes=act_buffer_bytes, psum_entries=psum_entries)
    engine = replace(engine, macro=replace(engine.macro, target="ecp5"))
    assert replace(CONFIG, engine=engine, ram_bytes=131072).bank_bytes == expected


def test_a_system_of_one_s_own_can_be_written_down(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(
        'cpu = "picorv32"\nengine_in = "software"\nram_bytes = 65536\n'
        "[engine]\nact_buffer_bytes = 16384\nact_port_bytes = 4\nweight_port_bits = 32\n"
        "psum_entries = 1024\nlanes = 1\n"
        "[engine.macro]\nrows = 8\nwords = 8\n"
    )
    assert load_config(str(path)).engine.macro.words == 8


def test_each_top_takes_its_own_configurations():
    with pytest.raises(ValueError, match=r"^The small system needs engine_in software, not gates$"):
        SmallSoc(PRESETS["tiny"])
    with pytest.raises(ValueError, match=r"^An engine in gates is not what engine_in software asks for$"):
        Soc(CONFIG)


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return Simulation(CONFIG)


@pytest.fixture(scope="module")
def builder() -> Builder:
    return Builder((1, 20), seed=5).fully_connected(9, bits=4).fully_connected(6)


@pytest.fixture(scope="module")
def program(builder):
    return compile(builder.graph(), CONFIG)


@pytest.mark.cosim
def test_networks_come_out_as_the_reference_says(simulation):
    """Padding, strides, partial sums, depthwise blocks, a pool, an addition and a fully connected layer."""
    builder = Builder((1, 6, 6, 3), seed=3)
    builder.conv2d(5, (3, 3), pads=(1, 1, 1, 1))
    first = builder.last
    builder.depthwise_conv2d(1, (3, 3), pads=(1, 1, 1, 1)).add(first, 2.0).max_pool((2, 2), (2, 2))
    builder.conv2d(4, (3, 3), stride=(2, 2), bits=4).flatten().fully_connected(5)
    graph = builder.graph()
    inputs = [builder.input() for _ in range(2)]
    result = simulation.run(compile(graph, CONFIG), [x.tobytes() for x in inputs], processes=1)
    assert result.uart == "Cimarron\r\n"
    for x, inference in zip(inputs, result.inferences, strict=True):
        expected = execute(graph, {"x": x})
        for layer in inference.layers:
            np.testing.assert_array_equal(layer.output, expected[layer.tensor])
        np.testing.assert_array_equal(inference.output, expected[graph.outputs[0]])
        assert 0 < inference.firmware_cycles < inference.cycles
    # The core is the engine, and never waits for it.
    timeline = result.inferences[-1].timeline
    assert timeline is not None
    assert [(part.kind, part.waits) for part in timeline.cpu] == [
        ("command", False), ("jobs", False), ("end", False),
    ]  # fmt: skip
    assert sum(part.end - part.begin for part in timeline.cpu) == result.inferences[-1].cycles
    jobs = timeline.cpu[1]
    assert jobs.begin <= timeline.spans[0].begin
    assert timeline.spans[-1].end <= jobs.end
    # Without a cache, each instruction is a request of a cycle at least.
    assert all(part.instructions < part.bus < part.end - part.begin for part in timeline.cpu)


@pytest.mark.cosim
def test_programs_for_other_hardware_and_damaged_ones_are_refused(simulation, program):
    wrong = with_words(program.image, config_hash=CONFIG.engine.hash ^ 1)
    assert f"load with BAD_CONFIG, info {CONFIG.engine.hash:#x}," in answer(simulation, program, wrong)
    damaged = bytearray(program.image)
    damaged[300] ^= 0x10
    assert "load with BAD_CRC" in answer(simulation, program, bytes(damaged))


@pytest.mark.cosim
def test_errors_of_jobs_come_with_code_info_and_step(simulation, program):
    good = pack_job(Opcode.LOAD, source=RAM_BASE + PROGRAM_OFFSET, destination=0, length=4)
    bad = pack_job(Opcode.LOAD, source=RAM_BASE + PROGRAM_OFFSET, destination=2, length=4)
    got = answer(simulation, program, with_jobs(program, good, bad))
    assert f"done with ENGINE_ERROR: {EngineError.BAD_SHAPE.name}, info 0x2, step " in got
    unread = pack_job(Opcode.LOAD, source=0x1000, destination=0, length=4)
    got = answer(simulation, program, with_jobs(program, unread))
    assert "done with ENGINE_ERROR: BAD_MEMORY_ADDRESS, info 0x1000, step " in got
    got = answer(simulation, program, with_steps(program, step(Step.JOBS, [0, 0]), step(Step.END)))
    assert f"done with ENGINE_ERROR: BAD_FETCH, info {RAM_BASE + PROGRAM_OFFSET:#x}, step " in got


#: Stands in for the check of the program: an instruction that does not exist the first time, then an access to nothing.
FAULTS = """
#include "program.h"
#include "system.h"

static uint32_t calls;

struct outcome program_check(void) {
    if (calls++ == 0) {
        __asm__ volatile(".word 0x0BADC0DB");
    }
    (void)*device(0x90001234);
    return SUCCESS;
}
"""


@needs_compiler
@pytest.mark.cosim
def test_every_failure_is_reported_and_the_next_command_served(system, tmp_path):
    (tmp_path / "uart.c").write_text(scripted_host("COMMAND_RUN", "COMMAND_LOAD", "COMMAND_LOAD"))
    (tmp_path / "program.c").write_text(FAULTS)
    kept = [path for path in firmware_sources("picorv32") if not (tmp_path / path.name).exists()]
    runtime = compile_program(
        [*kept, tmp_path / "uart.c", tmp_path / "program.c"],
        include=[firmware.FIRMWARE.parent],
        options=["-DENGINE_IN_SOFTWARE", "-mcpu=generic_rv32+zmmul+zicsr-m-c-a-f-d"],
    )
    ready, done, told, trap = (event << EVENT_SHIFT for event in (Event.READY, Event.DONE, Event.STEP, Event.TRAP))
    assert system.run(runtime, tmp_path).events == [
        ready,
        *(done | RunStatus.NOT_LOADED, told, told),
        *(trap | 0xFFFFFF, ready | RunStatus.TRAP, told | 0xFFFFFF, told | 0xFFFFFF),
        *(ready | RunStatus.BUS_ERROR, told, told | 0x1234),
        Event.TEST << EVENT_SHIFT,
    ]


@pytest.mark.cosim
@pytest.mark.slow
def test_digits_are_recognised_and_every_layer_is_the_reference_s(monkeypatch):
    """A part of what ``python examples/digits/run.py --config icebreaker`` does."""
    pytest.importorskip("sklearn", reason="needs scikit-learn: pip install 'cimarron[oracle]'")
    examples = Path(__file__).parents[1] / "examples" / "digits"
    monkeypatch.syspath_prepend(examples)
    images, labels = importlib.import_module("digits").held_out()
    graph = load(examples / "digits.onnx")
    shape = graph.port(graph.inputs[0]).shape
    session = run_model(graph, CONFIG, [image.reshape(shape) for image in images[:40]])
    assert session.mismatches == ()
    assert session.record["tensors_compared"] == 6 * 40
    answers = [int(output.argmax()) for output in session.outputs]
    assert np.mean(answers == labels[:40]) >= 0.95
