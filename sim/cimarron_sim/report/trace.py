"""The timeline of a report as a trace for Perfetto or chrome://tracing.

The format is the JSON object form of the Trace Event Format
(https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU): complete events, ``ph`` ``X``, whose
``ts`` and ``dur`` are microseconds, and metadata events, ``ph`` ``M``, that name the tracks.
"""

from collections.abc import Iterator
from typing import Any

from ..runner.timeline import PHASES, PORT, runs

__all__ = ["TRACKS", "trace"]

#: What the tracks are called, from top to bottom; a track's number is its thread id.
TRACKS = ("layers", "CPU", "engine: jobs", "engine: phases", "memory port")

#: What the CPU executes in steps that compute no layer, by kind.
_EXECUTES = {"command": "take command", "jobs": "hand over", "end": "answer"}
#: What it does with jobs if there is no engine in gates.
_RUNS = "run jobs"
_WAITS = "wait for engine"

_LAYERS, _CPU, _JOBS, _PHASES, _PORT = range(1, len(TRACKS) + 1)
_PROCESS = 1


def _activity(record: dict[str, Any], part: dict[str, Any]) -> str:
    if part["waits"]:
        return _WAITS
    if part["layer"] is not None:
        return record["layers"][part["layer"]]["layer"]
    if part["kind"] == "jobs" and record["config"].get("engine_in") == "software":
        return _RUNS
    return _EXECUTES.get(part["kind"], part["kind"])


def _spans(record: dict[str, Any]) -> Iterator[tuple[int, str, int, int, dict[str, Any]]]:
    """Track, name, first cycle, length and remarks of everything that has a name of its own."""
    timeline, layers = record["timeline"], record["layers"]
    before = 0
    for index, span in enumerate(timeline["spans"]):
        layer = layers[span["layer"]]
        name, begin, end = layer["layer"], span["begin"], span["end"]
        if span["on"] == "engine":
            yield _JOBS, name, begin, end - begin, {"op": layer["op"], "job": index}
        if index + 1 == len(timeline["spans"]) or timeline["spans"][index + 1]["layer"] != span["layer"]:
            yield _LAYERS, name, before, end - before, {key: layer[key] for key in ("op", "on", "macs", "bound")}
            before = end
    for part in timeline["cpu"]:
        args = {key: part[key] for key in ("step", "kind", "instructions", "bus")}
        yield _CPU, _activity(record, part), part["begin"], part["end"] - part["begin"], args


def trace(record: dict[str, Any]) -> dict[str, Any]:
    """The trace of the inference that a report has a timeline of; without events if it has none.

    Parameters
    ----------
    record : dict
        A report.

    Returns
    -------
    dict
        For `json.dumps`. A clock cycle takes ``1e6 / clock_hz`` microseconds; every event begins and ends on a whole
        nanosecond, the finest that Perfetto keeps, and has its exact ``cycle`` and ``cycles`` among its ``args``.
    """
    clock = record["config"]["clock_hz"]

    def nanoseconds(cycle: int) -> int:
        return (2 * cycle * 10**9 + clock) // (2 * clock)

    def event(track: int, name: str, begin: int, length: int, args: dict[str, Any]) -> dict[str, Any]:
        # Both edges are rounded, never the duration: what follows without a gap still does.
        start = nanoseconds(begin)
        duration = nanoseconds(begin + length) - start
        return {
            "name": name,
            "ph": "X",
            "pid": _PROCESS,
            "tid": track,
            "ts": start / 1000,
            "dur": duration / 1000,
            "args": {"cycle": begin, "cycles": length, **args},
        }

    def title(kind: str, track: int, **args: Any) -> dict[str, Any]:
        return {"name": kind, "ph": "M", "pid": _PROCESS, "tid": track, "args": args}

    events = [title("process_name", 0, name=f"{record['model']} on Cimarron")]
    for track, name in enumerate(TRACKS, 1):
        events += [title("thread_name", track, name=name), title("thread_sort_index", track, sort_index=track)]
    timeline = record["timeline"]
    if timeline is not None:
        events += [event(*span) for span in _spans(record) if span[3]]
        for track, letters, text in ((_PHASES, PHASES, timeline["phases"]), (_PORT, PORT, timeline["port"])):
            events += [
                event(track, letters[letter], begin, length, {})
                for letter, begin, length in runs(text)
                if letters[letter] != "idle"
            ]
    return {
        "traceEvents": events,
        "otherData": {
            "model_hash": record["model_hash"],
            "config_hash": record["config_hash"],
            "clock_hz": clock,
            "cycles_per_window": timeline["resolution"] if timeline else 0,
        },
    }
