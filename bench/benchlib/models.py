"""The networks that benches run: the public ones of MLPerf Tiny, where they are, and one made on the fly."""

import sys
import tempfile
from pathlib import Path

import numpy as np
from cimarron_sim.frontend import load
from cimarron_sim.graph import Graph

__all__ = ["NETWORKS", "forms", "inputs", "is_present", "read"]

_ROOT = Path(__file__).parents[2]
_MODELS = _ROOT.parent / "shared" / "models"

#: File and folder of recorded inputs; none for visual wake words, whose layers get weights of our own.
NETWORKS: dict[str, tuple[str, str]] = {
    "KWS": ("kws_ref_model.tflite", "kws"),
    "IC": ("pretrainedResnet_quant.tflite", "ic"),
    "AD": ("ad01_int8.tflite", "ad"),
    "VWW": ("", ""),
}


#: The same networks in other formats, by what we call these: QDQ and QLinear operators, from ONNX files.
_ONNX = {"KWS": "kws", "IC": "ic", "AD": "ad"}
_FORMS = ("qdq", "qlinear")


def is_present(name: str) -> bool:
    """Whether the network is on this machine."""
    file, _ = NETWORKS[name]
    return not file or (_MODELS / file).is_file()


def _onnx(name: str, form: str) -> Path:
    return _MODELS / "onnx" / f"{_ONNX[name]}_{form}.onnx"


def forms(name: str) -> tuple[str, ...]:
    """Formats in which a network is on this machine: ``tflite``, ``qdq``, ``qlinear``."""
    if not NETWORKS[name][0]:
        return "tflite", "qdq"
    files = tuple(form for form in _FORMS if _onnx(name, form).is_file())
    return (("tflite",) if is_present(name) else ()) + files


def read(name: str, form: str = "tflite") -> Graph:
    """The graph of a network, in one of its `forms`."""
    file, _ = NETWORKS[name]
    if file:
        return load(_MODELS / file if form == "tflite" else _onnx(name, form))
    sys.path.insert(0, str(_ROOT / "tests"))
    from vww_model import onnx_bytes, tflite_bytes

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "vww")
        path.write_bytes(tflite_bytes() if form == "tflite" else onnx_bytes())
        return load(path)


def inputs(name: str) -> list[np.ndarray]:
    """Two inputs of a network."""
    _, folder = NETWORKS[name]
    if folder:
        return [np.load(path)["input"] for path in sorted((_MODELS / "golden" / folder).glob("*.npz"))[:2]]
    sys.path.insert(0, str(_ROOT / "tests"))
    from vww_model import vww_image

    return [vww_image(seed) for seed in (1, 2)]
