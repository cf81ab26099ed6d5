"""Reads what a runtime does not say about a model's file: metadata, and the files it needs.

Only the outline of the file is read, however large it is, so this also finds broken and cut-off
files early, and names the file that is missing. The field numbers are those of `onnx.proto`
(github.com/onnx/onnx), the encoding is that of Protocol Buffers.
"""

import hashlib
import mmap
import pickle
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filmcolor.errors import WeightsError

_CHUNK = 1 << 20  # bytes
_IR_SUFFIX = ".xml"  # OpenVINO's own format, whose weights are beside it in a .bin
# ModelProto
_IR_VERSION, _GRAPH, _METADATA = 1, 7, 14
# GraphProto, NodeProto, AttributeProto, TensorProto
_NODES, _TENSORS = 1, 5
_ATTRIBUTES = 5
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = (5, 10), (6, 11)
_EXTERNAL_DATA = 13
# wire types
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_EXPORTERS = (
    "export it with the script of its project: scripts/export_onnx.py of piddnad/DDColor, "
    "convert_to_onnx.py of instant-high/deoldify-onnx"
)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model's file, checked as far as its outline goes."""

    path: Path
    parts: tuple[Path, ...]  # the file itself, then the files with its weights, if any
    metadata: dict[str, str]  # the ONNX file's `metadata_props`

    def sha256(self) -> str:
        """Return the SHA-256 in hexadecimal of all files, in the order of `parts`."""
        digest = hashlib.sha256()
        for path in self.parts:
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
        return digest.hexdigest()


def is_model(name: str) -> bool:
    """Return whether a name has the suffix of an ONNX file, or of an OpenVINO IR."""
    return Path(name).suffix.lower() in (".onnx", _IR_SUFFIX)


def read_outline(path: Path) -> ModelFile:
    """Return the outline of an ONNX file, or of an OpenVINO IR (.xml with its .bin).

    Raises WeightsError when the file or a file that it needs is missing, when it is broken or cut
    off, and when it is something else: a pickle, which runs code when it is loaded, is refused
    unread.
    """
    if path.is_dir():
        raise WeightsError(f"{path} is a folder; name the .onnx file in it")
    if not path.is_file():
        raise WeightsError(f"no model {path}; name an .onnx file")
    try:
        if path.suffix.lower() == _IR_SUFFIX:
            weights = path.with_suffix(".bin")
            if not weights.is_file():
                raise WeightsError(f"{path} needs {weights.name} beside it; copy both files")
            return ModelFile(path, (path, weights), {})
        _refuse_other_formats(path)
        return _read_onnx(path)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror or error})") from error


def _refuse_other_formats(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(512)
    suffix = path.suffix.lower()
    if suffix in (".caffemodel", ".prototxt"):
        raise WeightsError(
            f"{path} is a Caffe model; use an ONNX export of the same network, "
            "as those of instant-high/Image-and-video-colorization-ONNX"
        )
    if suffix == ".safetensors":
        raise WeightsError(f"{path} holds weights only, no ONNX model; {_EXPORTERS}")
    is_pickle = start[:1] == pickle.PROTO or zipfile.is_zipfile(path)
    if is_pickle or suffix in (".pth", ".pt", ".ckpt", ".pkl"):
        raise WeightsError(f"{path} is a PyTorch checkpoint, no ONNX model; {_EXPORTERS}")
    if not start:
        raise WeightsError(f"{path} is empty; get it again")
    if start.lstrip()[:1] == b"<":
        raise WeightsError(f"{path} is a web page, no ONNX model; download the file itself")
    if start.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path} is a Git LFS pointer; fetch the file itself with git lfs pull")


def _read_onnx(path: Path) -> ModelFile:
    try:
        metadata, locations = _read_model(path)
    except (ValueError, IndexError) as error:  # IndexError: it ends within an integer
        raise WeightsError(
            f"{path} is no ONNX model, or is broken or cut off; get it again"
        ) from error
    parts = [path]
    for location in locations:
        part = path.parent / location
        if not part.is_file():
            raise WeightsError(
                f"{path} needs {location} beside it, where its weights are; copy both files"
            )
        parts.append(part)
    return ModelFile(path, tuple(parts), metadata)


def _read_model(path: Path) -> tuple[dict[str, str], Sequence[str]]:
    """Return metadata and files of external data; raises ValueError or IndexError."""
    with path.open("rb") as file:
        message = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    metadata: dict[str, str] = {}
    has_version = False
    locations: Sequence[str] | None = None
    for number, value in _fields(message):
        if isinstance(value, int):
            has_version |= number == _IR_VERSION
        elif number == _GRAPH:
            locations = list(dict.fromkeys(_external_files(value)))
        elif number == _METADATA:
            metadata.update([_entry(value)])
    if not has_version or locations is None:
        raise ValueError("no version, or no graph")
    return metadata, locations


def _external_files(graph: memoryview) -> Iterator[str]:
    """Yield the file names in which tensors of a graph, and of graphs inside it, are stored."""
    for number, value in _fields(graph):
        if isinstance(value, int):
            continue
        if number == _TENSORS:
            yield from _location(value)
        elif number == _NODES:
            for key, attribute in _fields(value):
                if key != _ATTRIBUTES or isinstance(attribute, int):
                    continue
                for kind, part in _fields(attribute):
                    if kind in _ATTRIBUTE_TENSORS and not isinstance(part, int):
                        yield from _location(part)
                    elif kind in _ATTRIBUTE_GRAPHS and not isinstance(part, int):
                        yield from _external_files(part)


def _location(tensor: memoryview) -> Iterator[str]:
    for number, value in _fields(tensor):
        if number == _EXTERNAL_DATA and not isinstance(value, int):
            key, text = _entry(value)
            if key == "location":
                yield text


def _entry(message: memoryview) -> tuple[str, str]:
    """Return key and value of a StringStringEntryProto."""
    texts = {
        n: bytes(value).decode() for n, value in _fields(message) if not isinstance(value, int)
    }
    return texts.get(1, ""), texts.get(2, "")


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of a message's fields; raises ValueError where it is malformed."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire_type == _BYTES:
            length, position = _varint(message, position)
        elif wire_type in (_FIXED64, _FIXED32):
            length = 8 if wire_type == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire_type}")
        if not number or position + length > len(message):
            raise ValueError("a field is longer than its message")
        yield number, message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return an integer of variable length, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("an integer is too long")
