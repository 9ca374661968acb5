# amaranth: UnusedElaboratable=no
"""Arbiter and decoder: what they refuse to be built from, and how they work together."""

from pathlib import Path
from typing import Any

import pytest
from bus_fabric import BusFabric
from cimarron.bus.arbiter import Arbiter
from cimarron.bus.decoder import Decoder, Target
from cimarron.bus.wishbone import Signature
from cimarron_sim.runner.bench import SIMULATORS, run_bench
from cimarron_sim.runner.verilog import write_verilog


@pytest.mark.cosim
@pytest.mark.slow
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_bus_under_traffic(simulator: str, tmp_path: Path) -> None:
    netlist = write_verilog(BusFabric(), tmp_path, "bus_fabric")
    assert len(run_bench(netlist, "bus_fabric", "tb_bus", simulator=simulator).passed) == 8


def test_windows_must_not_overlap() -> None:
    large, small = Signature(addr_width=10), Signature(addr_width=2)
    with pytest.raises(ValueError, match=r"^Windows of targets large and small overlap at 0x1ff0$"):
        Decoder({"large": Target(large, 0x1000), "small": Target(small, 0x4000, 0x1FF0)})
    Decoder({"large": Target(large, 0x1000), "small": Target(small, 0xFF0, 0x2000)})


def test_window_must_be_aligned() -> None:
    with pytest.raises(ValueError, match=r"^Target base 0x800 must be a 32-bit multiple of the window's 0x1000 bytes$"):
        Target(Signature(addr_width=10), 0x800)
    with pytest.raises(ValueError, match="must be a 32-bit multiple"):
        Target(Signature(addr_width=10), 1 << 32)


@pytest.mark.parametrize(
    "signature", [Signature(addr_width=4, data_width=64), Signature(addr_width=4, features={"stall"})]
)
def test_target_must_be_classic_and_32_bits_wide(signature: Signature) -> None:
    with pytest.raises(ValueError, match=r"^Target of the decoder must be a classic 32-bit bus without err and stall$"):
        Target(signature, 0)


@pytest.mark.parametrize("cycles", [1, 2.5])
def test_timeout_must_leave_time_to_answer(cycles: Any) -> None:
    with pytest.raises(TypeError, match=rf"^Time-out must be an integer number of cycles from 2 up, not {cycles}$"):
        Decoder({}, timeout_cycles=cycles)


def test_arbiter_needs_classic_initiators() -> None:
    with pytest.raises(TypeError, match=r"^Number of initiators must be a positive integer, not 0$"):
        Arbiter(0, Signature(addr_width=4))
    with pytest.raises(ValueError, match=r"^Arbiter does not serve a bus with err and stall$"):
        Arbiter(2, Signature(addr_width=4, features={"stall", "err"}))
