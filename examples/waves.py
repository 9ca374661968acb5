"""Waveforms to look at: one macro operation after the other, and one inference of the whole chip.

Writes into a folder (``build/waves``), each with a save file that shows the interesting signals in groups:

- ``macro.vcd``, ``macro.gtkw``: a small macro in Amaranth's simulator, with weights written while it computes;
- ``soc.vcd``, ``soc.gtkw``: one digit on the ``tiny`` system in Verilator.

Look with ``gtkwave build/waves/soc.gtkw``.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import numpy as np
from amaranth.sim import Simulator, SimulatorContext
from cimarron.config import PRESETS, MacroConfig
from cimarron.macro.macro import Macro
from cimarron_sim.compiler.compile import compile
from cimarron_sim.frontend import load
from cimarron_sim.runner.simulation import Simulation
from vcd.gtkw import GTKWSave

HERE = Path(__file__).parent

#: What `soc.gtkw` shows: group, scope, signals.
SOC_GROUPS: Sequence[tuple[str, str, Sequence[str]]] = (
    ("core: instructions", "soc.system.cpu.core", ("iBusWishbone_CYC", "iBusWishbone_ADR", "iBusWishbone_ACK")),
    (
        "core: custom instructions",
        "soc.system.cpu.core",
        (
            "CfuPlugin_bus_cmd_valid",
            "CfuPlugin_bus_cmd_ready",
            "CfuPlugin_bus_cmd_payload_function_id",
            "CfuPlugin_bus_cmd_payload_inputs_0",
            "CfuPlugin_bus_cmd_payload_inputs_1",
            "CfuPlugin_bus_rsp_valid",
        ),
    ),
    ("memory port", "soc.engine", ("dma__cyc", "dma__stb", "dma__adr", "dma__ack", "dma__dat_r")),
    ("gather", "soc.engine.gather", ("start", "active", "read__enable", "read__addr", "full")),
    (
        "macro",
        "soc.engine.macro",
        ("i_stream__valid", "i_stream__ready", "plane", "o_stream__valid", "o_stream__ready"),
    ),
    ("drain", "soc.engine.drain", ("s_valid", "b_valid", "w_valid", "done")),
    ("monitor", "soc", ("monitor__busy", "monitor__compute", "monitor__stall_weights", "monitor__retired")),
)


def record_macro(directory: Path) -> None:
    """Five operations of a small macro; the second set is written while the first computes."""
    config = MacroConfig(rows=8, words=4)
    dut = Macro(config)
    rng = np.random.default_rng(1)
    write, operation, result = dut.write.payload, dut.i_stream.payload, dut.o_stream.payload

    async def write_set(ctx: SimulatorContext, index: int) -> None:
        for row in range(config.rows):
            ctx.set(write.set, index)
            ctx.set(write.row, row)
            ctx.set(write.width, len(config.weight_widths) - 1)
            ctx.set(write.signed, 1)
            ctx.set(write.data, int(rng.integers(2**config.row_bits)))
            ctx.set(dut.write.valid, 1)
            await ctx.tick().until(dut.write.ready)
        ctx.set(dut.write.valid, 0)

    async def writer(ctx: SimulatorContext) -> None:
        await write_set(ctx, 0)
        await write_set(ctx, 1)

    async def driver(ctx: SimulatorContext) -> None:
        await ctx.tick().repeat(config.rows)
        ctx.set(dut.o_stream.ready, 1)
        for index, bits in enumerate((8, 8, 4, 1, 8)):
            for row in range(config.rows):
                ctx.set(operation.x[row], int(rng.integers(2**bits)))
            ctx.set(operation.bits, bits)
            ctx.set(operation.signed, 1)
            ctx.set(operation.set, index // 4)
            ctx.set(dut.i_stream.valid, 1)
            await ctx.tick().until(dut.i_stream.ready)
        ctx.set(dut.i_stream.valid, 0)
        await ctx.tick().repeat(16)

    simulator = Simulator(dut)
    simulator.add_clock(20e-9)
    simulator.add_testbench(writer, background=True)
    simulator.add_testbench(driver)
    shown = [dut.i_stream.valid, dut.i_stream.ready, operation, dut.plane, dut.computing]
    shown += [dut.write.valid, dut.write.ready, write, dut.o_stream.valid, dut.o_stream.ready, result]
    files = (directory / "macro.vcd", directory / "macro.gtkw")
    with open(files[0], "w") as waves, open(files[1], "w") as save, simulator.write_vcd(waves, save, traces=shown):
        simulator.run()


def record_soc(directory: Path) -> None:
    """One digit, from the host's command to the answer."""
    config = PRESETS["tiny"]
    program = compile(load(HERE / "digits" / "digits.onnx"), config)
    waves = directory / "soc.vcd"
    Simulation(config, trace=waves).run(program, [bytes(program.input.nbytes)])
    save_groups(waves, directory / "soc.gtkw", SOC_GROUPS)


def declared(lines: Iterable[str]) -> dict[str, str]:
    """Signals that a VCD file declares: full name to name with range."""
    scopes: list[str] = []
    names = {}
    for line in lines:
        words = line.split()
        if not words:
            continue
        if words[0] == "$scope":
            scopes.append(words[2])
        elif words[0] == "$upscope":
            scopes.pop()
        elif words[0] == "$var":
            name = ".".join([*scopes, words[4]])
            names.setdefault(name, name + (words[5] if words[5] != "$end" else ""))
        elif words[0] == "$enddefinitions":
            break
    return names


def save_groups(waves: Path, save: Path, groups: Sequence[tuple[str, str, Sequence[str]]]) -> None:
    """Write a GTKWave save file.

    Raises
    ------
    KeyError
        If the waveforms have no such signal.
    """
    with open(waves) as file:
        names = declared(file)
    prefix = next(re.sub(r"clk$", "", name) for name in names if re.search(r"(^|\.)soc\.clk$", name)).removesuffix(
        "soc."
    )
    with open(save, "w") as file:
        writer = GTKWSave(file)
        writer.dumpfile(str(waves.resolve()))
        writer.trace(names[f"{prefix}soc.clk"])
        for title, scope, signals in groups:
            with writer.group(title):
                for signal in signals:
                    writer.trace(names[f"{prefix}{scope}.{signal}"])


@click.command(help=__doc__)
@click.option("-o", "--output", default=Path("build/waves"), type=click.Path(path_type=Path), show_default=True)
def main(output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    for record in (record_macro, record_soc):
        record(output)
    for path in sorted(output.glob("*.*")):
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
