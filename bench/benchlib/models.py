"""The networks that benches run: the public ones of MLPerf Tiny, where they are, and one made on the fly."""

import sys
import tempfile
from pathlib import Path

import numpy as np
from cimarron_sim.frontend import load
from cimarron_sim.graph import Graph

__all__ = ["NETWORKS", "inputs", "is_present", "names", "network", "read"]

_ROOT = Path(__file__).parents[2]
_MODELS = _ROOT.parent / "shared" / "models"

#: File and folder of recorded inputs; none for visual wake words, whose layers get weights of our own.
NETWORKS: dict[str, tuple[str, str]] = {
    "KWS": ("kws_ref_model.tflite", "kws"),
    "IC": ("pretrainedResnet_quant.tflite", "ic"),
    "AD": ("ad01_int8.tflite", "ad"),
    "VWW": ("", ""),
}


#: The same networks as ONNX files, of QDQ or QLinear operators.
_ONNX = {"KWS": "kws", "IC": "ic", "AD": "ad"}


def network(name: str) -> str:
    """Key of `NETWORKS` of one of `names`: ``KWS`` of ``KWS-qdq``."""
    return name.partition("-")[0]


def is_present(name: str) -> bool:
    """Whether one of `names` is on this machine."""
    file, _ = NETWORKS[network(name)]
    return not file or _path(name).is_file()


def _path(name: str) -> Path:
    key, _, form = name.partition("-")
    return _MODELS / (f"onnx/{_ONNX[key]}_{form}.onnx" if form else NETWORKS[key][0])


def names(*forms: str) -> list[str]:
    """Networks, as TFLite files and in other formats: ``KWS``, ``KWS-qdq`` and so on.

    Parameters
    ----------
    *forms : str
        Of ``qdq`` and ``qlinear``.
    """
    return [
        name
        for key, (file, _) in NETWORKS.items()
        for name in (key, *(f"{key}-{form}" for form in forms if file or form == "qdq"))
    ]


def read(name: str) -> Graph:
    """The graph of one of `names`."""
    if NETWORKS[network(name)][0]:
        return load(_path(name))
    sys.path.insert(0, str(_ROOT / "tests"))
    from vww_model import onnx_bytes, tflite_bytes

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "vww")
        path.write_bytes(tflite_bytes() if name == network(name) else onnx_bytes())
        return load(path)


def inputs(name: str) -> list[np.ndarray]:
    """Two inputs of one of `names`."""
    key = network(name)
    _, folder = NETWORKS[key]
    if folder:
        arrays = [np.load(path)["input"] for path in sorted((_MODELS / "golden" / folder).glob("*.npz"))[:2]]
    else:
        sys.path.insert(0, str(_ROOT / "tests"))
        from vww_model import vww_image

        arrays = [vww_image(seed) for seed in (1, 2)]
    # ONNX files have the channels in front.
    return [np.moveaxis(array, -1, 1) if name != key and array.ndim == 4 else array for array in arrays]
