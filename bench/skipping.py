"""Planes that are left to an operation, on activations of real networks, by what may be left out.

Run as ``python bench/skipping.py [MODEL ...]``: networks of `benchlib.models` by name, all by default, with the two
inputs of each there, or quantised TFLite and ONNX files, with ``--inputs FILE`` or with two random inputs. Prints the
average of planes per vector, at least one each, and writes it as ``build/bench/skipping.json``. The weights of visual
wake words are our own, which makes its figures ours, too.

Vectors are 64 neighbouring bytes of an int8 tensor that a layer with weights reads, as the numpy reference computes it.
A tensor counts once, however many layers read it, and zeros fill its last vector. One plane per cycle, all rows at
once.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchlib import models
from cimarron_sim.frontend import ModelError, load
from cimarron_sim.graph import WEIGHTED, Graph
from cimarron_sim.inputs import InputError, read_inputs
from cimarron_sim.reference import execute
from numpy.typing import NDArray

OUTPUT = Path("build/bench")

ROWS = 64

Vectors = NDArray[np.int64]


def with_a_one(values: Vectors) -> Vectors:
    """Planes of each vector in which any row has a one; values are bit patterns, not negative."""
    return np.bitwise_count(np.bitwise_or.reduce(values, axis=1)).astype(np.int64)


def zero_planes(x: Vectors) -> Vectors:
    """Planes of two's complement that are not zero."""
    return with_a_one(x & 0xFF)


def as_built(x: Vectors) -> Vectors:
    """The same of the fewest bits that hold all numbers of the vector: what is above them repeats the sign."""
    reach = np.bitwise_or.reduce(x ^ (x >> 7), axis=1)
    bits = np.array([int(value).bit_length() + 1 for value in reach])
    return with_a_one(x & ((1 << bits) - 1)[:, np.newaxis])


def offset(x: Vectors) -> Vectors:
    """Planes of ``x + 128`` that are not zero: nothing has a sign, and zero points of -128 are 0."""
    return with_a_one(x + 128)


def magnitudes(x: Vectors) -> Vectors:
    """Planes of magnitudes that are not zero, as if each row took its sign from somewhere."""
    return with_a_one(np.abs(x))


def in_turn(x: Vectors) -> Vectors:
    """Planes of the positive rows' magnitudes, then of the negative ones'."""
    return with_a_one(np.maximum(x, 0)) + with_a_one(np.maximum(-x, 0))


WAYS: dict[str, Callable[[Vectors], Vectors]] = {
    "zero planes of two's complement": zero_planes,
    "and repeated signs: as built": as_built,
    "zero planes of x + 128": offset,
    "zero planes of magnitudes, if signs cost nothing": magnitudes,
    "magnitudes, positive and negative rows in turn": in_turn,
}


def cycles(way: str, x: Vectors) -> Vectors:
    """Cycles of each vector: its planes, and one if it has none.

    Parameters
    ----------
    way : str
        Key of `WAYS`.
    x : int64 array, shape (vectors, rows)
        Values of int8.
    """
    return np.maximum(WAYS[way](x), 1)


def cut(tensor: np.ndarray) -> Vectors:
    """A tensor's values in vectors of `ROWS`, the last one filled with zeros."""
    flat = tensor.astype(np.int64).ravel()
    return np.pad(flat, (0, -len(flat) % ROWS)).reshape(-1, ROWS)


def vectors(graph: Graph, inputs: list[np.ndarray]) -> Vectors:
    """Vectors of all inferences, shape (vectors, rows); none if no layer with weights reads int8."""
    read = dict.fromkeys(node.inputs[0] for node in graph.nodes if node.op in WEIGHTED)
    names = [name for name in read if graph.tensors[name].dtype == np.int8]
    found = [np.zeros((0, ROWS), np.int64)]
    for array in inputs:
        values = execute(graph, {graph.inputs[0]: graph.encode(graph.inputs[0], array)})
        found += [cut(values[name]) for name in names]
    return np.concatenate(found)


def subject(model: str, given: Path | None) -> tuple[Graph, list[np.ndarray], str]:
    """The graph of a model, its inputs, and what these are."""
    if model in models.NETWORKS:
        _, folder = models.NETWORKS[model]
        return models.read(model), models.inputs(model), "recorded" if folder else "drawn"
    graph = load(Path(model))
    if given:
        return graph, read_inputs(given, graph), str(given)
    tensor, rng = graph.tensors[graph.inputs[0]], np.random.default_rng(1)
    limits = np.iinfo(tensor.dtype)
    drawn = [rng.integers(limits.min, limits.max, tensor.shape, tensor.dtype, endpoint=True) for _ in range(2)]
    return graph, drawn, "random"


def main() -> None:
    """Measure all networks, or the models that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ", ".join(models.NETWORKS)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"a file, or one of {names} (default: all of these)")
    parser.add_argument("--inputs", type=Path, metavar="FILE", help="inputs of the files: .npy, .npz or raw bytes")
    arguments = parser.parse_args()
    chosen = arguments.models or list(models.NETWORKS)
    absent = [name for name in chosen if name in models.NETWORKS and not models.is_present(name)]
    if absent:
        print(f"skipped, since the public models are not here: {', '.join(absent)}")
    records: list[dict[str, Any]] = []
    for model in chosen:
        if model in absent:
            continue
        try:
            graph, inputs, kind = subject(model, arguments.inputs)
        except (ModelError, InputError) as error:
            parser.error(str(error))
        x = vectors(graph, inputs)
        record = {"model": model, "inputs": kind, "inferences": len(inputs), "vectors": len(x)}
        records.append(record | {"planes": {way: float(cycles(way, x).mean()) for way in WAYS} if len(x) else None})
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "skipping.json").write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")
    for record in records:
        print(f"{record['model']}, inputs: {record['inferences']} ({record['inputs']}), vectors: {record['vectors']:,}")
        for way, planes in (record["planes"] or {}).items():
            print(f"  {way:50}{planes:6.2f}")
    print(f"written to {OUTPUT / 'skipping.json'}")


if __name__ == "__main__":
    main()
