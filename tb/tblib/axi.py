"""AXI around a design: memory with an end, rules of the channels, and the engine's registers over AXI4-Lite."""

import logging
from collections.abc import Iterator
from random import Random
from typing import Any

from cimarron.isa import ACT_WINDOW
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiResp, AxiSlave

from .register_port import RegisterPort

__all__ = ["AxiMemory", "AxiRules", "EngineAxiPort", "pauses", "quiet"]

#: Signals that stay as they are from valid to ready, by channel.
_ADDRESS = ("addr", "len", "size", "burst", "prot", "id", "lock", "cache", "qos")
_PAYLOADS = {"aw": _ADDRESS, "ar": _ADDRESS, "w": ("data", "strb", "last")}


def halves(port) -> tuple[Any, Any]:
    """The write and the read half of a model."""
    return port.write_if, port.read_if


def quiet(port) -> None:
    """Take the log of every transaction out of a model's channels."""
    for side in halves(port):
        side.log.setLevel(logging.ERROR)


def pauses(rng: Random, probability: float) -> Iterator[bool]:
    """Whether to pause, for each cycle."""
    while True:
        yield rng.random() < probability


class _Content:
    """Bytes from an address on; anything else fails."""

    def __init__(self, content: bytearray, base: int):
        self.content, self.base = content, base
        self.size = 1 << 32

    def _offset(self, address: int, length: int) -> int:
        if not 0 <= address - self.base <= len(self.content) - length:
            raise IndexError(f"no memory at {address:#x}")
        return address - self.base

    async def read(self, address: int, length: int, **kwargs) -> bytes:
        offset = self._offset(address, length)
        return bytes(self.content[offset : offset + length])

    async def write(self, address: int, data: bytes, **kwargs) -> None:
        offset = self._offset(address, len(data))
        self.content[offset : offset + len(data)] = data


class AxiMemory:
    """Answers an AXI4 manager; ``SLVERR`` outside the content.

    Parameters
    ----------
    dut : cocotb handle
    prefix : str
    content : bytearray
        Used directly.
    base : int
        Byte address of ``content[0]``.
    rng : Random
    busy, late : float
        Probability per cycle of not taking an address or data, and of not answering.
    """

    def __init__(
        self, dut, prefix: str, clock, content: bytearray, base: int, rng: Random, *, busy: float, late: float
    ):
        self.slave = AxiSlave(AxiBus.from_prefix(dut, prefix), clock, target=_Content(content, base))
        quiet(self.slave)
        write, read = halves(self.slave)
        for channel, probability in (
            (write.aw_channel, busy), (write.w_channel, busy), (read.ar_channel, busy),
            (write.b_channel, late), (read.r_channel, late),
        ):  # fmt: skip
            if probability:
                channel.set_pause_generator(pauses(rng, probability))


class AxiRules:
    """What an AXI4 manager must keep to, watched on its pins.

    Valid and payload stay until ready; no burst crosses 4 KiB; bursts of writes end when their length says so, and none
    begins before its address is shown.

    Parameters
    ----------
    dut : cocotb handle
    prefix : str
    clock : cocotb handle
    """

    def __init__(self, dut, prefix: str, clock):
        self.clock = clock
        self.channels = {
            channel: {name: getattr(dut, f"{prefix}_{channel}{name}") for name in (*names, "valid", "ready")}
            for channel, names in _PAYLOADS.items()
        }
        #: Words of every burst that was taken.
        self.lengths: dict[str, list[int]] = {"ar": [], "aw": []}
        self.written = 0
        self._shown: dict[str, list[int]] = {}

    def _keeps_offering(self, channel: str) -> bool:
        """Whether the channel offers something; it must be what was offered before and not taken."""
        pins = self.channels[channel]
        valid = int(pins["valid"].value)
        shown = [int(pins[name].value) for name in _PAYLOADS[channel]] if valid else []
        if before := self._shown.pop(channel, None):
            assert shown == before, f"{channel} changed before it was taken"
        if valid and not int(pins["ready"].value):
            self._shown[channel] = shown
        return bool(valid)

    def _is_taken(self, channel: str) -> bool:
        return self._keeps_offering(channel) and bool(int(self.channels[channel]["ready"].value))

    async def run(self) -> None:
        """Watch forever."""
        beat, finished = 0, 0
        while True:
            await RisingEdge(self.clock)
            offered = int(self.channels["aw"]["valid"].value)
            for channel in ("ar", "aw"):
                if self._is_taken(channel):
                    pins = self.channels[channel]
                    length, size = int(pins["len"].value) + 1, 1 << int(pins["size"].value)
                    assert int(pins["burst"].value) == 1
                    assert int(pins["addr"].value) % 4096 + length * size <= 4096, "a burst leaves its page"
                    self.lengths[channel].append(length)
            lengths = self.lengths["aw"]
            shown = len(lengths) + bool(offered and "aw" in self._shown)
            if self._keeps_offering("w"):
                assert finished < shown, "data before any address"
            if int(self.channels["w"]["valid"].value) and int(self.channels["w"]["ready"].value):
                self.written += 1
                beat += 1
                known = finished < len(lengths)
                length = lengths[finished] if known else int(self.channels["aw"]["len"].value) + 1
                last = bool(int(self.channels["w"]["last"].value))
                assert last == (beat == length), f"beat {beat} of {length} with last {last}"
                if last:
                    beat, finished = 0, finished + 1


class EngineAxiPort(RegisterPort):
    """Registers and activation buffer of the AXI engine, for the benches of the engine.

    Parameters
    ----------
    dut : cocotb handle
    rng : Random
    late : float
        Probability per cycle and channel of not offering, and of not taking a response.
    """

    def __init__(self, dut, rng: Random, *, late: float = 0.0):
        self.dut = dut
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.aclk, dut.aresetn, False)
        quiet(self.master)
        write, read = halves(self.master)
        for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
            if late:
                channel.set_pause_generator(pauses(rng, late))

    async def access(self, address: int, value: int | None = None) -> int:
        """One access that must succeed: a write of ``value``, or a read."""
        if value is None:
            answer = await self.master.read(address, 4)
            assert answer.resp == AxiResp.OKAY
            return int.from_bytes(answer.data, "little")
        answer = await self.master.write(address, value.to_bytes(4, "little"))
        assert answer.resp == AxiResp.OKAY
        return value

    async def write_act(self, address: int, data: bytes) -> None:
        """Bytes into the activation buffer; address and length are multiples of 4."""
        answer = await self.master.write(ACT_WINDOW + address, data)
        assert answer.resp == AxiResp.OKAY

    async def read_act(self, address: int, length: int) -> bytes:
        """Bytes of the activation buffer."""
        answer = await self.master.read(ACT_WINDOW + address, length)
        assert answer.resp == AxiResp.OKAY
        return answer.data
