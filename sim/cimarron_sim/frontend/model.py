"""What every front end says about a model: an error, or a verdict per operator."""

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["ModelError", "Operator", "Unsupported", "require_supported"]


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
    into : str
        Name of the operator that a fused one is part of, where there is one: not for a conversion at the ends.
    """

    name: str
    op: str
    becomes: str = ""
    reason: str = ""
    remedy: str = ""
    into: str = ""

    @property
    def supported(self) -> bool:
        """Whether the operator can be imported."""
        return bool(self.becomes)


def require_supported(operators: Iterable[Operator], supported: Iterable[str], path: str) -> None:
    """Refuse a model for all of its unsupported operators at once.

    Raises
    ------
    ModelError
        If there is one; the sentence names each with its reason and remedy, and what is supported.
    """
    if refused := [operator for operator in operators if not operator.supported]:
        verdicts = "; ".join(f"{o.op} {o.name!r}: {o.reason} ({o.remedy})" for o in refused)
        raise ModelError(
            f"{path} holds what is not supported: {verdicts}; supported are {', '.join(sorted(supported))}"
        )
