"""A small top with the ports of a board's, for tests of the flow: it sends back what it receives."""

from pathlib import Path

from amaranth.hdl import ClockDomain, ClockSignal, Const, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cimarron.board.board import Board
from cimarron.board.reset import BoardReset
from cimarron.board.top import make_pll
from cimarron.soc.uart import Receiver, Transmitter

ROOT = Path(__file__).parents[1]


class EchoTop(wiring.Component):
    """Clock, reset and UART of a board, and a counter of ``counter_bits`` on its lights.

    Parameters
    ----------
    board : Board
    clock_hz : int
    counter_bits : int
        A long counter is slow.
    """

    def __init__(self, board: Board, clock_hz: int, counter_bits: int = 24) -> None:
        self._board = board
        self._clock_hz = clock_hz
        self._counter_bits = counter_bits
        super().__init__(
            {"clk": In(1), "rst": In(1), "uart_rx": In(1, init=1), "uart_tx": Out(1), "led": Out(board.leds)}
        )

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain("sync")
        m.submodules.pll = pll = make_pll(self._board, self._clock_hz)
        m.submodules.reset = reset = BoardReset()
        m.submodules.receiver = receiver = Receiver()
        m.submodules.transmitter = transmitter = Transmitter()
        pressed = ~self.rst if self._board.reset_low else self.rst
        count = Signal(self._counter_bits)
        m.d.sync += count.eq(count + 1)
        m.d.comb += [
            pll.i_clock.eq(self.clk),
            ClockSignal().eq(pll.o_clock),
            reset.request.eq(pressed | ~pll.locked),
            ResetSignal().eq(reset.reset),
            receiver.rx.eq(self.uart_rx),
            receiver.divisor.eq(Const(self._clock_hz // 115200, 24)),
            transmitter.divisor.eq(Const(self._clock_hz // 115200, 24)),
            transmitter.data.eq(receiver.data),
            transmitter.valid.eq(receiver.valid),
            self.uart_tx.eq(transmitter.tx),
            self.led.eq(count[-len(self.led) :]),
        ]
        return m
