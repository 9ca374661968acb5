"""Custom instructions: the adapter on its pins, and programs on the core's own netlist."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cimarron.config import PRESETS
from cimarron.engine.ports import CommandSignature
from cimarron.isa import EVENT_SHIFT, Event
from cimarron.soc import subsystem
from cimarron.soc.cfu import CfuAdapter
from cimarron_sim.firmware.build import compile_program
from cimarron_sim.runner.bench import SIMULATORS, run_bench
from cimarron_sim.runner.verilog import write_verilog
from engine_double import DoubleSoc
from program_runner import BUILD, ProgramError, ProgramRunner

pytestmark = [pytest.mark.cosim, pytest.mark.slow]

MASK = 0xFFFF_FFFF
HEADER = Path(__file__).parent / "riscv" / "cfu.inc"

# The division keeps the multiply-accumulate in the execute stage after its command was taken. A repeated command would
# carry the function of the instruction that follows, and its response would replace its result, t2.
REPRODUCER = """
_start:
    ENABLE_CUSTOM
    li      a0, 3
    li      a1, 5
    li      s0, 20
    li      s1, 0
1:  CLEAR(x0, 0)
    divu    t0, a1, a0
    MAC(t1, a0, a1, 0)
    add     t2, a0, a1
    GET(t3, 0)
    add     s1, s1, t2
    add     s1, s1, t3
    addi    s0, s0, -1
    bnez    s0, 1b
    ANNOUNCE(EVENT_TEST, s1)
2:  j       2b
"""
REPRODUCER_SUM = 20 * ((3 + 5) + 3 * 5)


class UsualAdapter(wiring.Component):
    """The negative twin: what a custom unit usually does, ``cmd_ready = rsp_ready``."""

    cpu: In(CommandSignature())
    engine: Out(CommandSignature())

    def elaborate(self, platform: object) -> Module:
        m = Module()
        wiring.connect(m, wiring.flipped(self.cpu), wiring.flipped(self.engine))
        return m


def assemble(text: str, directory: Path) -> bytes:
    source = directory / "program.S"
    source.write_text(f'    .section .text.start, "ax"\n    .global _start\n{text}')
    return compile_program([source], options=["-include", str(HEADER)])


@pytest.fixture(scope="module")
def safe() -> ProgramRunner:
    return ProgramRunner(DoubleSoc(PRESETS["tiny"]), "double_soc", BUILD)


@pytest.fixture(scope="module")
def usual() -> ProgramRunner:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subsystem, "CfuAdapter", UsualAdapter)
        return ProgramRunner(DoubleSoc(PRESETS["tiny"]), "usual_soc", BUILD)


def test_reproducer_passes(safe: ProgramRunner, tmp_path: Path) -> None:
    events = safe.run(assemble(REPRODUCER, tmp_path), tmp_path).events
    assert events == [Event.TEST << EVENT_SHIFT | REPRODUCER_SUM]


def test_reproducer_fails_with_the_usual_adapter(usual: ProgramRunner, tmp_path: Path) -> None:
    (event,) = usual.run(assemble(REPRODUCER, tmp_path), tmp_path).events
    assert event != Event.TEST << EVENT_SHIFT | REPRODUCER_SUM


class RandomProgram:
    """A loop of custom and ordinary instructions on eight registers, and what it must leave in them.

    Parameters
    ----------
    rng : random.Random
    label : str
        Distinguishes its labels from those of other programs.
    max_wait : int
        Largest number of cycles the custom unit takes its time.
    """

    REGISTERS = ("a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7")

    def __init__(self, rng: random.Random, label: str, max_wait: int) -> None:
        self.lines = [f"{label}:", f"    li s0, {(rounds := rng.randint(1, 4))}", "    CLEAR(x0, 0)"]
        values = {name: rng.getrandbits(rng.choice((4, 16, 32))) for name in self.REGISTERS}
        self.lines += [f"    li {name}, {value:#x}" for name, value in values.items()]
        self.lines += ["    la s1, scratch", "1:"]
        steps = [self._step(rng, max_wait) for _ in range(rng.randint(4, 24))]
        self.lines += [f"    {text}" for text, _ in steps]
        self.lines += ["    addi s0, s0, -1", "    bnez s0, 1b", "    GET(t0, 0)"]

        state = {**values, "acc": 0, "memory": 0}
        for _ in range(rounds):
            for _, effect in steps:
                effect(state)
        checksum = state["acc"]
        for name in self.REGISTERS:
            checksum = (5 * checksum + state[name]) & MASK
            self.lines += ["    slli t1, t0, 2", "    add t0, t0, t1", f"    add t0, t0, {name}"]
        self.lines += ["    ANNOUNCE(EVENT_STEP, t0)"]
        self.event = Event.STEP << EVENT_SHIFT | checksum & 0xFF_FFFF

    def _step(self, rng: random.Random, max_wait: int) -> tuple[str, Callable[[dict[str, int]], None]]:
        rd, a, b = (rng.choice(self.REGISTERS) for _ in range(3))
        wait = rng.choice((0, 0, 1, max_wait)) if max_wait else 0

        def assign(compute: Callable[[dict[str, int]], int]) -> Callable[[dict[str, int]], None]:
            def effect(state: dict[str, int]) -> None:
                state[rd] = compute(state) & MASK

            return effect

        def clear(state: dict[str, int]) -> None:
            state[rd], state["acc"] = state["acc"], 0

        def mac(state: dict[str, int]) -> None:
            total = (state["acc"] + state[a] * state[b]) & MASK
            state[rd], state["acc"] = state["acc"], total

        def store(state: dict[str, int]) -> None:
            state["memory"] = state[a]

        choices: list[tuple[int, str, Callable[[dict[str, int]], None]]] = [
            (1, f"CLEAR({rd}, {wait})", clear),
            (5, f"MAC({rd}, {a}, {b}, {wait})", mac),
            (3, f"GET({rd}, {wait})", assign(lambda state: state["acc"])),
            (3, f"divu {rd}, {a}, {b}", assign(lambda state: state[a] // state[b] if state[b] else MASK)),
            (2, f"mul {rd}, {a}, {b}", assign(lambda state: state[a] * state[b])),
            (2, f"add {rd}, {a}, {b}", assign(lambda state: state[a] + state[b])),
            (2, f"sw {a}, 0(s1)", store),
            (2, f"lw {rd}, 0(s1)", assign(lambda state: state["memory"])),
        ]
        _, text, effect = rng.choices(choices, weights=[weight for weight, _, _ in choices])[0]
        return text, effect


def random_programs(seed: int, count: int, max_wait: int) -> tuple[str, list[int]]:
    """Assembler text that runs ``count`` random programs one after the other, and the events they announce."""
    rng = random.Random(seed)
    programs = [RandomProgram(rng, f"program{index}", max_wait) for index in range(count)]
    lines = ["_start:", "    ENABLE_CUSTOM"]
    for program in programs:
        lines += ["    la s1, scratch", "    sw zero, 0(s1)", *program.lines]
    lines += ["    ANNOUNCE(EVENT_TEST, zero)", "2:  j 2b", "    .data", "    .balign 4", "scratch: .word 0"]
    return "\n".join(lines) + "\n", [program.event for program in programs]


@pytest.mark.parametrize(("seed", "max_wait"), [(1, 0), (2, 0), (3, 3), (4, 40)])
def test_random_programs_pass(seed: int, max_wait: int, safe: ProgramRunner, tmp_path: Path) -> None:
    text, expected = random_programs(seed, 60, max_wait)
    *events, last = safe.run(assemble(text, tmp_path), tmp_path).events
    wrong = [index for index, (event, want) in enumerate(zip(events, expected, strict=True)) if event != want]
    assert not wrong, f"programs {wrong} of seed {seed}"
    assert last == Event.TEST << EVENT_SHIFT


def test_random_programs_fail_with_the_usual_adapter(usual: ProgramRunner, tmp_path: Path) -> None:
    text, expected = random_programs(1, 60, 0)
    try:
        events = usual.run(assemble(text, tmp_path), tmp_path).events[:-1]
    except ProgramError:
        return  # a response that nobody waits for can hang the core
    assert events != expected


def test_independent_instructions_take_a_cycle_each(safe: ProgramRunner, tmp_path: Path) -> None:
    count = 32
    # The first round fills the instruction cache.
    text = f"""
_start:
    ENABLE_CUSTOM
    li      s0, 2
1:  csrr    s1, mcycle
    .rept   {count}
    MAC(x0, a0, a1, 0)
    .endr
    csrr    s2, mcycle
    sub     s2, s2, s1
    addi    s0, s0, -1
    bnez    s0, 1b
    ANNOUNCE(EVENT_TEST, s2)
2:  j       2b
"""
    (event,) = safe.run(assemble(text, tmp_path), tmp_path).events
    reading_the_counter = 8
    assert count <= event & 0xFF_FFFF <= count + reading_the_counter


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_adapter_on_its_pins(simulator: str, tmp_path: Path) -> None:
    netlist = write_verilog(CfuAdapter(), tmp_path, "cfu_adapter")
    result = run_bench(netlist, "cfu_adapter", "tb_cfu", simulator=simulator)
    assert len(result.passed) == 18
