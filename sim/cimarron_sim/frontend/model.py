"""What every front end says about a model: an error, or a verdict per operator."""

from dataclasses import dataclass

__all__ = ["ModelError", "Operator", "Unsupported"]


class ModelError(ValueError):
    """A model file that cannot be imported; the sentence names the place and the remedy.

    It stays on one line, whatever names the file holds.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(" ".join(sentence.split()))


class Unsupported(Exception):
    """An operator that is valid but cannot be lowered: its reason and the way out."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason, remedy)
        self.reason = reason
        self.remedy = remedy


@dataclass(frozen=True)
class Operator:
    """Verdict on one operator of the model file.

    Parameters
    ----------
    name : str
        The operator's own name, or that of its first output.
    op : str
        Its type, in the words of the model's format.
    becomes : str
        An operator of the graph (see `cimarron_sim.graph.OPERATORS`), ``"fused"`` if it is part of another one,
        ``"view"`` if it moves no data, or ``""`` if it is not supported.
    reason, remedy : str
        Why it is not supported, and what to do.
    """

    name: str
    op: str
    becomes: str = ""
    reason: str = ""
    remedy: str = ""

    @property
    def supported(self) -> bool:
        """Whether the operator can be imported."""
        return bool(self.becomes)
