"""The networks that benches run: the public ones of MLPerf Tiny, where they are, and one made on the fly."""

import sys
import tempfile
from pathlib import Path

import numpy as np
from cimarron_sim.frontend import load
from cimarron_sim.graph import Graph

__all__ = ["NETWORKS", "inputs", "is_present", "read"]

_ROOT = Path(__file__).parents[2]
_MODELS = _ROOT.parent / "shared" / "models"

#: File and folder of recorded inputs; none for visual wake words, whose layers get weights of our own.
NETWORKS: dict[str, tuple[str, str]] = {
    "KWS": ("kws_ref_model.tflite", "kws"),
    "IC": ("pretrainedResnet_quant.tflite", "ic"),
    "AD": ("ad01_int8.tflite", "ad"),
    "VWW": ("", ""),
}


def is_present(name: str) -> bool:
    """Whether the network is on this machine."""
    file, _ = NETWORKS[name]
    return not file or (_MODELS / file).is_file()


def read(name: str) -> Graph:
    """The graph of a network."""
    file, _ = NETWORKS[name]
    if file:
        return load(_MODELS / file)
    sys.path.insert(0, str(_ROOT / "tests"))
    from vww_model import tflite_bytes

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "vww.tflite")
        path.write_bytes(tflite_bytes())
        return load(path)


def inputs(name: str) -> list[np.ndarray]:
    """Two inputs of a network."""
    _, folder = NETWORKS[name]
    if folder:
        return [np.load(path)["input"] for path in sorted((_MODELS / "golden" / folder).glob("*.npz"))[:2]]
    sys.path.insert(0, str(_ROOT / "tests"))
    from vww_model import vww_image

    return [vww_image(seed) for seed in (1, 2)]
