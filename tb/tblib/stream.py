"""Ready-valid streams: a source, a sink and a monitor that trusts only the pins."""

from collections import deque
from collections.abc import Callable
from random import Random

from cocotb.triggers import RisingEdge

__all__ = ["StreamMonitor", "StreamPins", "StreamSink", "StreamSource"]


class StreamPins:
    """Pins of one stream of a DUT in the domain of ``dut.clk``.

    Parameters
    ----------
    dut : cocotb handle
    name : str
        Pins are ``<name>__valid``, ``<name>__ready`` and ``<name>__payload``.
    """

    def __init__(self, dut, name: str):
        self.name = name
        self.clk = dut.clk
        self.valid = getattr(dut, f"{name}__valid")
        self.ready = getattr(dut, f"{name}__ready")
        self.payload = getattr(dut, f"{name}__payload")


class StreamSource:
    """Offers payloads in order.

    Parameters
    ----------
    pins : StreamPins
    rng : Random
    stall : float
        Probability that a cycle passes before the next payload is offered.
    """

    def __init__(self, pins: StreamPins, rng: Random, stall: float):
        self.pins = pins
        self.rng = rng
        self.stall = stall
        self.queue: deque[int] = deque()

    async def run(self) -> None:
        """Serve the queue forever. What is not valid is random."""
        pins = self.pins
        bits = len(pins.payload)
        offered = False
        pins.valid.value = 0
        while True:
            await RisingEdge(pins.clk)
            if offered and pins.ready.value == 1:
                offered = False
            if offered:
                continue
            offered = bool(self.queue) and self.rng.random() >= self.stall
            pins.valid.value = offered
            pins.payload.value = self.queue.popleft() if offered else self.rng.getrandbits(bits)


class StreamSink:
    """Raises ``ready`` in all cycles but a fraction of ``stall``."""

    def __init__(self, pins: StreamPins, rng: Random, stall: float):
        self.pins = pins
        self.rng = rng
        self.stall = stall

    async def run(self) -> None:
        """Take payloads forever."""
        while True:
            self.pins.ready.value = self.rng.random() >= self.stall
            await RisingEdge(self.pins.clk)


class StreamMonitor:
    """Reports each transfer, and that an offer stands until it is taken.

    Parameters
    ----------
    pins : StreamPins
    callback : callable
        Called with the payload in the cycle of its transfer.

    Attributes
    ----------
    transfers : int
    """

    def __init__(self, pins: StreamPins, callback: Callable[[int], None]):
        self.pins = pins
        self.callback = callback
        self.transfers = 0
        self._waiting: int | None = None

    def sample(self) -> None:
        """Look at the pins; to be called at each rising edge.

        Raises
        ------
        AssertionError
            If an offer was withdrawn or changed.
        """
        pins = self.pins
        valid, ready = pins.valid.value == 1, pins.ready.value == 1
        payload = int(pins.payload.value) if valid else None
        if self._waiting is not None:
            assert payload == self._waiting, f"{pins.name} changed its offer before it was taken"
        self._waiting = None if ready else payload
        if payload is not None and ready:
            self.transfers += 1
            self.callback(payload)
