"""The engine's registers, whatever bus they are on."""

from collections.abc import Callable
from itertools import count

from cimarron.isa import Register

__all__ = ["RegisterPort"]


class RegisterPort:
    """What software does with the registers, made of single accesses.

    A subclass says how one is made; every wait ends after ``patience`` reads, or fails.
    """

    patience = 2000

    async def access(self, address: int, value: int | None = None) -> int:
        """One access that must succeed: a write of ``value``, or a read."""
        raise NotImplementedError

    async def read(self, register: Register) -> int:
        return await self.access(register)

    async def write(self, register: Register, value: int) -> None:
        await self.access(register, value)

    async def _until(self, condition: Callable[[int], bool]) -> int:
        """The first status that is as wished."""
        for attempt in count():
            status = await self.read(Register.STATUS)
            if condition(status):
                return status
            assert attempt < self.patience, f"the engine stays at status {status:#x}"
        raise AssertionError

    async def push(self, words: list[int]) -> None:
        """A job descriptor, word by word, when there is room for all of it."""
        await self._until(lambda status: status >> 16 >= len(words))
        for word in words:
            await self.write(Register.JOB, word)

    async def fetch(self, address: int, jobs: int) -> None:
        """Descriptors from memory, when those before have been fetched."""
        await self._until(lambda status: not status & 4)
        await self.write(Register.FETCH_ADDRESS, address)
        await self.write(Register.FETCH_JOBS, jobs)

    async def wait_idle(self) -> int:
        """Wait until no job is left; returns the error code."""
        await self._until(lambda status: not status & 1 or bool(status & 2))
        return await self.read(Register.ERROR)
