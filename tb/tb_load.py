"""Boots the whole system with a program in its memory and waits for the firmware's verdict; times itself.

The memory's initial contents hold firmware, program and the command to load it. Clock and waiting cost as little as
cocotb can make them: one trigger for two announcements.
"""

import json
import os
import time
from pathlib import Path

import cocotb
from cimarron.isa import EVENT_SHIFT, Event, RunStatus
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotb.utils import get_sim_time

PERIOD = 10


@cocotb.test()
async def firmware_accepts_the_program(dut):
    """Two announcements: booted, then loaded."""
    dut.uart_rx.value = 1
    dut.rst.value = 1
    Clock(dut.clk, PERIOD, unit="ns").start()
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    start_time, start = get_sim_time("ns"), time.process_time()
    for _ in range(2):
        await RisingEdge(dut.event_valid)
        assert dut.event.value.to_unsigned() == Event.READY << EVENT_SHIFT | RunStatus.OK
    seconds = time.process_time() - start
    cycles = round((get_sim_time("ns") - start_time) / PERIOD)
    if path := os.environ.get("SPEED_FILE"):
        Path(path).write_text(json.dumps({"cycles": cycles, "seconds": seconds}))
