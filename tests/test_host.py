"""The serial port from a host's side: frames, a line that damages them, and the simulated chip at the other end."""

import dataclasses
import json
import os
import random
import re
import signal
import struct
import subprocess
import sys
import time
import tty
import zlib
from contextlib import contextmanager
from pathlib import Path

import cimarron_sim.host.device
import numpy as np
import oracle
import pytest
from cimarron.config import PRESETS
from cimarron.isa import (
    HOST_ANSWER,
    HOST_DATA_BYTES,
    HOST_IDENTITY,
    PROGRAM_OFFSET,
    HostAnswer,
    HostCommand,
    HostRequest,
    RunStatus,
)
from cimarron.soc.uart import Uart
from cimarron_sim import cli, firmware
from cimarron_sim.cli import main
from cimarron_sim.compiler import Program, compile
from cimarron_sim.firmware.build import compile_program, compiler_version
from cimarron_sim.frontend import load
from cimarron_sim.host.device import LEAST_DIVISOR, Device, DeviceError, open_device
from cimarron_sim.host.frame import FRAME_BYTES, Unframer, framed
from cimarron_sim.host.link import Link
from cimarron_sim.host.port import LinkError, SerialPort
from cimarron_sim.host.target import SerialTarget, TargetError, parse_target
from cimarron_sim.reference.execute import execute
from cimarron_sim.report.files import read_report
from cimarron_sim.runner.serial_chip import SerialChip
from click.testing import CliRunner
from config_file import soc_toml
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import Builder

DIGITS = Path(__file__).parents[1] / "examples" / "digits" / "digits.onnx"

#: A clock at which simulated time passes about as fast as the clock on the wall, eight cycles per bit.
CONFIG = dataclasses.replace(PRESETS["tiny"], clock_hz=1_000_000, uart_baud=125_000)

#: Seconds: much longer than any answer takes on a busy machine, so that nothing is repeated without need.
CALM = 30.0


# Frames.


words = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=FRAME_BYTES // 4 - 1)


def unslipped(line: bytes) -> bytes:
    """The content of one frame, as RFC 1055 has its receiver: byte by byte."""
    content, after_escape = bytearray(), False
    assert line[0] == line[-1] == 0o300
    for byte in line[1:-1]:
        assert byte != 0o300
        if after_escape:
            content.append({0o334: 0o300, 0o335: 0o333}[byte])
        elif byte != 0o333:
            content.append(byte)
        after_escape = not after_escape and byte == 0o333
    assert not after_escape
    return bytes(content)


@given(words)
def test_frames_are_words_and_their_crc_between_slip_ends(content):
    data = unslipped(framed(content))
    assert struct.unpack(f"<{len(content)}I", data[:-4]) == tuple(content)
    assert int.from_bytes(data[-4:], "little") == zlib.crc32(data[:-4])


@given(st.lists(words, max_size=3), st.binary().filter(lambda noise: 0xC0 not in noise), st.integers(1, 50))
@settings(deadline=None)
def test_frames_are_found_between_anything_else(frames, noise, step):
    line = noise.join([b"", *map(framed, frames), b""])
    unframer = Unframer()
    found = [frame for i in range(0, len(line), step) for frame in unframer.feed(line[i : i + step])]
    # Noise may be a frame by itself only if it has the CRC of one.
    assert found == list(map(tuple, frames))


@pytest.mark.parametrize("content", [[0], [0xC0DBDCDD, 0xFFFFFFFF], list(range(40))])
def test_no_flipped_bit_goes_unnoticed(content):
    line = framed(content)
    for bit in range(8 * len(line)):
        damaged = bytearray(line)
        damaged[bit // 8] ^= 1 << bit % 8
        assert all(frame == tuple(content) for frame in Unframer().feed(bytes(damaged)))
    assert Unframer().feed(line) == [tuple(content)]


def test_a_line_that_never_ends_a_frame_is_not_remembered():
    unframer = Unframer()
    for _ in range(50):
        assert unframer.feed(b"Cimarron\r\n" * 1000) == []
    assert sum(len(value) for value in vars(unframer).values()) <= 2 * FRAME_BYTES
    assert unframer.feed(framed([1, 2])) == [(1, 2)]


# Targets.


def test_the_simulation_is_a_target():
    assert parse_target("simulation") is None


def test_a_serial_target_has_a_rate_a_timeout_and_patience():
    assert parse_target("serial:/dev/null") == SerialTarget(device="/dev/null")
    assert parse_target("serial:/dev/null,timeout=0.5,baud=921600,patience=7") == SerialTarget(
        device="/dev/null", baud=921_600, timeout=0.5, patience=7
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "there is no target ''"),
        ("serial", "there is no target 'serial'"),
        ("serial:", "there is no target 'serial:'"),
        ("usb:/dev/ttyUSB0", "there is no target 'usb:/dev/ttyUSB0': choose simulation, or serial:DEVICE"),
        ("serial:/dev/null,", "a serial target has no option ''"),
        ("serial:/dev/null,speed=3", "a serial target has no option 'speed'"),
        ("serial:/dev/null,baud=fast", "baud of the target must be a number from 1,200 to 12,000,000, not 'fast'"),
        ("serial:/dev/null,baud=99", "baud of the target must be a number from 1,200"),
        ("serial:/dev/null,baud=9600,baud=115200", "a serial target has one baud, not two"),
        ("serial:/dev/null,timeout=nan", "timeout of the target must be a number"),
        ("serial:/dev/cu.nothing", "/dev/cu.nothing does not exist: plug the board in"),
        (f"serial:{__file__}", "is not a serial port: name a device such as /dev/ttyUSB0"),
    ],
)
def test_other_targets_are_refused_in_a_sentence(text, sentence):
    with pytest.raises(TargetError, match=re.escape(sentence)):
        parse_target(text)


def test_the_least_divisor_is_that_of_the_hardware():
    assert Uart.min_divisor == LEAST_DIVISOR


# The command line, where nobody is at the other end.


def call(*arguments) -> tuple[int, str]:
    """Exit code and standard error of a command."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stderr


@pytest.fixture
def order(tmp_path):
    """Arguments of a run that lack its target."""
    array = np.random.default_rng(8).integers(0, 17, (3, 64)).astype(np.float32)
    np.save(tmp_path / "digits.npy", array)
    config = tmp_path / "board.toml"
    config.write_text(soc_toml(CONFIG))
    options = ("--input", tmp_path / "digits.npy", "-o", tmp_path / "results", "--build-dir", tmp_path)
    return ["run", DIGITS, "--config", config, *options]


@contextmanager
def deaf_terminal():
    """Name of a pseudo-terminal at whose other end nobody listens."""
    master, slave = os.openpty()
    try:
        tty.setraw(slave)
        yield os.ttyname(slave)
    finally:
        os.close(master)
        os.close(slave)


def test_a_device_that_does_not_answer_ends_the_run(order, tmp_path):
    with deaf_terminal() as name:
        begin = time.monotonic()
        code, stderr = call(*order, "--target", f"serial:{name},timeout=0.05")
    assert code == 1
    assert re.search(rf"cimarron: no answer from {name} to IDENTIFY within [\d.]+ s and 8 tries at 125000 baud", stderr)
    assert time.monotonic() - begin < 10
    assert not (tmp_path / "results").exists()


def test_a_device_that_does_not_exist_is_refused(order):
    code, stderr = call(*order, "--target", "serial:/dev/ttyNONE")
    assert code == 2
    assert stderr.startswith("cimarron: /dev/ttyNONE does not exist")


def test_a_device_that_is_no_terminal_is_refused(order):
    code, stderr = call(*order, "--target", "serial:/dev/null")
    assert code == 2
    assert "cimarron: /dev/null is not a serial port: name a device such as /dev/ttyUSB0" in stderr


def test_a_device_in_use_is_refused(order):
    with deaf_terminal() as name:
        port = SerialPort(name, 125_000, 1.0)
        code, stderr = call(*order, "--target", f"serial:{name}")
        port.close()
    assert code == 2
    assert f"cimarron: {name} cannot be opened" in stderr


def test_without_pyserial_its_installation_is_asked_for(order, monkeypatch):
    monkeypatch.setitem(sys.modules, "serial", None)
    with deaf_terminal() as name:
        code, stderr = call(*order, "--target", f"serial:{name}")
    assert code == 2
    assert stderr.splitlines()[-1] == "cimarron: a serial target needs pyserial: run `pip install 'cimarron[serial]'`"


def test_waveforms_of_a_board_are_refused(order, tmp_path):
    with deaf_terminal() as name:
        code, stderr = call(*order, "--target", f"serial:{name}", "--trace", tmp_path / "wave.vcd")
    assert code == 2
    assert "cimarron: a chip behind a serial port records no waveforms" in stderr


# The simulated chip.


@pytest.fixture(scope="module")
def chip():
    """A chip, and the hosts that come and go; none resets it."""
    with SerialChip(CONFIG) as chip:
        yield chip


@pytest.fixture
def device(chip):
    with open_device(SerialTarget(device=chip.path, timeout=CALM), CONFIG) as device:
        yield device


@pytest.fixture(scope="module")
def builder() -> Builder:
    return Builder((1, 20), seed=5).fully_connected(9, bits=4).fully_connected(6)


@pytest.fixture(scope="module")
def program(builder) -> Program:
    return compile(builder.graph(), CONFIG)


@pytest.fixture(scope="module")
def digits() -> Program:
    return compile(load(DIGITS), CONFIG)


def assert_right(device: Device, builder: Builder, program: Program) -> None:
    """One inference, compared with the reference."""
    x, graph = builder.input(), builder.graph()
    content, result = device.run(program, x.tobytes())
    assert result.status is RunStatus.OK
    np.testing.assert_array_equal(program.output.array(content), execute(graph, {"x": x})[graph.outputs[0]])


class Exchange:
    """Frames of our own making, and what comes back."""

    def __init__(self, chip: SerialChip) -> None:
        self.port = SerialPort(chip.path, CONFIG.uart_baud, CALM)
        self._unframer = Unframer()
        self.number = 100
        self.port.discard()

    def __call__(self, *content: int) -> tuple[int, ...]:
        self.port.write(framed(content))
        return self.answer()

    def answer(self, seconds: float = CALM) -> tuple[int, ...]:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for found in self._unframer.feed(self.port.read(0.1)):
                return found
        return ()

    def next(self, kind: int, *operands: int) -> tuple[int, ...]:
        """A request with the number that follows."""
        self.number = (self.number + 1) % (1 << 16)
        return self(kind | self.number << 16, *operands)


@pytest.fixture
def exchange(chip):
    exchange = Exchange(chip)
    try:
        answer = exchange.next(HostRequest.IDENTIFY)
        # A host before us that repeated a request may have left an answer behind.
        while answer and answer[0] != HostRequest.IDENTIFY | HOST_ANSWER | exchange.number << 16:
            answer = exchange.answer()
        assert answer, "the chip does not answer"
        yield exchange
    finally:
        exchange.port.close()


@pytest.mark.cosim
def test_the_chip_says_what_it_is(device):
    identity = device.identity
    assert (identity.config_hash, identity.ram_bytes) == (CONFIG.engine.hash, 128 * 1024)
    assert (identity.clock_hz, identity.divisor) == (1_000_000, 8)


@pytest.mark.cosim
def test_memory_holds_what_was_written(device):
    rng = random.Random(3)
    # Each byte value, those that SLIP escapes in a row, and sizes around that of a frame.
    for offset, data in [
        (0, bytes(range(256))),
        (64, bytes([0xC0, 0xDB, 0xDC, 0xDD] * 100)),
        (4, rng.randbytes(HOST_DATA_BYTES)),
        (8, rng.randbytes(HOST_DATA_BYTES + 3)),
        (128 * 1024 - PROGRAM_OFFSET - 4, b"last"),
    ]:
        device.write(offset, data)
        assert device.read(offset, len(data)) == data
    assert device.link.repeated == 0


@pytest.mark.cosim
def test_the_firmware_keeps_up_with_the_fastest_rate(device):
    assert device.set_baud(CONFIG.clock_hz // LEAST_DIVISOR)
    assert device.identity.divisor == LEAST_DIVISOR
    data = random.Random(4).randbytes(4 * HOST_DATA_BYTES)
    device.write(0, data)
    assert device.read(0, len(data)) == data
    assert device.link.repeated == 0


@pytest.mark.cosim
@pytest.mark.parametrize("baud", [250_001, 1_000_000, 155_000])
def test_rates_that_the_clock_cannot_make_are_refused(device, baud):
    if baud == 250_001:
        # Within the tolerance of four cycles per bit.
        assert device.set_baud(baud)
        return
    with pytest.raises(TargetError, match=f"{baud} baud is .* cycles per bit of the chip's 1000000 Hz: choose a rate"):
        device.set_baud(baud)
    assert device.identify().divisor == 8


class Slow(SerialPort):
    """A port that knows two rates, whatever it is told."""

    def set_baud(self, baud: int) -> None:
        super().set_baud(baud if baud == CONFIG.uart_baud else 50_000)


@pytest.mark.cosim
def test_a_rate_at_which_nothing_comes_through_is_given_up(chip, builder, program, monkeypatch):
    # The chip counts cycles, and on a busy machine it gets few of them.
    monkeypatch.setattr(cimarron_sim.host.device, "LEASE_TIMEOUTS", 0.1)
    port = Slow(chip.path, CONFIG.uart_baud, CALM)
    with open_device(SerialTarget(device=chip.path, timeout=3.0), CONFIG, port=port) as device:
        assert not device.set_baud(200_000)
        assert device.link.baud == CONFIG.uart_baud
        assert device.identity.divisor == 8
        device.load(program)
        assert_right(device, builder, program)


@pytest.mark.cosim
def test_a_host_that_leaves_without_a_word_does_not_keep_its_rate(chip, monkeypatch):
    monkeypatch.setattr(cimarron_sim.host.device, "LEASE_TIMEOUTS", 0.03)
    with open_device(SerialTarget(device=chip.path, timeout=CALM), CONFIG) as device:
        assert device.set_baud(250_000)
        device.link.port.close()
        # What `close` would say is lost with the port.
    with open_device(SerialTarget(device=chip.path, timeout=CALM / 8), CONFIG) as device:
        assert device.identity.divisor == 8


@pytest.mark.cosim
@pytest.mark.parametrize(
    ("kind", "operands", "verdict"),
    [
        (HostRequest.WRITE, (0x18000, 1), HostAnswer.BAD_ADDRESS),  # behind the memory
        (HostRequest.WRITE, (0x17FFC, 1, 2), HostAnswer.BAD_ADDRESS),
        (HostRequest.WRITE, (0xFFFFFFFC, 1, 2), HostAnswer.BAD_ADDRESS),  # the stack, were it not for the wrap
        (HostRequest.WRITE, (2, 1), HostAnswer.BAD_ADDRESS),
        (HostRequest.WRITE, (0,), HostAnswer.BAD_REQUEST),
        (HostRequest.WRITE, (), HostAnswer.BAD_REQUEST),
        (HostRequest.READ, (0x17FFC, 8), HostAnswer.BAD_ADDRESS),
        (HostRequest.READ, (0, 6), HostAnswer.BAD_ADDRESS),
        (HostRequest.READ, (0, HOST_DATA_BYTES + 4), HostAnswer.BAD_REQUEST),
        (HostRequest.READ, (0, 4, 0), HostAnswer.BAD_REQUEST),
        (HostRequest.COMMAND, (), HostAnswer.BAD_REQUEST),
        (HostRequest.COMMAND, (HostCommand.NONE,), HostAnswer.BAD_REQUEST),
        (HostRequest.RATE, (16,), HostAnswer.BAD_REQUEST),
        (HostRequest.IDENTIFY, (1,), HostAnswer.BAD_REQUEST),
        (0, (), HostAnswer.BAD_REQUEST),
        (77, (1, 2), HostAnswer.BAD_REQUEST),
    ],
)
def test_requests_without_sense_are_refused(exchange, kind, operands, verdict):
    answer = exchange.next(kind, *operands)
    assert answer == (kind | HOST_ANSWER | verdict << 8 | exchange.number << 16,)
    assert len(exchange.next(HostRequest.IDENTIFY)) == 1 + len(HOST_IDENTITY)


@pytest.mark.cosim
def test_unknown_commands_end_with_their_status(device):
    result = device.command(99)
    assert (result.status, result.info) == (RunStatus.BAD_COMMAND, 99)


@pytest.mark.cosim
def test_only_the_number_that_follows_is_served(exchange):
    first = exchange.next(HostRequest.WRITE, 0, 11)
    for number in (exchange.number + 2, exchange.number - 1):
        wrong = exchange(HostRequest.WRITE | number << 16, 0, 99)
        assert wrong == (HostRequest.WRITE | HOST_ANSWER | HostAnswer.NO_SESSION << 8 | number << 16,)
    # The last request again has its answer again.
    assert exchange(HostRequest.WRITE | exchange.number << 16, 0, 99) == first
    assert exchange.next(HostRequest.READ, 0, 4)[1:] == (11,)


@pytest.mark.cosim
def test_numbers_start_again_at_zero(exchange):
    exchange.number = 0xFFFE
    for _ in range(3):
        assert exchange.next(HostRequest.IDENTIFY)[0] >> 16 == exchange.number
    assert exchange.number == 1
    exchange.number = 0xFFFE
    exchange.next(HostRequest.IDENTIFY)
    assert exchange.next(HostRequest.READ, 0, 4)[0] >> 8 == exchange.number << 8 == 0


@pytest.mark.cosim
def test_a_command_is_carried_out_once_and_answered_as_often_as_it_comes(exchange):
    program = compile(Builder((1, 20), seed=5).fully_connected(9).softmax().graph(), CONFIG)
    load_words = struct.unpack(f"<{len(program.image) // 4}I", program.image)
    step = HOST_DATA_BYTES // 4
    for start in range(0, len(load_words), step):
        exchange.next(HostRequest.WRITE, 4 * start, *load_words[start : start + step])
    assert exchange.next(HostRequest.COMMAND, HostCommand.LOAD)[1] == RunStatus.OK
    cold = exchange.next(HostRequest.COMMAND, HostCommand.RUN)
    assert exchange(HostRequest.COMMAND | exchange.number << 16, HostCommand.RUN) == cold
    # The code of a softmax is not in the instruction cache at first, which tells a second inference from it.
    warm = exchange.next(HostRequest.COMMAND, HostCommand.RUN)
    assert warm[1] == cold[1] == RunStatus.OK
    assert warm[5] < cold[5]


@pytest.mark.cosim
def test_damaged_frames_are_reported_and_frames_too_long_are_none(exchange):
    bad = (HOST_ANSWER | HostAnswer.BAD_FRAME << 8,)
    damaged = bytearray(framed([HostRequest.READ | exchange.number + 1 << 16, 0, 4]))
    damaged[5] ^= 1
    exchange.port.write(bytes(damaged))
    assert exchange.answer() == bad
    exchange.port.write(framed([HostRequest.WRITE | exchange.number + 1 << 16, 0, *[7] * (HOST_DATA_BYTES // 4 + 2)]))
    assert exchange.answer() == bad
    exchange.port.write(b"\xc0" * 20 + b"hello\xc0")
    assert exchange.answer() == bad
    assert exchange.answer(0.5) == ()
    assert len(exchange.next(HostRequest.READ, 0, 4)) == 2


@pytest.mark.cosim
def test_networks_run_one_after_the_other(device, builder, program, digits):
    device.load(program)
    assert device.identify().loaded_bytes == len(program.image)
    for _ in range(2):
        assert_right(device, builder, program)
    device.load(digits)
    device.load(program)
    assert_right(device, builder, program)
    assert device.link.repeated == 0


class Lossy(SerialPort):
    """Drops, flips and doubles bytes in both directions, one of so many."""

    def __init__(self, *arguments, one_of: int, seed: int) -> None:
        super().__init__(*arguments)
        self._rng, self._one_of = random.Random(seed), one_of
        self.harm = 0

    def _harmed(self, data: bytes) -> bytes:
        result = bytearray()
        for byte in data:
            kind = self._rng.randrange(3) if self._rng.randrange(self._one_of) == 0 else 3
            self.harm += kind < 3
            result += {0: b"", 1: bytes([byte ^ 1 << self._rng.randrange(8)]), 2: bytes([byte] * 2)}.get(
                kind, bytes([byte])
            )
        return bytes(result)

    def write(self, data: bytes) -> None:
        super().write(self._harmed(data))

    def read(self, seconds: float) -> bytes:
        return self._harmed(super().read(seconds))


@pytest.mark.cosim
@pytest.mark.parametrize("seed", [1, 2])
def test_a_line_that_harms_bytes_harms_no_result(chip, builder, program, seed):
    port = Lossy(chip.path, CONFIG.uart_baud, CALM, one_of=400, seed=seed)
    with Device(Link(port, CONFIG.uart_baud, timeout=1.0, tries=200)) as device:
        device.load(program)
        assert device.read(0, len(program.image)) == program.image
        for _ in range(3):
            assert_right(device, builder, program)
        print(f"seed {seed}: {port.harm} bytes harmed, {device.link.repeated} requests repeated")
        assert port.harm > 10
        assert device.link.repeated > 5


class Cut(SerialPort):
    """A cable that is pulled after so many bytes."""

    left = 10**9

    def write(self, data: bytes) -> None:
        passed, self.left = data[: self.left], max(0, self.left - len(data))
        super().write(passed)

    def read(self, seconds: float) -> bytes:
        if self.left:
            return super().read(seconds)
        time.sleep(seconds)
        return b""


@pytest.mark.cosim
@pytest.mark.parametrize("passed", [500, 2000, 6000])
def test_a_half_loaded_program_never_runs(chip, builder, program, digits, passed):
    assert passed < len(digits.image)
    # A program is loaded and runs; the next one, of which nothing is there yet, breaks off on its way.
    with open_device(SerialTarget(device=chip.path, timeout=CALM), CONFIG) as device:
        device.write(0, bytes(len(digits.image)))
        device.load(program)
        assert_right(device, builder, program)
    cable = Cut(chip.path, CONFIG.uart_baud, CALM)
    with open_device(SerialTarget(device=chip.path, timeout=CALM), CONFIG, port=cable) as device:
        device.link.timeout = 0.1
        cable.left = passed
        with pytest.raises(LinkError, match=rf"^no answer from {chip.path} to WRITE within [\d.]+ s and 8 tries at"):
            device.load(digits)
    with open_device(SerialTarget(device=chip.path, timeout=CALM), CONFIG) as device:
        if passed > HOST_DATA_BYTES:
            assert device.read(0, 1024) == digits.image[:1024]
            assert device.identity.loaded_bytes == 0
            assert device.command(HostCommand.RUN).status is RunStatus.NOT_LOADED
            # Asking for the check does not help.
            assert device.command(HostCommand.LOAD).status is RunStatus.BAD_CRC
            assert device.command(HostCommand.RUN).status is RunStatus.NOT_LOADED
        else:
            # Nothing of it has arrived: the one before still stands.
            assert device.identity.loaded_bytes == len(program.image)
        # After the cable is in again, everything works.
        device.load(program)
        assert_right(device, builder, program)


@pytest.mark.cosim
@pytest.mark.parametrize("offset", [0, 16, 64, -4])
def test_whoever_writes_to_the_image_has_to_load_it_again(device, builder, program, offset):
    device.load(program)
    offset %= len(program.image)
    device.write(offset, program.image[offset : offset + 4])
    with pytest.raises(DeviceError, match="the chip answered RUN with NOT_LOADED, info 0x0, address 0x0, step "):
        device.run(program, bytes(program.input.nbytes))
    assert device.command(HostCommand.LOAD).status is RunStatus.OK
    assert_right(device, builder, program)


@pytest.mark.cosim
def test_images_that_arrive_but_cannot_run_are_refused(device, program):
    changed = bytearray(program.image)
    changed[-1] ^= 1
    damaged = dataclasses.replace(program, image=bytes(changed))
    with pytest.raises(DeviceError, match=f"the chip answered LOAD with BAD_CRC, info {zlib.crc32(changed[20:]):#x},"):
        device.load(damaged)


@pytest.mark.cosim
def test_digits_equal_onnx_runtime_over_the_serial_port(order, chip, tmp_path):
    code, stderr = call(*order, "--target", f"serial:{chip.path},baud=250000,timeout={CALM}")
    assert code == 0, stderr
    assert "loading 10640 bytes at 250000 baud" in stderr
    assert "program 10,640 of 10,640 bytes" in stderr
    images, data = np.load(tmp_path / "digits.npy"), DIGITS.read_bytes()
    graph = load(DIGITS)
    port = graph.port(graph.inputs[0])
    for index, image in enumerate(images):
        expected = oracle.run(data, {port.name: image.reshape(port.shape)}, integers=not oracle.saturates())[0]
        got = np.load(tmp_path / "results" / f"output_{index}.npy")
        np.testing.assert_array_equal(got, expected)
    record = read_report(tmp_path / "results")
    assert (record["samples"], record["tensors_compared"], record["mismatches"]) == (3, 3, 0)
    assert record["simulated_cycles"] is record["timeline"] is None
    (layer,) = record["layers"]
    assert layer["cycles"] == record["cycles_per_inference"] == record["firmware_cycles_per_inference"]
    assert layer["compute"] + sum(layer["stalls"].values()) + layer["rest"] == layer["cycles"]
    assert layer["bound"] <= layer["cycles"]
    # The macro's operations are those that the compiler planned: 64 -> 72 -> 40 -> 10 in tiles of 16 rows, 4 outputs.
    assert layer["operations"] == 4 * 18 + 5 * 10 + 3 * 3
    assert call("report", tmp_path / "results", "-o", tmp_path / "again")[0] == 0
    again = json.loads((tmp_path / "again" / "report.json").read_text())
    assert again == record
    # The chip is back at its first rate.
    with open_device(SerialTarget(device=chip.path, timeout=CALM), CONFIG) as device:
        assert device.identity.divisor == 8


@pytest.mark.cosim
def test_a_digit_equals_onnx_runtime_on_the_small_system(tmp_path):
    config = dataclasses.replace(PRESETS["icebreaker"], clock_hz=1_000_000, uart_baud=10_000)
    graph = load(DIGITS)
    port = graph.port(graph.inputs[0])
    image = np.random.default_rng(3).integers(0, 17, port.shape).astype(np.float32)
    np.save(tmp_path / "digit.npy", image)
    (tmp_path / "board.toml").write_text(soc_toml(config))
    with SerialChip(config) as chip:
        command = ("run", DIGITS, "--config", tmp_path / "board.toml", "--input", tmp_path / "digit.npy")
        code, stderr = call(*command, "-o", tmp_path / "r", "--target", f"serial:{chip.path},timeout={CALM}")
    assert code == 0, stderr
    expected = oracle.run(DIGITS.read_bytes(), {port.name: image}, integers=not oracle.saturates())[0]
    np.testing.assert_array_equal(np.load(tmp_path / "r" / "output_0.npy"), expected)
    assert read_report(tmp_path / "r")["mismatches"] == 0


@pytest.mark.cosim
def test_wrong_answers_of_a_board_are_told(order, chip, tmp_path, monkeypatch):
    honest = Device.run

    def lying(self, program, data):
        content, result = honest(self, program, data)
        return bytes([content[0] ^ 1]) + content[1:], result

    monkeypatch.setattr(Device, "run", lying)
    code, stderr = call(*order, "--target", f"serial:{chip.path},timeout={CALM}")
    assert code == 1
    assert "sample 0, layer 'output in memory', index [0, 0]: expected " in stderr
    assert "3 of 3 tensors differ" in stderr
    assert read_report(tmp_path / "results")["mismatches"] == 3


@pytest.mark.cosim
def test_another_configuration_than_the_chips_is_refused_with_both_hashes(order, chip):
    other = dataclasses.replace(CONFIG, engine=dataclasses.replace(CONFIG.engine, queue_jobs=4))
    Path(order[3]).write_text(soc_toml(other))
    code, stderr = call(*order, "--target", f"serial:{chip.path},timeout={CALM}")
    assert code == 2
    assert (
        f"cimarron: the chip at {chip.path} has configuration {CONFIG.engine.hash:08x},"
        f" the program is for configuration {other.engine.hash:08x}" in stderr
    )


@pytest.mark.cosim
def test_a_chip_that_vanishes_in_the_middle_of_a_transfer_ends_the_run(order, tmp_path, monkeypatch):
    @contextmanager
    def unplugged(what):
        def tell(done, total):
            assert 0 < done < total
            chip.stop()

        yield tell

    monkeypatch.setattr(cli, "reported_transfer", unplugged)
    with SerialChip(CONFIG) as chip:
        code, stderr = call(*order, "--target", f"serial:{chip.path},timeout={CALM}")
    assert code == 1
    assert stderr.splitlines()[-1].startswith(f"cimarron: the link to {chip.path} broke: ")
    assert not (tmp_path / "results").exists()


@pytest.mark.cosim
def test_a_chip_that_was_reset_is_not_believed_to_hold_a_program():
    with SerialChip(CONFIG) as chip:
        exchange = Exchange(chip)
        answer = exchange.next(HostRequest.COMMAND, HostCommand.RUN)
        exchange.port.close()
    no_session = HostRequest.COMMAND | HOST_ANSWER | HostAnswer.NO_SESSION << 8 | exchange.number << 16
    assert answer == (no_session,)


#: Stands in for the interpreter of programs.
ILLEGAL = """
#include "run.h"

struct outcome program_run(void) {
    __asm__ volatile(".word 0x0BADC0DB");
    return SUCCESS;
}
"""


@pytest.mark.cosim
@pytest.mark.skipif(compiler_version() is None, reason="ziglang is not installed")
def test_a_trap_is_answered_and_the_host_served_again(tmp_path, program):
    (tmp_path / "run.c").write_text(ILLEGAL)
    folder = firmware.FIRMWARE.parent
    sources = [folder / "start.S", *(path for path in sorted(folder.glob("*.c")) if path.name != "run.c")]
    runtime = compile_program([*sources, tmp_path / "run.c"], include=[folder])
    with (
        SerialChip(CONFIG, firmware=runtime) as chip,
        open_device(SerialTarget(device=chip.path, timeout=CALM), CONFIG) as device,
    ):
        device.load(program)
        with pytest.raises(DeviceError, match=r"the chip answered RUN with TRAP, info 0x2, address 0x4000[0-9a-f]{4},"):
            device.run(program, bytes(program.input.nbytes))
        assert device.command(HostCommand.RUN).status is RunStatus.NOT_LOADED
        device.load(program)
        assert device.link.repeated == 0


@pytest.mark.cosim
def test_the_simulated_chip_has_a_name_until_it_is_interrupted(tmp_path, builder, program):
    (tmp_path / "board.toml").write_text(soc_toml(CONFIG))
    link = tmp_path / "uart"
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "cimarron_sim", "simulate", "--config", tmp_path / "board.toml", "--link", link]
    with subprocess.Popen(
        [*command, "--build-dir", root / "build" / "sim"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        assert link.resolve() == Path(name)
        with open_device(SerialTarget(device=str(link), timeout=CALM), CONFIG) as device:
            device.load(program)
            assert_right(device, builder, program)
        process.send_signal(signal.SIGINT)
        assert process.wait(CALM) == 0
    assert not link.is_symlink()
    assert not Path(name).exists()


def test_a_link_does_not_replace_a_file(tmp_path):
    (tmp_path / "notes").write_text("mine")
    code, stderr = call("simulate", "--link", tmp_path / "notes", "--build-dir", tmp_path)
    assert (code, stderr) == (2, f"cimarron: {tmp_path / 'notes'} is no symbolic link: choose another name\n")
    assert (tmp_path / "notes").read_text() == "mine"
