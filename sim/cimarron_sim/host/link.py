"""Requests to the device and their answers, over a line that may lose or damage bytes."""

import random
import time
from collections.abc import Sequence

from cimarron.isa import HOST_ANSWER, HostAnswer, HostRequest

from .frame import Unframer, framed
from .port import LinkError, Port

__all__ = ["Link"]

#: Bits on the line per byte, and how many bytes SLIP may make of one.
_BITS, _EXPANSION = 10, 2

#: More than the bytes of any answer but those that were asked for.
_ANSWER_BYTES = 80


class Link:
    """Sends each request until it is answered; the device carries it out once.

    Parameters
    ----------
    port : Port
    baud : int
        The rate that the port has, in bits per second.
    timeout : float
        Seconds, besides those the bytes take on the line, after which a request is sent again.
    tries : int
        How often a request is sent before the link counts as broken.
    """

    def __init__(self, port: Port, baud: int, *, timeout: float = 1.0, tries: int = 8) -> None:
        self.port = port
        self.baud = baud
        self.timeout = timeout
        self.tries = tries
        #: How many requests had to be sent again.
        self.repeated = 0
        self._unframer = Unframer()
        # An answer to somebody else's request must not look like one to ours.
        self._sequence = random.randrange(1 << 16)

    def set_baud(self, baud: int) -> None:
        """Change the rate of this end."""
        self.port.set_baud(baud)
        self.baud = baud
        self._unframer = Unframer()
        self.port.discard()

    def request(
        self, kind: HostRequest, *operands: int, patience: float = 0.0, tries: int | None = None
    ) -> tuple[int, ...]:
        """Have something done.

        Parameters
        ----------
        kind : HostRequest
        *operands : int
        patience : float
            Seconds that may pass before the answer; the request is repeated, in case it got lost, until they have
            passed and it was sent as often as any other.
        tries : int, optional
            Instead of the link's own.

        Returns
        -------
        tuple of int
            The words of the answer behind its first.

        Raises
        ------
        LinkError
            If no answer comes, or the device refuses.
        """
        self._sequence = (self._sequence + 1) % (1 << 16)
        frame = framed([kind | self._sequence << 16, *operands])
        answer_bytes = _ANSWER_BYTES + (operands[1] if kind is HostRequest.READ else 0)
        line = (len(frame) + _EXPANSION * answer_bytes) * _BITS / self.baud
        tries = tries or self.tries
        begin = time.monotonic()
        sent = 0
        while sent < tries or time.monotonic() - begin < patience:
            self.port.write(frame)
            self.repeated += sent > 0
            sent += 1
            answer = self._await(kind, line)
            if answer is None:
                continue
            verdict = HostAnswer(answer[0] >> 8 & 0xFF)
            if verdict is HostAnswer.DONE:
                return answer[1:]
            raise LinkError(self._refusal(kind, verdict, operands))
        seconds = time.monotonic() - begin
        raise LinkError(
            f"no answer from {self.port.name} to {kind.name} within {seconds:.1f} s and {sent} tries at {self.baud}"
            " baud: is the cable in, the chip running, and its rate the same?"
        )

    def _await(self, kind: HostRequest, line: float) -> tuple[int, ...] | None:
        """The answer to the request sent last; None if it does not come, or the device asks for a repetition."""
        end = time.monotonic() + self.timeout + line
        while (left := end - time.monotonic()) > 0:
            for words in self._unframer.feed(self.port.read(left)):
                if words[0] == HOST_ANSWER | HostAnswer.BAD_FRAME << 8:
                    return None
                if words[0] & ~0xFF00 == kind | HOST_ANSWER | self._sequence << 16:
                    return words
        return None

    def _refusal(self, kind: HostRequest, verdict: HostAnswer, operands: Sequence[int]) -> str:
        if verdict is HostAnswer.NO_SESSION:
            return f"{self.port.name}: the chip was reset, or somebody else talks to it: start again"
        numbers = ", ".join(f"{operand:#x}" for operand in operands[:2])
        return f"{self.port.name} refuses {kind.name} {numbers}: {verdict.name}"
