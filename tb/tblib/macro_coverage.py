"""What a macro can meet, and a collector that sees it on the pins."""

from collections import deque
from typing import Any

from cimarron.config import MacroConfig
from cimarron.macro.ports import Operation, OperationLayout, WriteLayout

from .coverage import Coverage, Cross
from .macro import MacroModel, operations_of, unpack_fields

__all__ = ["MacroCollector", "macro_coverage"]

_ACT_BITS = range(1, 17)
_WEIGHT_BITS = (1, 2, 4, 8, 16)
_SIGNS = ("unsigned", "signed")


def _act_range(bits: int) -> str:
    return "1" if bits == 1 else "2-8" if bits <= 8 else "9-16"


def _weight_range(bits: int) -> str:
    return "1-2" if bits <= 2 else str(bits) if bits == 4 else "8-16"


def macro_coverage() -> Coverage:
    """Nothing met so far.

    ``formats`` crosses every precision with every sign. ``operations`` crosses ranges of them with the weight set, the
    dial and back-pressure: whether the result had to wait. Both are about multiply-accumulates; ``kinds`` crosses all
    operations with the dial and back-pressure. ``requests`` crosses what can be asked, on either input,
    with whether it had to wait and what the macro was doing.
    """
    return Coverage(
        {
            "formats": Cross(
                {"act_bits": _ACT_BITS, "act": _SIGNS, "weight_bits": _WEIGHT_BITS, "weight": _SIGNS},
            ),
            "operations": Cross(
                {
                    "act_bits": ("1", "2-8", "9-16"),
                    "act": _SIGNS,
                    "weight_bits": ("1-2", "4", "8-16"),
                    "weight": _SIGNS,
                    "set": ("first", "other"),
                    "planes": (1, 2, 4, 8),
                    "row_groups": ("one", "more"),
                    "skipping": (False, True),
                    "pipeline": ("none", "some"),
                    "result": ("taken", "waited"),
                }
            ),
            "kinds": Cross(
                {
                    "kind": tuple(operation.name for operation in Operation),
                    "planes": (1, 2, 4, 8),
                    "row_groups": ("one", "more"),
                    "skipping": (False, True),
                    "pipeline": ("none", "some"),
                    "result": ("taken", "waited"),
                }
            ),
            "requests": Cross(
                {
                    "request": ("operation", "no such operation", "write", "no such write"),
                    "before": ("back to back", "pause"),
                    "ready": ("at once", "later"),
                    "array": ("idle", "computing"),
                }
            ),
        }
    )


class MacroCollector:
    """Fills the coverage of one macro, from transfers and from what was offered in each cycle.

    Parameters
    ----------
    config : MacroConfig
    model : MacroModel
        Knows the formats of the sets. Its writes must have happened before an operation of the same cycle is reported.
    coverage : Coverage
        As of `macro_coverage`; counts are added to it.
    """

    def __init__(self, config: MacroConfig, model: MacroModel, coverage: Coverage):
        self.config = config
        self.model = model
        self.coverage = coverage
        self._unanswered: deque[dict[str, dict[str, Any]]] = deque()
        self._waited = {"write": False, "operation": False, "result": False}
        self._back_to_back = dict.fromkeys(self._waited, False)

    def cycle(self, write: tuple[bool, bool], operation: tuple[bool, bool], result: tuple[bool, bool]) -> None:
        """Valid and ready of each stream in a cycle; to be called after its transfers were reported."""
        for name, (valid, ready) in (("write", write), ("operation", operation), ("result", result)):
            self._waited[name] = valid and not ready
            if ready or not valid:
                self._back_to_back[name] = valid

    def _request(self, stream: str, name: str, computing: int) -> None:
        self.coverage.crosses["requests"].sample(
            request=name,
            before="back to back" if self._back_to_back[stream] else "pause",
            ready="later" if self._waited[stream] else "at once",
            array="computing" if computing else "idle",
        )

    def write(self, payload: int, computing: int) -> None:
        """A row was taken while the sets in the bits of ``computing`` were computing."""
        fields = unpack_fields(WriteLayout(self.config), payload)
        limits = {
            "set": self.config.weight_sets,
            "row": self.config.rows,
            "width": len(self.config.weight_widths),
        }
        if "beat" in fields:
            limits["beat"] = self.config.write_beats
        exists = all(fields[name] < limit for name, limit in limits.items())
        self._request("write", "write" if exists else "no such write", computing)

    def operation(self, payload: int, computing: int) -> None:
        """An operation was taken."""
        config = self.config
        fields = unpack_fields(OperationLayout(config), payload)
        bits, weight_set = fields["bits"], fields["set"]
        code = fields.get("operation", Operation.MAC)
        exists = 1 <= bits <= config.max_act_bits and weight_set < config.weight_sets
        if not exists or code not in operations_of(config):
            self._request("operation", "no such operation", computing)
            self._unanswered.append({})
            return
        self._request("operation", "operation", computing)
        dial = {
            "planes": config.planes_per_cycle,
            "row_groups": "one" if config.row_groups == 1 else "more",
            "skipping": config.plane_skipping,
            "pipeline": "some" if config.pipeline else "none",
        }
        met: dict[str, dict[str, Any]] = {"kinds": {"kind": Operation(code).name, **dial}}
        if code == Operation.MAC:
            weights = self.model.sets[weight_set]
            act, weight = _SIGNS[fields["signed"]], _SIGNS[weights.signed]
            self.coverage.crosses["formats"].sample(act_bits=bits, act=act, weight_bits=weights.bits, weight=weight)
            met["operations"] = {
                "act_bits": _act_range(bits),
                "act": act,
                "weight_bits": _weight_range(weights.bits),
                "weight": weight,
                "set": "other" if weight_set else "first",
                **dial,
            }
        self._unanswered.append(met)

    def result(self) -> None:
        """The oldest operation was answered."""
        waited = "waited" if self._waited["result"] else "taken"
        for cross, values in self._unanswered.popleft().items():
            self.coverage.crosses[cross].sample(result=waited, **values)
