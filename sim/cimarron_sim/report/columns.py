"""The layers of a report as comma-separated values."""

import csv
import io
from collections.abc import Iterator
from typing import Any

__all__ = ["layer_columns", "layer_csv"]


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _flat(f"{prefix}_{name}", part)
    elif isinstance(value, list):
        yield prefix, "x".join(map(str, value))
    else:
        yield prefix, value


def layer_columns(layer: dict[str, Any]) -> dict[str, Any]:
    """A layer's fields by column: those of an inner object get its name in front, as in ``stalls_input``.

    Parameters
    ----------
    layer : dict
        An entry of ``layers`` in a report.
    """
    return {column: value for name, field in layer.items() for column, value in _flat(name, field)}


def layer_csv(record: dict[str, Any]) -> str:
    """A heading, then one line per layer, as RFC 4180 has them.

    Parameters
    ----------
    record : dict
        A report.
    """
    rows = [layer_columns(layer) for layer in record["layers"]]
    text = io.StringIO()
    writer = csv.DictWriter(text, list({column: None for row in rows for column in row}))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
