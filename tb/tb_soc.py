"""The whole system, running tests/riscv/system.c out of its initial memory."""

import cocotb
from cimarron.isa import ENGINE_ID, EVENT_SHIFT, Event
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from tblib.uart import UartListener, send_byte

CYCLES_PER_BIT = 8
READ, WRITE = 1, 3
BYTE = 0xA6


async def events(dut):
    """Every announced word, with the cycle it came in."""
    cycle = 0
    while True:
        await RisingEdge(dut.clk)
        cycle += 1
        if int(dut.event_valid.value):
            yield Event(int(dut.event.value) >> EVENT_SHIFT), int(dut.event.value) & 0xFF_FFFF, cycle


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def firmware_uses_every_part(dut) -> None:
    dut.uart_rx.value = 1
    dut.rst.value = 1
    Clock(dut.clk, 10, unit="ns").start()
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    listener = UartListener(dut.clk, dut.uart_tx, CYCLES_PER_BIT)
    cocotb.start_soon(listener.run())

    steps = []
    async for event, argument, cycle in events(dut):
        dut._log.info("cycle %d: %s %#x", cycle, event.name, argument)
        if event is Event.STEP:
            steps.append(argument)
        elif event is Event.READY:
            cocotb.start_soon(send_byte(dut.clk, dut.uart_rx, CYCLES_PER_BIT, BYTE))
        else:
            assert (event, argument) == (Event.TEST, 0)
            break

    identity = ENGINE_ID & 0xFF_FFFF
    assert steps[:2] == [identity, identity], "the engine's ID, by instruction and over the bus"
    assert 300 <= steps[2] < 500, "cycles until the timer's interrupt was served"
    assert steps[3:11] == [0, READ, 0x123454, WRITE, 0xABCDE0, 0, READ, 0x654320], "unmapped addresses"
    assert steps[11] == BYTE, "the byte received"
    assert steps[12:14] == [0, 0x040608], "activations: wrong words, the second word"
    assert steps[14:] == [0x123456, 0x654321], "memory written cached and read uncached, and the reverse"
    assert listener.text == b"hello\n"
