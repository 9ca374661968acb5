"""Wishbone by somebody else: the initiator of cocotbext-wishbone, on the project's pins."""

import logging
from dataclasses import dataclass
from random import Random

from cimarron.isa import ACT_WINDOW
from cocotbext.wishbone.driver import WBOp, WishboneMaster

from .register_port import RegisterPort

__all__ = ["Answer", "EngineWishbonePort", "ForeignInitiator", "Op", "rest"]

Op = WBOp

_NAMES = {"cyc": "cyc", "stb": "stb", "we": "we", "adr": "adr", "datwr": "dat_w", "datrd": "dat_r", "ack": "ack"}


def rest(dut, prefix: str) -> None:
    """Put the pins of an initiator to rest; to be called a time step before `ForeignInitiator` is made.

    The library sets them past the scheduler. Icarus, at its very start, then never evaluates what hangs on them: logic
    behind the pins reads Z for ever.
    """
    for name in ("adr", "dat_w", "sel", "cyc", "stb", "we"):
        getattr(dut, f"{prefix}__{name}").value = 0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of an operation.

    Parameters
    ----------
    failed : bool
        It ended with ``err``.
    data : int
        What was read; 0 for a write.
    wait_states : int
        Cycles without an answer, after the one in which it was asked for.
    """

    failed: bool
    data: int
    wait_states: int


class _Master(WishboneMaster):
    """With optional signals by choice: the library would take an inner signal that is named like one for a pin."""

    def __init__(self, dut, prefix: str, optional: frozenset[str], timeout: int):
        self._optional_signals = ["sel", *sorted(optional)]
        super().__init__(dut, prefix, dut.clk, timeout=timeout, signals_dict=_NAMES, bus_separator="__")
        self.log.setLevel(logging.WARNING)


class ForeignInitiator:
    """Cycles of any operations on pins ``<prefix>__adr`` and so on.

    Parameters
    ----------
    dut : cocotb handle
        With its clock ``clk``.
    prefix : str
    optional : iterable of str
        Which of ``stall``, ``err``, ``cti`` and ``bte`` there are. With ``stall``, ``stb`` falls when an operation was
        taken, and the next one waits for its answer all the same.
    patience : int
        Cycles after which a missing answer is a failure.
    """

    def __init__(self, dut, prefix: str, *, optional: frozenset[str] = frozenset(), patience: int = 2000):
        self._patience = patience
        self._master = _Master(dut, prefix, optional, patience)

    async def cycle(self, operations: list[WBOp]) -> list[Answer]:
        """One ``cyc`` with these operations."""
        for operation in operations:
            operation.acktimeout = self._patience
        replies = await self._master.send_cycle(operations)
        assert len(replies) == len(operations), f"{len(replies)} answers to {len(operations)} operations"
        return [
            Answer(
                failed=reply.ack != 1,
                data=int(reply.datrd) if operation.dat is None else 0,
                wait_states=reply.waitAck,
            )
            for operation, reply in zip(operations, replies, strict=True)
        ]


class EngineWishbonePort(RegisterPort):
    """Registers and activation buffer of the engine, for the benches of the engine.

    Parameters
    ----------
    dut : cocotb handle
        With pins ``bus__*``; its custom instructions are tied off.
    rng : Random
    idle : int
        Most cycles between ``cyc`` and ``stb``, and between operations.
    """

    def __init__(self, dut, rng: Random, *, idle: int = 0):
        self._rng, self._idle = rng, idle
        dut.command__request__valid.value = 0
        dut.command__response__ready.value = 1
        self.initiator = ForeignInitiator(dut, "bus")

    def operation(self, address: int, value: int | None = None, sel: int = 0xF) -> WBOp:
        """A read, or a write of ``value``, at a byte address."""
        return Op(adr=address >> 2, dat=value, sel=sel, idle=self._rng.randint(0, self._idle))

    async def access(self, address: int, value: int | None = None) -> int:
        """One access: a write of ``value``, or a read."""
        (answer,) = await self.initiator.cycle([self.operation(address, value)])
        return answer.data

    async def write_act(self, address: int, data: bytes) -> None:
        """Bytes into the activation buffer, in one cycle; address and length are multiples of 4."""
        words = [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]
        await self.initiator.cycle(
            [self.operation(ACT_WINDOW + address + 4 * index, word) for index, word in enumerate(words)]
        )

    async def read_act(self, address: int, length: int) -> bytes:
        """Bytes of the activation buffer, in one cycle; address and length are multiples of 4."""
        operations = [self.operation(ACT_WINDOW + at) for at in range(address, address + length, 4)]
        answers = await self.initiator.cycle(operations)
        return b"".join(answer.data.to_bytes(4, "little") for answer in answers)
