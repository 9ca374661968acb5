"""What a netlist must never show: an undefined output."""

from collections.abc import Mapping, Sequence

from cocotb.triggers import RisingEdge

__all__ = ["stay_defined"]


async def stay_defined(dut, always: Sequence[str], payloads: Mapping[str, Sequence[str]]) -> None:
    """Fail as soon as an output that someone looks at is undefined, sampled at every rising edge of ``clk``.

    Parameters
    ----------
    dut : cocotb handle
    always : sequence of str
        Pins that mean something in every cycle.
    payloads : mapping of str to sequence of str
        Pins that mean something in cycles in which the pin of the key is high.

    Raises
    ------
    AssertionError
        Names the pin.
    """
    while True:
        await RisingEdge(dut.clk)
        pins = [*always, *(pin for key, meant in payloads.items() if getattr(dut, key).value == 1 for pin in meant)]
        for pin in pins:
            value = getattr(dut, pin).value
            assert value.is_resolvable, f"{pin} is {value}"
