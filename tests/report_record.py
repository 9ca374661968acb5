"""A report written by hand: an input, a layer of two jobs on the engine, one on the CPU."""

from typing import Any

__all__ = ["made_up"]


def made_up(names: tuple[str, str, str] = ("input", "conv", "softmax"), clock_hz: int = 48_000_000) -> dict[str, Any]:
    """100 cycles: 10 until the input is loaded, 70 for the convolution, 15 for the softmax, 5 to answer."""

    def layer(name: str, op: str, on: str, cycles: int, **fields: Any) -> dict[str, Any]:
        empty = {
            "shape": [1, 2, 2, 3], "macs": 0, "peak_macs": 0.0, "utilisation": 0.0, "streamed_bytes": 0, "bound": 0,
            "bounds": {"compute": 0, "weights": 0, "activations": 0, "outputs": 0}, "operations": 0, "compute": 0,
            "stalls": {"input": 0, "weights": 0, "output": 0, "control": 0}, "rest": 0,
        }  # fmt: skip
        cost = {"cycles": cycles, "cycles_min": cycles, "cycles_max": cycles}
        return {"layer": name, "op": op, "on": on, **cost, **empty, **fields}

    def activity(kind: str, step: int | None, begin: int, end: int, *amounts: int, **fields: Any) -> dict[str, Any]:
        where = {"step": step, "kind": kind, "layer": None, "waits": False, **fields}
        return {**where, "begin": begin, "end": end, **dict(zip(("instructions", "bus"), amounts, strict=True))}

    load = layer(
        names[0], "load", "engine", 10, streamed_bytes=12, bound=3,
        bounds={"compute": 0, "weights": 3, "activations": 0, "outputs": 3}, rest=6,
        stalls={"input": 0, "weights": 0, "output": 0, "control": 4},
    )  # fmt: skip
    conv = layer(
        names[1], "conv2d", "engine", 70, macs=1120, peak_macs=32.0, utilisation=0.5, streamed_bytes=80, bound=40,
        bounds={"compute": 40, "weights": 20, "activations": 30, "outputs": 10}, operations=5, compute=40, rest=10,
        stalls={"input": 3, "weights": 9, "output": 2, "control": 6},
    )  # fmt: skip
    softmax = layer(
        names[2], "softmax", "cpu", 15, stalls={"input": 0, "weights": 0, "output": 0, "control": 15}
    )  # fmt: skip
    return {
        "format": 4, "cimarron": "0.1.0", "model": "made up", "model_hash": "ab" * 32, "profile": "tflm",
        "config": {"clock_hz": clock_hz, "engine": {"lanes": 1, "macro": {"rows": 16}}}, "config_hash": "0123abcd",
        "port_bytes": 4, "samples": 2, "tensors_compared": 8, "mismatches": 0, "mismatch_list": [],
        "cycles_per_inference": 100, "cycles_per_inference_min": 100, "cycles_per_inference_max": 130,
        "firmware_cycles_per_inference": 95, "microseconds_per_inference": 100e6 / clock_hz,
        "macs_per_inference": 1120, "macs_per_cycle": 11.2, "bound_per_inference": 43, "simulated_cycles": 5000,
        "simulation_seconds": 0.5, "simulation_cpu_seconds": 0.4, "simulated_cycles_per_second": 10000.0,
        "layers": [load, conv, softmax],
        "buffer": {
            "bytes": 64,
            "tensors": [
                {"tensor": "x", "address": 0, "bytes": 12, "first": 0, "last": 1, "stripes": 0},
                {"tensor": "h", "address": 16, "bytes": 12, "first": 1, "last": 2, "stripes": 0},
                {"tensor": "y", "address": 0, "bytes": 12, "first": 2, "last": 2, "stripes": 0},
            ],
        },
        "timeline": {
            "sample": 1,
            "cycles": 100,
            "resolution": 1,
            "phases": "i4f6i2w9c20a3i4f5c20o2f5i20",
            "port": "i5b3i4b20i68",
            "spans": [
                {"layer": 0, "on": "engine", "begin": 4, "end": 10},
                {"layer": 1, "on": "engine", "begin": 12, "end": 44},
                {"layer": 1, "on": "engine", "begin": 48, "end": 80},
                {"layer": 2, "on": "cpu", "begin": 80, "end": 95},
            ],
            "cpu": [
                activity("command", None, 0, 2, 1, 1),
                activity("jobs", 0, 2, 7, 4, 2),
                activity("jobs", 1, 7, 45, 30, 0, waits=True),
                activity("jobs", 1, 45, 50, 4, 1),
                activity("softmax", 2, 50, 81, 20, 0, waits=True, layer=2),
                activity("softmax", 2, 81, 95, 9, 7, layer=2),
                activity("end", 3, 95, 100, 2, 0),
            ],
        },
    }  # fmt: skip
