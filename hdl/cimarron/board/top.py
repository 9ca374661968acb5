"""The system on a board."""

from amaranth.hdl import Cat, ClockDomain, ClockSignal, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import SocConfig
from ..soc.ram import check_contents
from ..soc.small_soc import SmallSoc
from ..soc.soc import Soc
from .board import Board
from .direct_clock import DirectClock
from .ecp5_pll import Ecp5Pll, Ecp5PllSettings
from .gowin_pll import GowinPll, GowinPllSettings
from .ice40_pll import Ice40Pll, Ice40PllSettings
from .reset import BoardReset

__all__ = ["BoardTop", "make_pll", "pll_settings"]


def pll_settings(
    board: Board, clock_hz: int, *, doubled: bool = False
) -> Ecp5PllSettings | GowinPllSettings | Ice40PllSettings | None:
    """Settings of the phase-locked loop that makes a clock of the board's oscillator.

    Parameters
    ----------
    board : Board
    clock_hz : int
    doubled : bool
        Whether a clock of twice the frequency comes with it; see `Board.check` for where it can.

    Returns
    -------
    settings or None
        None if the oscillator itself is the clock, on iCE40, whose loop makes none below 16 MHz.

    Raises
    ------
    PllError
        If the one of the board's FPGA cannot.
    """
    if board.fpga.family == "ecp5":
        return Ecp5PllSettings.find(board.oscillator_hz, clock_hz, doubled=doubled)
    if board.fpga.family == "ice40" and clock_hz == board.oscillator_hz:
        return None
    find = {"gowin": GowinPllSettings.find, "ice40": Ice40PllSettings.find}
    return find[board.fpga.family](board.oscillator_hz, clock_hz)


def make_pll(board: Board, clock_hz: int, *, doubled: bool = False) -> Ecp5Pll | GowinPll | Ice40Pll | DirectClock:
    """That loop, or what stands for it: ``i_clock``, ``o_clock``, ``locked``, and ``o_fast`` if there are two clocks.

    Raises
    ------
    PllError
        If the one of the board's FPGA cannot make the clock.
    """
    settings = pll_settings(board, clock_hz, doubled=doubled)
    if settings is None:
        return DirectClock()
    if isinstance(settings, Ecp5PllSettings):
        return Ecp5Pll(settings, doubled=doubled)
    if isinstance(settings, GowinPllSettings):
        return GowinPll(settings, board.fpga.pack_device)
    return Ice40Pll(settings)


class BoardTop(wiring.Component):
    """Clock, reset and lights around the system; the ports are those that a pin file constrains.

    One clock domain, and for a double-pumped macro ``fast``, from the same loop. What comes from outside: the serial
    line, which the UART synchronises, and the button and the lock of the loop, which the reset does.

    ===== ===============================================================
    light meaning
    ===== ===============================================================
    0     blinks about once a second: the clock runs
    1     on: the loop is locked and the system out of reset
    2     the engine completed a job within the last 2**21 cycles
    3     the engine is in error
    ===== ===============================================================

    Parameters
    ----------
    board : Board
    config : SocConfig
        Its ``clock_hz`` is what the loop makes.
    ram_init : bytes
        Contents of the memory after configuration, unless the firmware comes from the flash.
    boot : bytes
        Boot memory of a system whose firmware does, see `Board.boots_from_flash`.

    Members
    -------
    clk : In(1)
        Oscillator.
    rst : In(1)
        Button.
    uart_rx : In(1)
    uart_tx : Out(1)
    led : Out(board.leds)
    flash_clk, flash_copi, flash_cs_n : Out(1)
    flash_cipo : In(1)
        Only if the firmware comes from the flash: see `cimarron.soc.flash.FlashPins`.

    Raises
    ------
    ConfigError
        If the configuration is for another family.
    PllError
        If the loop cannot make the clock.
    ValueError
        If the initial contents do not fit the memory.
    """

    glow_bits = 21

    def __init__(self, board: Board, config: SocConfig, *, ram_init: bytes = b"", boot: bytes = b"") -> None:
        board.check(config)
        self._board = board
        self._config = config
        self._ram_init = ram_init
        self._boot = boot
        self._from_flash = board.boots_from_flash(config)
        flash = {"flash_clk": Out(1), "flash_copi": Out(1), "flash_cs_n": Out(1), "flash_cipo": In(1)}
        pll_settings(board, config.clock_hz, doubled=config.engine.macro.double_pumped)
        check_contents(config, ram_init)
        super().__init__(
            {
                "clk": In(1),
                "rst": In(1),
                "uart_rx": In(1, init=1),
                "uart_tx": Out(1),
                "led": Out(board.leds),
                **(flash if self._from_flash else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain("sync")
        doubled = self._config.engine.macro.double_pumped
        m.submodules.pll = pll = make_pll(self._board, self._config.clock_hz, doubled=doubled)
        if isinstance(pll, Ecp5Pll) and doubled:
            m.domains.fast = ClockDomain("fast", reset_less=True)
            m.d.comb += ClockSignal("fast").eq(pll.o_fast)
        m.submodules.reset = reset = BoardReset()
        if self._from_flash:
            m.submodules.soc = soc = SmallSoc(self._config, boot=self._boot, blocks=True)
            m.d.comb += [
                self.flash_clk.eq(soc.flash_clk),
                self.flash_copi.eq(soc.flash_copi),
                self.flash_cs_n.eq(soc.flash_cs_n),
                soc.flash_cipo.eq(self.flash_cipo),
            ]
        else:
            system = SmallSoc if self._config.engine_in == "software" else Soc
            m.submodules.soc = soc = system(self._config, ram_init=self._ram_init)
        pressed = ~self.rst if self._board.reset_low else self.rst
        m.d.comb += [
            pll.i_clock.eq(self.clk),
            ClockSignal().eq(pll.o_clock),
            reset.request.eq(pressed | ~pll.locked),
            ResetSignal().eq(reset.reset),
            soc.uart_rx.eq(self.uart_rx),
            self.uart_tx.eq(soc.uart_tx),
        ]

        beat = Signal(range(self._config.clock_hz // 2))
        heart = Signal()
        m.d.sync += beat.eq(beat + 1)
        with m.If(beat == self._config.clock_hz // 2 - 1):
            m.d.sync += [beat.eq(0), heart.eq(~heart)]
        # A job takes microseconds: the light stays on long enough to be seen.
        glow = Signal(self.glow_bits)
        with m.If(soc.monitor.retired):
            m.d.sync += glow.eq(~0)
        with m.Elif(glow != 0):
            m.d.sync += glow.eq(glow - 1)
        running = Signal()
        m.d.sync += running.eq(1)

        lights = Signal(len(self.led))
        m.d.comb += [
            lights.eq(Cat(heart, running, glow != 0, soc.monitor.error)),
            self.led.eq(~lights if self._board.leds_low else lights),
        ]
        return m
