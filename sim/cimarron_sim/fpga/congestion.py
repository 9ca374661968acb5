"""Wires that two nets want, while nextpnr's second router looks for others: it never gives up by itself."""

import re

from ..runner.tools import ToolError

__all__ = ["Congestion"]

_ROUND = re.compile(r"iter=(\d+) .*\boverused=(\d+)")


class Congestion:
    """Follows the rounds of the router.

    Parameters
    ----------
    tool : str
        For the error message.

    Attributes
    ----------
    patience : int
        Rounds without fewer shared wires than ever before, after which there is no hope.
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
        if not (found := _ROUND.search(line)):
            return
        count, shared = map(int, found.groups())
        if self._fewest is None or shared < self._fewest:
            self._fewest, self._reached = shared, count
        elif count - self._reached >= (self.last_patience if self._fewest <= self.few else self.patience):
            raise ToolError(
                f"{self._tool} does not find a way for every net: {self._fewest} wires were shared after round"
                f" {self._reached}, and never fewer until round {count}: try another --seed, or a smaller engine.macro"
            )
