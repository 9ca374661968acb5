"""Functional coverage: which combinations of circumstances were met, and which were not."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations, product
from pathlib import Path

__all__ = ["Coverage", "Cross"]


class Cross:
    """All combinations of the values of some dimensions, and how often each was met.

    Parameters
    ----------
    dimensions : mapping of str to sequence
        Name and possible values of each; values are told apart by their text.
    """

    def __init__(self, dimensions: Mapping[str, Sequence[object]]):
        self.dimensions = {name: tuple(map(str, values)) for name, values in dimensions.items()}
        self.hits: Counter[tuple[str, ...]] = Counter()

    def sample(self, **values: object) -> None:
        """Count one combination.

        Raises
        ------
        ValueError
            If a value is none of its dimension's, or a dimension has none.
        """
        if set(values) != set(self.dimensions):
            raise ValueError(f"a sample must have {', '.join(self.dimensions)}, not {', '.join(values)}")
        for name, value in values.items():
            if str(value) not in self.dimensions[name]:
                raise ValueError(f"{name} must be one of {', '.join(self.dimensions[name])}, not {value}")
        self.hits[tuple(str(values[name]) for name in self.dimensions)] += 1

    @property
    def bins(self) -> list[tuple[str, ...]]:
        """Every combination."""
        return list(product(*self.dimensions.values()))

    @property
    def covered(self) -> int:
        """Combinations that were met."""
        return sum(count > 0 for count in self.hits.values())

    def holes(self) -> list[dict[str, str]]:
        """What was never met, said as shortly as possible.

        A hole is a combination of values of some dimensions that was met with no value of the others, and is not part
        of a smaller hole. Together they hold every combination that was not met, and no other.
        """
        names = list(self.dimensions)
        found: list[dict[str, str]] = []
        for size in range(1, len(names) + 1):
            for chosen in combinations(range(len(names)), size):
                met = {tuple(bin[index] for index in chosen) for bin in self.hits}
                for values in product(*(self.dimensions[names[index]] for index in chosen)):
                    hole = {names[index]: value for index, value in zip(chosen, values, strict=True)}
                    if values not in met and not any(smaller.items() <= hole.items() for smaller in found):
                        found.append(hole)
        return found


class Coverage:
    """Crosses by name, as a file that runs add up in.

    Parameters
    ----------
    crosses : mapping of str to Cross
    """

    def __init__(self, crosses: Mapping[str, Cross]):
        self.crosses = dict(crosses)

    def save(self, path: Path) -> None:
        """Write the counts as JSON."""
        record = {
            name: [[*bin, count] for bin, count in sorted(cross.hits.items())] for name, cross in self.crosses.items()
        }
        path.write_text(json.dumps(record), encoding="utf-8")

    def add(self, path: Path) -> None:
        """Add the counts of a file to these."""
        for name, entries in json.loads(path.read_text(encoding="utf-8")).items():
            for *bin, count in entries:
                self.crosses[name].hits[tuple(bin)] += count
