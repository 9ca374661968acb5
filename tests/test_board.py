# amaranth: UnusedElaboratable=no
"""A board has what its top and its configuration need."""

import binascii
import dataclasses
from pathlib import Path

import pytest
from amaranth.hdl import Shape
from amaranth.sim import Simulator
from cimarron.board.board import BOARDS, UnknownBoardError, find_board
from cimarron.board.reset import BoardReset
from cimarron.board.top import BoardTop
from cimarron.config import PRESETS, ConfigError, load_config
from cimarron_sim.cli import main
from cimarron_sim.compiler.compile import compile
from cimarron_sim.firmware import load as load_firmware
from cimarron_sim.fpga.bitstream import flash_image
from cimarron_sim.fpga.config_file import config_text
from cimarron_sim.fpga.fit import check_memories
from cimarron_sim.frontend import load as load_model
from click.testing import CliRunner

ROOT = Path(__file__).parents[1]

each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)


@each_board
def test_the_configuration_is_for_the_part(board):
    assert board.config is PRESETS[board.name]
    board.check(board.config)
    check_memories(board.config, board.fpga)


@each_board
def test_the_firmware_fits_and_the_digits_compile(board):
    assert len(load_firmware(board.config.cpu)) <= board.config.ram_bytes
    compile(load_model(ROOT / "examples" / "digits" / "digits.onnx"), board.config)


@each_board
def test_the_top_has_the_ports_of_the_pin_file(board):
    top = BoardTop(board, board.config)
    ports = {path[0]: Shape.cast(member.shape).width for path, member, _ in top.signature.flatten(top)}
    flash = {port: 1 for port in ports if port.startswith("flash_")}
    assert ports == {"clk": 1, "rst": 1, "uart_rx": 1, "uart_tx": 1, "led": board.leds} | flash
    assert len(flash) == (4 if board.name == "icebreaker" else 0)


@each_board
def test_a_configuration_for_another_family_is_refused(board):
    with pytest.raises(ConfigError, match=rf'asic, but {board.name} .* set target = "{board.fpga.family}"'):
        BoardTop(board, PRESETS["tiny"])


def test_a_macro_that_needs_a_second_clock_is_refused():
    board = find_board("tang_nano_20k")
    macro = dataclasses.replace(board.config.engine.macro, planes_per_cycle=2, double_pumped=True)
    config = dataclasses.replace(board.config, engine=dataclasses.replace(board.config.engine, macro=macro))
    with pytest.raises(ConfigError, match="double_pumped needs a clock of twice the frequency"):
        board.check(config)


def test_an_unknown_board_is_refused_with_those_there_are():
    with pytest.raises(UnknownBoardError, match="no board 'ulx4s': choose from ulx3s, ecpix5, icepi_zero"):
        find_board("ulx4s")


def test_the_command_refuses_an_unknown_board():
    result = CliRunner().invoke(main, ["bitstream", "--board", "ulx4s"])
    assert result.exit_code == 2
    assert "there is no board 'ulx4s': choose from ulx3s" in result.output


def test_the_command_refuses_a_configuration_for_another_target(tmp_path):
    result = CliRunner().invoke(main, ["bitstream", "--board", "ulx3s", "--config", "tiny", "-o", str(tmp_path / "o")])
    assert result.exit_code == 2
    assert 'set target = "ecp5"' in result.output
    assert not (tmp_path / "o").exists()


def test_the_command_refuses_a_memory_that_no_part_has(tmp_path):
    file = tmp_path / "big.toml"
    file.write_text(config_text(dataclasses.replace(PRESETS["icepi_zero"], ram_bytes=2**20)))
    result = CliRunner().invoke(main, ["bitstream", "--board", "icepi_zero", "--config", str(file)])
    assert result.exit_code == 2
    assert "ram_bytes 1048576" in result.output
    # 1 MiB and the buffer in blocks of 2 KiB, of which the part has 56.
    blocks = (2**20 + PRESETS["icepi_zero"].engine.act_buffer_bytes) // 2048
    assert f"fill {blocks} block RAMs of 2048 bytes, the part has 56" in result.output


def test_the_command_refuses_a_clock_that_the_loop_cannot_make(tmp_path):
    file = tmp_path / "odd.toml"
    file.write_text(config_text(dataclasses.replace(PRESETS["icepi_zero"], clock_hz=41_234_567)))
    result = CliRunner().invoke(main, ["bitstream", "--board", "icepi_zero", "--config", str(file)])
    assert result.exit_code == 2
    assert "cannot make clock_hz 41234567" in result.output


@pytest.mark.parametrize("name", PRESETS)
def test_a_configuration_survives_its_file(name, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(config_text(PRESETS[name]))
    assert load_config(str(file)) == PRESETS[name]


# The reset.


def simulate(process):
    dut = BoardReset()
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)

    async def testbench(ctx):
        await process(ctx, dut)

    simulator.add_testbench(testbench)
    simulator.run()


def test_reset_is_high_from_the_start_and_long_enough():
    async def process(ctx, dut):
        high = 0
        while ctx.get(dut.reset):
            high += 1
            assert high < 100
            await ctx.tick()
        assert high >= dut.hold_cycles

    simulate(process)


def test_reset_ends_only_after_its_cause():
    async def process(ctx, dut):
        ctx.set(dut.request, 1)
        await ctx.tick().repeat(100)
        assert ctx.get(dut.reset)
        ctx.set(dut.request, 0)
        await ctx.tick().repeat(dut.hold_cycles)
        assert ctx.get(dut.reset)
        await ctx.tick().repeat(10)
        assert not ctx.get(dut.reset)

    simulate(process)


def test_a_cause_between_two_clock_edges_is_not_missed():
    async def process(ctx, dut):
        await ctx.tick().repeat(50)
        assert not ctx.get(dut.reset)
        await ctx.delay(0.2e-6)
        ctx.set(dut.request, 1)
        await ctx.delay(0.2e-6)
        # It does not change before the clock does.
        assert not ctx.get(dut.reset)
        ctx.set(dut.request, 0)
        seen = 0
        for _ in range(50):
            await ctx.tick()
            seen += ctx.get(dut.reset)
        assert seen >= dut.hold_cycles
        assert not ctx.get(dut.reset)

    simulate(process)


def test_the_flash_image_is_what_the_boot_memory_looks_for():
    # docs/small.md: a magic word, the firmware's size, its CRC-32, and the firmware.
    image = flash_image(b"\x01\x02\x03\x04\x05")
    firmware = b"\x01\x02\x03\x04\x05\x00\x00\x00"
    assert image == b"CIMF" + (8).to_bytes(4, "little") + binascii.crc32(firmware).to_bytes(4, "little") + firmware


def test_firmware_comes_from_the_flash_only_where_memory_is_empty():
    board = find_board("ulx3s")
    macro = dataclasses.replace(PRESETS["icebreaker"].engine.macro, target="ecp5")
    engine = dataclasses.replace(PRESETS["icebreaker"].engine, macro=macro)
    config = dataclasses.replace(PRESETS["icebreaker"], engine=engine, clock_hz=25_000_000)
    board.check(config)
    assert not board.boots_from_flash(config)
    assert "flash_clk" not in BoardTop(board, config).signature.members
    board = find_board("icebreaker")
    assert board.boots_from_flash(board.config)
    assert "flash_clk" in BoardTop(board, board.config).signature.members
