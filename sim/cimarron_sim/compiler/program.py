"""A compiled network: the image the hardware runs, and what is known about it."""

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cimarron.config import SocConfig
from cimarron.isa import RunStatus, Step

from .bound import Bound
from .image import ProgramError, steps_of, verify

__all__ = ["Activation", "Layer", "Placement", "Program"]

_IMAGE, _MANIFEST = "program.bin", "program.json"


@dataclass(frozen=True, kw_only=True)
class Activation:
    """A tensor in the activation buffer, or in main memory.

    Parameters
    ----------
    tensor : str
        Name in the graph.
    address : int
        Byte address in the activation buffer, or offset from the start of the image.
    shape : tuple of int
        Of what is stored.
    dtype : str
        numpy's name: int8, uint8 or int32.
    planes : int
        0 if it lies there in the order of its shape. Otherwise the last axis, the channels, is cut into planes of so
        many: the order is (images, planes, height, width, channels of a plane).
    absent : tuple of (int, int)
        Channels of the graph's tensor that are not stored, and the value they always have.
    is_spilled : bool
        Whether it lies in main memory.
    """

    tensor: str
    address: int
    shape: tuple[int, ...]
    dtype: str
    planes: int = 0
    absent: tuple[tuple[int, int], ...] = ()
    is_spilled: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes it takes."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize

    def array(self, content: bytes) -> np.ndarray:
        """The graph's tensor, from its bytes in memory."""
        values = np.frombuffer(content, np.dtype(self.dtype).newbyteorder("<"))
        if self.planes:
            images, height, width, channels = self.shape
            stored = values.reshape(images, channels // self.planes, height, width, self.planes)
            values = np.moveaxis(stored, 1, 3)
        values = values.reshape(self.shape)
        for channel, value in sorted(self.absent):
            values = np.insert(values, channel, value, axis=-1)
        return values


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a tensor, or what a layer needs of a spilled one at a time, lies in the activation buffer, and how long.

    Parameters
    ----------
    tensor : str
        Name in the graph.
    address, nbytes : int
        Bytes it takes, from this one on.
    first, last : int
        Indices of the layers that write it first and read it last. What a layer of several parts, a pool that pads for
        one, needs only in some of them may share its bytes with what the others need.
    stripes : int
        0, or for a part of a spilled tensor how many of them take turns there.
    """

    tensor: str
    address: int
    nbytes: int
    first: int
    last: int
    stripes: int = 0


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What one layer of the network costs and leaves behind.

    Parameters
    ----------
    name : str
    op : str
        Operator of the graph, or ``load`` or ``store`` for the transfer of the input or output.
    last_job : int
        Index of its last job among the program's; the output is complete when that one retires.
    output : Activation
    macs : int
        Multiply-accumulates the network asks for.
    peak_macs : float
        Multiply-accumulates per cycle the macro could do at the layer's widths; 0 for a transfer.
    bound : Bound
        Cycles the layer takes at least.
    """

    name: str
    op: str
    last_job: int
    output: Activation
    macs: int
    peak_macs: float
    bound: Bound

    def utilisation(self, cycles: int) -> float:
        """Share of the macro's multiply-accumulates that the layer made use of, in the cycles it took."""
        return self.macs / (cycles * self.peak_macs) if self.macs else 0.0


@dataclass(frozen=True, kw_only=True)
class Program:
    """A compiled network.

    Parameters
    ----------
    name : str
        Of the graph.
    image : bytes
        What is placed in main memory at PROGRAM_OFFSET.
    layers : tuple of Layer
        In the order of their jobs.
    placements : tuple of Placement
        The plan of the activation buffer, in the order in which the tensors are written.
    input, output : Activation
        The network's input and output.
    model_hash : str
        SHA-256 of the model file, in hexadecimal.
    profile : str
        Rounding profile: ``tflm`` or ``onnx``.
    """

    name: str
    image: bytes
    layers: tuple[Layer, ...]
    placements: tuple[Placement, ...]
    input: Activation
    output: Activation
    model_hash: str
    profile: str

    @property
    def header(self) -> dict[str, int]:
        """The image's header, by the names in `cimarron.isa.PROGRAM_HEADER`."""
        return verify(self.image)

    @property
    def input_offset(self) -> int:
        """Where the host writes the input: bytes from the start of the image."""
        return self.header["input_offset"]

    @property
    def output_offset(self) -> int:
        """Where the host finds the output: bytes from the start of the image."""
        return self.header["output_offset"]

    @property
    def steps(self) -> tuple[tuple[Step, int], ...]:
        """What the firmware does, in order: kind of each step, and how many of the program's jobs are its own."""
        return tuple(steps_of(self.image))

    def verify(self, config: SocConfig) -> None:
        """Check that the given hardware can run it.

        Raises
        ------
        ProgramError
            If it was compiled for another one, or the memory is too small.
        """
        verify(self.image, config)

    def manifest(self) -> dict[str, Any]:
        """What is known about the image, for JSON."""
        fields = dataclasses.asdict(self)
        del fields["image"]
        return {**fields, "image_sha256": hashlib.sha256(self.image).hexdigest()}

    def save(self, directory: Path | str) -> Path:
        """Write ``program.bin`` and ``program.json``; the same program gives the same bytes.

        Each file appears complete or not at all, and a new directory only with both of them.

        Returns
        -------
        Path
            The directory.
        """
        directory = Path(directory)
        is_new = not directory.exists()
        directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.manifest(), indent=2, sort_keys=True) + "\n"
        contents = {_IMAGE: self.image, _MANIFEST: text.encode()}
        try:
            with tempfile.TemporaryDirectory(dir=directory, prefix=".part-") as scratch:
                for name, content in contents.items():
                    Path(scratch, name).write_bytes(content)
                for name in contents:
                    os.replace(Path(scratch, name), directory / name)
        except BaseException:
            if is_new:
                shutil.rmtree(directory, ignore_errors=True)
            raise
        return directory

    @classmethod
    def load(cls, directory: Path | str, config: SocConfig | None = None) -> "Program":
        """Read what `save` wrote.

        Parameters
        ----------
        directory : Path or str
        config : SocConfig or None
            Hardware the program has to fit.

        Raises
        ------
        ProgramError
            If a file is missing or damaged, the two do not belong together, or the hardware is another one.
        """
        directory = Path(directory)
        try:
            image = (directory / _IMAGE).read_bytes()
            manifest = json.loads((directory / _MANIFEST).read_text(encoding="utf-8"))
        except OSError as error:
            raise ProgramError(
                RunStatus.NOT_LOADED, f"{error.filename} cannot be read ({error.strerror}): compile the model again"
            ) from None
        except ValueError:
            raise ProgramError(
                RunStatus.NOT_LOADED, f"{directory / _MANIFEST} is damaged: compile the model again"
            ) from None
        verify(image, config)
        try:
            if manifest.pop("image_sha256") != hashlib.sha256(image).hexdigest():
                raise ProgramError(
                    RunStatus.BAD_CRC,
                    f"{_IMAGE} and {_MANIFEST} in {directory} do not belong together: compile the model again",
                )
            layers = tuple(_layer(layer) for layer in manifest.pop("layers"))
            placements = tuple(Placement(**placement) for placement in manifest.pop("placements"))
            ends = {name: _activation(manifest.pop(name)) for name in ("input", "output")}
            return cls(image=image, layers=layers, placements=placements, **ends, **manifest)
        except (AttributeError, KeyError, TypeError):
            raise ProgramError(
                RunStatus.BAD_VERSION, f"{directory / _MANIFEST} has another format: compile the model again"
            ) from None


def _activation(fields: dict[str, Any]) -> Activation:
    absent = tuple((channel, value) for channel, value in fields["absent"])
    return Activation(**{**fields, "shape": tuple(fields["shape"]), "absent": absent})


def _layer(fields: dict[str, Any]) -> Layer:
    return Layer(**{**fields, "output": _activation(fields["output"]), "bound": Bound(**fields["bound"])})
