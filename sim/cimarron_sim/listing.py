"""Every operator of a model file with where it runs: what ``cimarron check`` prints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .compiler.check import Place, Verdict
from .frontend import Operator

__all__ = ["NOWHERE", "Row", "list_operators"]

#: Where an operator runs that needs no time on the chip.
NOWHERE = "-"

_CONVERSIONS = ("quantize", "dequantize")
_VIEWS = ("view", "reshape")


@dataclass(frozen=True)
class Row:
    """One line of the listing.

    Parameters
    ----------
    name : str
        As in the file; of a layer that the compiler adds, and of an input or output, that of the graph.
    op : str
        The operator of the graph that it becomes, or its type in the file if it becomes none.
    place : str
        ``engine``, ``cpu``, ``host``, ``unsupported`` or ``-``.
    reason : str
    """

    name: str
    op: str
    place: str
    reason: str


def list_operators(
    operators: Sequence[Operator], verdicts: Sequence[Verdict], absorbed: Mapping[str, int]
) -> list[Row]:
    """One row per operator of the file, and per layer, input and output that the compiler has a verdict on.

    Parameters
    ----------
    operators : sequence of Operator
        Of the file, in the order of execution.
    verdicts : sequence of Verdict
        Of the compiler, on the graph or on what is understood of it.
    absorbed : dict of str to int
        Types of operators that hold only constants or scales, and how many.

    Returns
    -------
    list of Row
        In the order of execution; at last one row for each type of `absorbed`.
    """
    refused = {operator.name for operator in operators if not operator.supported}
    verdicts = [verdict for verdict in verdicts if verdict.name not in refused]
    matched = _match(operators, verdicts)
    pending = list(range(len(verdicts)))
    rows = []
    for index, operator in enumerate(operators):
        place = matched.get(index)
        if place is None:
            rows.append(_row(operator, is_behind=bool(refused)))
            continue
        # Layers without an operator, such as a change of scale, come where they run.
        before = [i for i in pending if i < place and i not in matched.values()]
        rows += [_of(verdicts[i]) for i in before if verdicts[i].op != "reshape"]
        pending = [i for i in pending if i not in before and i != place]
        rows.append(_of(verdicts[place], operator))
    rest = [verdicts[i] for i in pending if i not in matched.values()]
    rows += [_of(verdict) for verdict in rest if verdict.op != "reshape"]
    for op, count in absorbed.items():
        what = "constants" if op == "Constant" else "scales of tensors: part of the layers around them"
        rows.append(Row(f"({count} operator{'s' if count > 1 else ''})", op, NOWHERE, what))
    return rows


def _match(operators: Sequence[Operator], verdicts: Sequence[Verdict]) -> dict[int, int]:
    """By an operator's index, that of the verdict on it: of its name, else the first of its kind that is left."""
    left = [index for index, verdict in enumerate(verdicts) if verdict.op not in _CONVERSIONS]
    layers = [i for i, operator in enumerate(operators) if operator.supported and operator.becomes != "fused"]
    matched = {}
    for by_name in (True, False):
        for i in layers:
            operator = operators[i]
            for index in left:
                verdict = verdicts[index]
                if (
                    i not in matched
                    and verdict.op == operator.becomes
                    and (verdict.name == operator.name or not by_name)
                ):
                    matched[i] = index
                    left.remove(index)
                    break
    return matched


def _of(verdict: Verdict, operator: Operator | None = None) -> Row:
    if operator is not None and operator.becomes in _VIEWS:
        return _row(operator, is_behind=False)
    return Row(verdict.name if operator is None else operator.name, verdict.op, verdict.place.value, verdict.reason)


def _row(operator: Operator, *, is_behind: bool) -> Row:
    """What the front end alone says; `is_behind` if an operator in front of it may be one that is refused."""
    name, op = operator.name, operator.op
    if not operator.supported:
        return Row(name, op, Place.UNSUPPORTED.value, f"{operator.reason}: {operator.remedy}")
    if operator.becomes in _VIEWS:
        return Row(name, op, NOWHERE, "view: moves no data, costs nothing")
    if operator.into:
        return Row(name, op, NOWHERE, f"fused into {operator.into!r}")
    if operator.becomes == "fused" and op in ("QUANTIZE", "DEQUANTIZE"):
        return Row(name, op, Place.HOST.value, "converts the caller's array")
    if operator.becomes == "fused":
        return Row(name, op, NOWHERE, "computed when the model is read")
    reason = "not examined: its input comes from an unsupported operator" if is_behind else "nothing needs its result"
    return Row(name, operator.becomes, NOWHERE, reason)
