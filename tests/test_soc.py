# amaranth: UnusedElaboratable=no
"""The whole system on two simulators, and the core it is built around."""

from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from cimarron.config import PRESETS
from cimarron.soc import cpu
from cimarron.soc.cpu import CpuSourceError, cpu_source
from cimarron.soc.soc import Soc
from cimarron_sim import firmware
from cimarron_sim.firmware.build import compile_program
from cimarron_sim.runner.bench import SIMULATORS, run_bench
from cimarron_sim.runner.verilog import write_verilog

PROGRAM = Path(__file__).parent / "riscv" / "system.c"


@pytest.mark.cosim
@pytest.mark.slow
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_firmware_uses_every_part(simulator: str, tmp_path: Path) -> None:
    image = compile_program([PROGRAM], include=[Path(firmware.__file__).parent])
    config = replace(PRESETS["tiny"], ram_bytes=65536)
    netlist = write_verilog(Soc(config, ram_init=image), tmp_path, "soc")
    run_bench([netlist, cpu_source()], "soc", "tb_soc", simulator=simulator)


def fake_package(monkeypatch: pytest.MonkeyPatch, folder: Path | None) -> None:
    spec = None
    if folder is not None:
        spec = ModuleSpec("pythondata_cpu_vexriscv", None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(cpu.importlib.util, "find_spec", lambda name: spec)


def test_missing_core_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_package(monkeypatch, None)
    with pytest.raises(
        CpuSourceError, match=r"^Package pythondata_cpu_vexriscv is missing: pip install pythondata-cpu-"
    ):
        cpu_source()


def test_incomplete_package_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_package(monkeypatch, tmp_path)
    with pytest.raises(CpuSourceError, match=r"contains no VexRiscv_FullCfu.v: reinstall it$"):
        cpu_source()


def test_another_netlist_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = cpu_source().read_bytes()
    (tmp_path / "verilog").mkdir()
    (tmp_path / "verilog" / "VexRiscv_FullCfu.v").write_bytes(text + b"\n")
    fake_package(monkeypatch, tmp_path)
    with pytest.raises(
        CpuSourceError, match=r"tested is 04dc3c5c9f906c0f\.\.\.: pip install pythondata-cpu-vexriscv==1"
    ):
        cpu_source()


def test_initial_contents_must_fit() -> None:
    with pytest.raises(ValueError, match=r"do not fit ram_bytes 131072$"):
        Soc(PRESETS["tiny"], ram_init=bytes(131073))
