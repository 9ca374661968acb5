"""The simulated chip with its serial port on a pseudo-terminal: a board to develop a host against."""

import json
import os
import struct
import subprocess
import tempfile
import threading
import tty
from contextlib import suppress
from pathlib import Path

from cimarron.config import SocConfig
from cimarron.isa import RunStatus

from ..firmware import load as load_firmware
from .simulation import DEFAULT_LIMIT, SimulationError
from .soc import build_simulator

__all__ = ["SerialChip"]


class SerialChip:
    """Runs from the moment it is entered to the moment it is left.

    The simulated UART is connected bit by bit: the terminal's bytes wait until the line is free for them, and a host at
    another rate than the chip is not understood. The chip's clock stands still after eight simulated seconds in which
    nothing was said.

    Parameters
    ----------
    config : SocConfig
    build_dir : Path
        Where simulators are built and found again.
    firmware : bytes, optional
        Image for the start of the memory; the prebuilt one by default.

    Raises
    ------
    SimulationError
        On entering, if the chip does not boot.
    ToolError
        If the simulator cannot be built.
    """

    def __init__(
        self, config: SocConfig, build_dir: Path | str = "build/sim", *, firmware: bytes | None = None
    ) -> None:
        self._config = config
        self._firmware = load_firmware(config.cpu) if firmware is None else firmware
        self._simulator = build_simulator(config, build_dir)
        self._process: subprocess.Popen[bytes] | None = None
        self._terminal: tuple[int, int] = (-1, -1)
        #: Device name of the pseudo-terminal.
        self.path = ""

    def __enter__(self) -> "SerialChip":
        # Both ends stay open here, so that hosts come and go without an end of the file.
        self._terminal = os.openpty()
        master, slave = self._terminal
        try:
            tty.setraw(slave)
            os.set_blocking(master, False)
            self.path = os.ttyname(slave)
            self._process = self._start(master)
            self._await_boot()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self, master: int) -> subprocess.Popen[bytes]:
        # The harness's `Request`: no program, no inputs.
        request = struct.pack("<10I", DEFAULT_LIMIT, 0, 0, 0, 0, 0, 0, 0, len(self._firmware), 0) + self._firmware
        # Read before the answer to the boot, and not needed behind it.
        self._scratch = tempfile.TemporaryDirectory(prefix="cimarron-")
        path = Path(self._scratch.name, "request")
        path.write_bytes(request)
        config = self._config
        command = [self._simulator, path, "serial", str(master), str(config.clock_hz), str(config.uart_baud)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, pass_fds=(master,), stdin=pipe, stdout=pipe, stderr=pipe)

    def _await_boot(self) -> None:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        text = process.stdout.readline()
        self._scratch.cleanup()
        line = json.loads(text) if text else {"kind": self._ended()}
        if line["kind"] != "boot" or line["status"] != RunStatus.OK:
            raise SimulationError(f"the simulated chip does not boot: {line}")

    def _ended(self) -> str:
        process = self._process
        assert process is not None
        _, message = process.communicate()
        return f"the simulator ended with code {process.returncode}: {message.decode().strip() or 'no message'}"

    def wait(self, stop: threading.Event | None = None) -> None:
        """Until somebody interrupts, or sets the event.

        Raises
        ------
        SimulationError
            If the simulator ends by itself.
        """
        process = self._process
        assert process is not None
        while stop is None or not stop.is_set():
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
                raise SimulationError(self._ended())

    def stop(self) -> None:
        """Switch it off; does nothing if it is."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()
        for end in self._terminal:
            with suppress(OSError):
                os.close(end)
        self._terminal = (-1, -1)
