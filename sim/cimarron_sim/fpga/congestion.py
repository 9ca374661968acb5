"""What nextpnr's routers have left, while they look for ways: neither gives up by itself."""

import re

from ..runner.tools import ToolError

__all__ = ["Congestion"]

#: The first router lays connections, and tears up those in their way: a round is a thousand of them.
_CONNECTIONS = re.compile(r"^(\d+)000 \|.*\| +(\d+)\|")
#: The second one lays all of them, and then again those that share a wire.
_WIRES = re.compile(r"^iter=(\d+) .*\boverused=(\d+)")


class Congestion:
    """Follows the rounds of a router.

    Parameters
    ----------
    tool : str
        For the error message.

    Attributes
    ----------
    patience : int
        Rounds without less left than ever before, after which there is no hope.
    few : int
        With no more shared wires than that a round takes less than a second, and ``last_patience`` counts: that each
        round makes them more expensive may take the last two nets many rounds to resolve.
    last_patience : int
    """

    patience = 50
    few = 10
    last_patience = 500

    def __init__(self, tool: str) -> None:
        self._tool = tool
        self._fewest: int | None = None
        self._reached = 0

    def follow(self, line: str) -> None:
        """Take note of a line of the log.

        Raises
        ------
        ToolError
            If the router does not get on.
        """
        if found := _CONNECTIONS.search(line):
            left = "connections were to be laid"
        elif found := _WIRES.search(line):
            left = "wires were shared"
        else:
            return
        count, number = map(int, found.groups())
        if self._fewest is None or number < self._fewest:
            self._fewest, self._reached = number, count
        elif count - self._reached >= (self.last_patience if self._fewest <= self.few else self.patience):
            raise ToolError(
                f"{self._tool} does not find a way for every net: {self._fewest} {left} after round {self._reached},"
                f" and never fewer until round {count}: try another --seed, or a smaller engine.macro"
            )
