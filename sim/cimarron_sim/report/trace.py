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

_LAYERS, _CPU, _JOBS, _PHASES, _PORT = range(1, len(TRACKS) + 1)
_PROCESS = 1


def _spans(record: dict[str, Any]) -> Iterator[tuple[int, str, int, int, dict[str, Any]]]:
    """Track, name, first cycle, length and remarks of everything that has a name of its own."""
    timeline, layers = record["timeline"], record["layers"]
    before = at_rest = 0
    for index, span in enumerate(timeline["spans"]):
        layer = layers[span["layer"]]
        name, begin, end = layer["layer"], span["begin"], span["end"]
        if span["on"] == "cpu":
            yield _CPU, name, begin, end - begin, {"op": layer["op"]}
        else:
            # Whatever the CPU does while the engine works is not recorded; while it rests, it waits for the CPU.
            yield _CPU, "hand over", at_rest, begin - at_rest, {}
            yield _JOBS, name, begin, end - begin, {"op": layer["op"], "job": index}
        at_rest = end
        if index + 1 == len(timeline["spans"]) or timeline["spans"][index + 1]["layer"] != span["layer"]:
            yield _LAYERS, name, before, end - before, {key: layer[key] for key in ("op", "on", "macs", "bound")}
            before = end
    yield _CPU, "answer", at_rest, timeline["cycles"] - at_rest, {}


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
