"""Input files of a model, as a user has them."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .graph import Graph, Port

__all__ = ["InputError", "read_arrays", "read_inputs"]


#: What numpy and zipfile raise, depending on the byte that is wrong.
_DAMAGE = (ValueError, EOFError, KeyError, OSError, RuntimeError, SyntaxError, zipfile.BadZipFile, zlib.error)


class InputError(ValueError):
    """A file that does not hold inputs of the model; the sentence says what is expected."""


def _numpy(path: Path, port: Port) -> np.ndarray:
    # Opened here, because numpy leaves a damaged archive open.
    with path.open("rb") as file:
        try:
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return content
            names = [port.name] if port.name in content.files else content.files
            if len(names) == 1:
                return content[names[0]]
        except MemoryError:
            raise InputError(f"{path} holds more than fits the memory of this machine: split the array") from None
        except _DAMAGE as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path} is not a file that numpy can read: {reason}") from None
    raise InputError(f"{path} holds the arrays {', '.join(names) or '(none)'}: name the input's {port.name!r}")


def _raw(path: Path, port: Port, dtypes: Sequence[np.dtype]) -> np.ndarray:
    content = path.read_bytes()
    sizes = {}
    for dtype in dtypes:
        sizes.setdefault(int(np.prod(port.shape)) * dtype.itemsize, dtype)
    if len(content) not in sizes:
        expected = " or ".join(f"{size} (as {dtype})" for size, dtype in sizes.items())
        raise InputError(f"{path} has {len(content)} bytes; input {port.name!r} of shape {port.shape} takes {expected}")
    dtype = sizes[len(content)]
    return np.frombuffer(content, dtype.newbyteorder("<")).astype(dtype).reshape(port.shape)


def read_inputs(path: Path, graph: Graph) -> list[np.ndarray]:
    """Inputs of a graph that has one input, in its own type or as integers: see `read_arrays`."""
    port, tensor = graph.port(graph.inputs[0]), graph.tensors[graph.inputs[0]]
    return read_arrays(path, port, (port.dtype, tensor.dtype))


def read_arrays(path: Path, port: Port, dtypes: Sequence[np.dtype]) -> list[np.ndarray]:
    """The inputs in a file.

    Parameters
    ----------
    path : Path
        ``.npy``; ``.npz`` with one array or one named like the input; or, with any other suffix, raw little-endian
        values in the layout of the model's input.
    port : Port
        The input. The file's first axis may count several if the model takes one at a time.
    dtypes : sequence of numpy dtype
        Types the values may have.

    Returns
    -------
    list of array
        Each of the shape of the model's input.

    Raises
    ------
    InputError
        If the file cannot be read, or holds another shape or type.
    """
    if not path.is_file():
        raise InputError(f"input {path} {'is not a file' if path.exists() else 'does not exist'}: check the path")
    array = _numpy(path, port) if path.suffix in (".npy", ".npz") else _raw(path, port, dtypes)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype not in dtypes:
        allowed = " or ".join(dict.fromkeys(str(dtype) for dtype in dtypes))
        raise InputError(f"{path} holds {array.dtype}; input {port.name!r} takes {allowed}: convert the array")
    if array.shape == port.shape:
        return [array]
    if port.shape[:1] == (1,):
        if array.shape == port.shape[1:]:
            return [array[np.newaxis]]
        if array.shape[1:] == port.shape[1:] and len(array):
            return [array[index : index + 1] for index in range(len(array))]
    raise InputError(
        f"{path} holds an array of shape {array.shape}; input {port.name!r} takes {port.shape}: reshape the array"
    )
