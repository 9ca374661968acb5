# amaranth: UnusedElaboratable=no
"""The bridge from Wishbone to AXI4, in RTL, against the AXI models of cocotbext-axi."""

import pytest
from cimarron.bus.axi4 import Axi4
from cimarron.bus.wishbone import Signature
from cimarron_sim.runner.bench import SIMULATORS, run_bench
from cimarron_sim.runner.verilog import write_verilog

SIGNATURE = Signature(addr_width=14, features={"err", "stall"})


@pytest.mark.cosim
@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize(("outstanding", "burst_beats"), [(16, 4), (5, 3)])
def test_bench_passes(outstanding, burst_beats, simulator, tmp_path):
    bridge = Axi4(SIGNATURE, outstanding=outstanding, burst_beats=burst_beats)
    verilog = write_verilog(bridge, tmp_path, "axi4")
    environment = {"CIMARRON_OUTSTANDING": str(outstanding), "CIMARRON_BURST_BEATS": str(burst_beats)}
    run_bench(verilog, "axi4", "tb_axi4", simulator=simulator, env=environment)


def test_a_bus_without_stall_is_refused():
    with pytest.raises(ValueError, match="AXI4 bridge needs a bus with err and stall"):
        Axi4(Signature(addr_width=8))


@pytest.mark.parametrize(("burst_beats", "page_bytes"), [(0, 4096), (257, 4096), (16, 1000), (16, 2)])
def test_impossible_bursts_are_refused(burst_beats, page_bytes):
    with pytest.raises(ValueError, match=r"Words of a (burst|page) must be"):
        Axi4(SIGNATURE, burst_beats=burst_beats, page_bytes=page_bytes)
