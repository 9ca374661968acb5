# amaranth: UnusedElaboratable=no
"""A bank of memory keeps what it is given, byte by byte."""

import re
from random import Random

import pytest
from amaranth.sim import Simulator
from cimarron.soc.bank import Bank


def simulate(dut, process):
    async def access(ctx, address, data=None, select=15):
        """One access; the word at the address, and the cycles that it took."""
        bus = dut.bus
        ctx.set(bus.adr, address)
        ctx.set(bus.we, data is not None)
        ctx.set(bus.dat_w, data or 0)
        ctx.set(bus.sel, select)
        ctx.set(bus.cyc, 1)
        ctx.set(bus.stb, 1)
        cycles = 1
        while not ctx.get(bus.ack):
            await ctx.tick()
            cycles += 1
            assert cycles < 10
        word = ctx.get(bus.dat_r)
        await ctx.tick()
        ctx.set(bus.cyc, 0)
        ctx.set(bus.stb, 0)
        return word, cycles

    async def testbench(ctx):
        await process(ctx, access)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


def test_the_initial_contents_are_there_from_the_first_byte_on_and_the_rest_is_0():
    async def process(ctx, access):
        words = [(await access(ctx, address))[0] for address in range(16)]
        assert words == [0x04030201, 0x00000605, *[0] * 14]

    simulate(Bank("memory", 64, init=bytes([1, 2, 3, 4, 5, 6])), process)


def test_bytes_are_written_one_by_one_and_every_access_takes_two_cycles():
    rng = Random(1)
    content = bytearray(rng.randbytes(64))

    async def process(ctx, access):
        for _ in range(300):
            address = rng.randrange(16)
            if rng.randrange(2):
                data, select = rng.getrandbits(32), rng.randrange(16)
                _, cycles = await access(ctx, address, data, select)
                for byte in range(4):
                    if select >> byte & 1:
                        content[4 * address + byte] = data >> 8 * byte & 0xFF
            else:
                word, cycles = await access(ctx, address)
                assert word == int.from_bytes(content[4 * address :][:4], "little")
            assert cycles == 2

    simulate(Bank("memory", 64, init=bytes(content)), process)


@pytest.mark.parametrize(
    ("size", "options", "sentence"),
    [
        (64, {"init": bytes(65)}, "Initial contents of 65 bytes do not fit a bank of 64 bytes"),
        (64, {"init": b"\0", "blocks": True}, "Blocks of an iCE40 UltraPlus have no initial contents"),
        (131072, {"blocks": True}, "Two blocks of an iCE40 UltraPlus have 65536 bytes, not 131072"),
    ],
)
def test_banks_that_cannot_be_built_are_refused(size, options, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Bank("memory", size, **options)
