"""The activation buffer, beside what the model says is in it."""

from random import Random
from typing import Protocol

from cimarron.isa import EngineError, Register

from .engine_model import EngineModel

__all__ = ["expect_model", "fill"]


class Port(Protocol):
    """What is needed of an engine's port, whatever the bus."""

    async def read(self, register: Register) -> int: ...

    async def wait_idle(self) -> int: ...

    async def write_act(self, address: int, data: bytes) -> None: ...

    async def read_act(self, address: int, length: int) -> bytes: ...


async def fill(port: Port, model: EngineModel, rng: Random) -> None:
    """Random activations, in the buffer and in the model."""
    data = rng.randbytes(len(model.activations))
    model.activations[:] = data
    await port.write_act(0, data)


async def expect_model(port: Port, model: EngineModel) -> None:
    """The engine has done what the model did, and nothing else."""
    assert await port.wait_idle() == EngineError.NONE
    assert await port.read(Register.RETIRED) == model.retired
    got = await port.read_act(0, len(model.activations))
    wrong = [index for index, (a, b) in enumerate(zip(got, model.activations, strict=True)) if a != b]
    assert not wrong, f"{len(wrong)} bytes differ, first at {wrong[0]:#x}"
