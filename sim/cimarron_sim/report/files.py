"""The files of a report: written from its record, and read back."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .columns import layer_csv
from .record import FORMAT
from .trace import trace

__all__ = ["NAMES", "ReportError", "page_obstacle", "read_report", "write_report"]

#: Every form of a report; the first is the one that the others are made from.
NAMES = ("report.json", "report.csv", "trace.json", "report.html")

_SCHEMA = Path(__file__).with_name("schema.json")


class ReportError(ValueError):
    """A file that is no report this version can show."""


def page_obstacle() -> str:
    """Why there can be no ``report.html`` on this machine, and the remedy; empty if there can."""
    missing = [name for name in ("jinja2", "matplotlib") if find_spec(name) is None]
    if not missing:
        return ""
    return f"no report.html without {' and '.join(missing)}: run `{sys.executable} -m pip install 'cimarron[report]'`"


def _forms(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "report.json", json.dumps(record, indent=2) + "\n"
    yield "report.csv", layer_csv(record)
    yield "trace.json", json.dumps(trace(record), separators=(",", ":")) + "\n"
    if not page_obstacle():
        # Half a second, for the library of the figures.
        from .page import page

        yield "report.html", page(record)


def write_report(folder: Path, record: dict[str, Any]) -> list[Path]:
    """Write every form of a report; each file appears complete or not at all.

    Parameters
    ----------
    folder : Path
        Created if it is not there.
    record : dict
        From `cimarron_sim.report.record.describe_run` or `read_report`.

    Returns
    -------
    list of Path
        The files, in the order of `NAMES`; the last is not among them if there is a `page_obstacle`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with tempfile.TemporaryDirectory(dir=folder, prefix=".report-") as scratch:
        for name, text in _forms(record):
            # A name that is no Unicode, which JSON can hold, must not cost the report.
            Path(scratch, name).write_text(text, encoding="utf-8", errors="replace", newline="")
        for name in NAMES:
            if Path(scratch, name).exists():
                os.replace(Path(scratch, name), folder / name)
                written.append(folder / name)
            else:
                # Better none than that of another run.
                (folder / name).unlink(missing_ok=True)
    return written


def read_report(path: Path) -> dict[str, Any]:
    """Read a report back.

    Parameters
    ----------
    path : Path
        Its ``report.json``, or the folder that holds it.

    Raises
    ------
    ReportError
        If the file is missing, no report, one of another version, or damaged.
    """
    if path.is_dir():
        path = path / NAMES[0]
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReportError(f"{path} does not exist: name a folder that `cimarron run` wrote") from None
    except (ValueError, RecursionError):
        raise ReportError(f"{path} is not JSON: name the report.json of `cimarron run`") from None
    if not isinstance(record, dict) or "format" not in record:
        raise ReportError(f"{path} is no report: name the report.json of `cimarron run`")
    if record["format"] != FORMAT:
        raise ReportError(
            f"{path} has format {record['format']!r}, this version shows format {FORMAT}: run the model again"
        )
    if damage := _damage(record):
        raise ReportError(f"{path} is damaged: {damage}: run the model again")
    return record


def _damage(record: dict[str, Any]) -> str:
    """What contradicts the schema, or itself; empty if nothing does."""
    # Only who reads a report pays for the import.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    schema = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    error = best_match(Draft202012Validator(schema).iter_errors(record))
    if error is not None:
        return f"{error.json_path.removeprefix('$.')}: {error.message[:200]}"
    layers = len(record["layers"])
    for index, tensor in enumerate(record["buffer"]["tensors"]):
        if not tensor["first"] <= tensor["last"] < layers:
            return f"buffer.tensors[{index}] contradicts the layers"
    return _timeline_damage(record["timeline"], layers) if record["timeline"] else ""


def _timeline_damage(timeline: dict[str, Any], layers: int) -> str:
    end = 0
    for index, span in enumerate(timeline["spans"]):
        if span["layer"] >= layers or not end <= span["begin"] <= span["end"]:
            return f"timeline.spans[{index}] contradicts the layers or the span before"
        end = span["end"]
    end = 0
    for index, part in enumerate(timeline["cpu"]):
        if (part["layer"] or 0) >= layers or not end == part["begin"] < part["end"]:
            return f"timeline.cpu[{index}] contradicts the layers or what is before"
        end = part["end"]
    return "" if end == timeline["cycles"] else "timeline.cpu does not end with the inference"
