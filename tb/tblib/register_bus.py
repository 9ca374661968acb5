"""Classic Wishbone initiator for the Amaranth simulator."""

from amaranth.lib.wiring import PureInterface
from amaranth.sim import SimulatorContext

__all__ = ["RegisterBus"]


class RegisterBus:
    """Reads and writes 32-bit registers at byte offsets, one access at a time.

    Parameters
    ----------
    ctx : SimulatorContext
    bus : interface of `cimarron.bus.wishbone.Signature`
        Of the target. It has to acknowledge one cycle after the strobe.
    """

    def __init__(self, ctx: SimulatorContext, bus: PureInterface) -> None:
        self._ctx = ctx
        self._bus = bus

    async def _access(self, offset: int, we: int, data: int, sel: int) -> int:
        ctx, bus = self._ctx, self._bus
        for signal, value in (
            (bus.adr, offset // 4), (bus.we, we), (bus.dat_w, data), (bus.sel, sel), (bus.cyc, 1), (bus.stb, 1),
        ):  # fmt: skip
            ctx.set(signal, value)
        assert not ctx.get(bus.ack)
        await ctx.tick()
        assert ctx.get(bus.ack)
        answer = ctx.get(bus.dat_r)
        ctx.set(bus.cyc, 0)
        ctx.set(bus.stb, 0)
        await ctx.tick()
        assert not ctx.get(bus.ack)
        return answer

    async def read(self, offset: int) -> int:
        """A register's value; two cycles."""
        return await self._access(offset, 0, 0, 0xF)

    async def write(self, offset: int, data: int, *, sel: int = 0xF) -> None:
        """Write the selected bytes of a register; two cycles."""
        await self._access(offset, 1, data, sel)
