"""A few float32 tensors out of a large file, without torch and without running what a pickle asks for.

Three layouts are known: torch's legacy stream (torch.save before 1.6, which torchvision's VGG19 is), torch's zip, and
safetensors. Only the headers and the tensors asked for are read, so the file may lie behind a slow network.
"""

from __future__ import annotations

import json
import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from ml_models.errors import WeightsError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
HEADER_LIMIT_BYTES = 10_000_000
CHUNK_BYTES = 262_144
#: torch's names of storages -> bytes of one value; only the first is taken, the others are needed for their places.
VALUE_BYTES = {
    "FloatStorage": 4,
    "DoubleStorage": 8,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "LongStorage": 8,
    "IntStorage": 4,
    "ShortStorage": 2,
    "CharStorage": 1,
    "ByteStorage": 1,
    "BoolStorage": 1,
}
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Storage:
    kind: str
    key: str
    values: int


@dataclass(frozen=True, slots=True)
class _StoredTensor:
    storage: _Storage
    offset: int
    shape: Shape
    stride: Shape


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tensor's bytes lie in the file."""

    start: int
    shape: Shape


def read_tensors(
    file: BinaryIO, shapes: Mapping[str, Shape], on_progress: Callable[[int, int], None]
) -> dict[str, bytes]:
    """Return the little-endian float32 bytes of each tensor, named as in shapes or with "features." before.

    Raises WeightsError where the file is of no known layout, is damaged, or lacks a tensor of that shape.
    """
    try:
        names = {name: (f"features.{name}", name) for name in shapes}
        places = _places(file, {either for pair in names.values() for either in pair})
        found = {name: places.get(full) or places.get(short) for name, (full, short) in names.items()}
        total_bytes = sum(4 * math.prod(shape) for shape in shapes.values())
        tensors: dict[str, bytes] = {}
        done_bytes = 0
        for name, place in found.items():
            if place is None or place.shape != tuple(shapes[name]):
                met = "is missing" if place is None else f"has the shape {place.shape}"
                raise WeightsError(f"{name} {met}, expected float32 of shape {shapes[name]}: give torchvision's vgg19")
            file.seek(place.start)
            parts: list[bytes] = []
            left = 4 * math.prod(place.shape)
            while left:
                part = file.read(min(left, CHUNK_BYTES))
                if not part:
                    raise WeightsError(f"the file ends within {name}: obtain it again")
                parts.append(part)
                left -= len(part)
                done_bytes += len(part)
                on_progress(done_bytes, total_bytes)
            tensors[name] = b"".join(parts)
        return tensors
    except WeightsError:
        raise
    except Exception as error:
        # A damaged pickle or zip raises nearly anything.
        raise WeightsError(
            f"the file is no weights file that can be read ({type(error).__name__}: {error}): "
            "give a .pth or .safetensors of torchvision's vgg19"
        ) from error


def _places(file: BinaryIO, wanted: Collection[str]) -> dict[str, _Place]:
    start = file.read(8)
    file.seek(0)
    if start[:4] == b"PK\x03\x04":
        return _places_in_zip(file, wanted)
    if start[:1] == b"\x80":
        return _places_in_legacy_stream(file, wanted)
    return _places_in_safetensors(file)


class _Unpickler(pickle.Unpickler):
    """Builds descriptions of tensors; every other name that the pickle asks for is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return _describe_tensor  # torchvision's file is of 2017 and has the first
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _describe_parameter
        if (module, name) == ("torch.nn.parameter", "Parameter"):
            return _OldParameter
        if module in ("torch", "torch.cuda") and name in VALUE_BYTES:
            return name
        raise WeightsError(f"the file asks for {module}.{name}, which no weights need: give a file you trust")

    def persistent_load(self, pid: Any) -> _Storage:
        tag, kind, key, _, values, *view = pid
        if tag != "storage" or kind not in VALUE_BYTES or any(part is not None for part in view):
            raise WeightsError("the file holds storages of an unknown kind: give torchvision's vgg19")
        return _Storage(kind, str(key), int(values))


class _OldParameter:
    """A parameter as torch pickled it before 0.4: made of a tensor, or told it with its state."""

    data: _StoredTensor | None

    def __new__(cls, data: _StoredTensor | None = None, *_: object) -> _OldParameter:
        parameter = super().__new__(cls)
        parameter.data = data
        return parameter

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if len(state) == 5:
            self.data = state[0]


def _describe_tensor(storage: _Storage, offset: int, shape: Shape, stride: Shape, *_: object) -> _StoredTensor:
    return _StoredTensor(storage, int(offset), tuple(shape), tuple(stride))


def _describe_parameter(tensor: _StoredTensor, *_: object) -> _StoredTensor:
    return tensor


def _placed(state: Any, wanted: Collection[str], start_of: Callable[[_Storage], int]) -> dict[str, _Place]:
    """Return the places of the wanted tensors of a state dict that are contiguous and float32."""
    places: dict[str, _Place] = {}
    for name, value in dict(state).items():
        tensor = value.data if isinstance(value, _OldParameter) else value
        if name not in wanted or not isinstance(tensor, _StoredTensor) or tensor.storage.kind != "FloatStorage":
            continue
        dense = tuple(math.prod(tensor.shape[axis + 1 :]) for axis in range(len(tensor.shape)))
        inside = 0 <= tensor.offset <= tensor.storage.values - math.prod(tensor.shape)
        if tensor.stride == dense and inside:
            places[name] = _Place(start_of(tensor.storage) + 4 * tensor.offset, tensor.shape)
    return places


def _places_in_legacy_stream(file: BinaryIO, wanted: Collection[str]) -> dict[str, _Place]:
    """Magic number, protocol, system, the object and the keys of its storages, all pickled; then each storage."""
    storages: dict[str, _Storage] = {}

    class Unpickler(_Unpickler):
        def persistent_load(self, pid: Any) -> _Storage:
            storage = super().persistent_load(pid)
            return storages.setdefault(storage.key, storage)

    magic, protocol, system = (Unpickler(file).load() for _ in range(3))
    if magic != LEGACY_MAGIC or protocol != LEGACY_PROTOCOL or not system["little_endian"]:
        raise WeightsError("the file is a pickle, but none of torch's: give torchvision's vgg19")
    state = Unpickler(file).load()
    keys = Unpickler(file).load()
    starts: dict[str, int] = {}
    position = file.tell()
    for key in keys:
        starts[str(key)] = position + 8  # the number of values comes first
        storage = storages[str(key)]
        position += 8 + VALUE_BYTES[storage.kind] * storage.values
    return _placed(state, wanted, lambda storage: starts[storage.key])


def _places_in_zip(file: BinaryIO, wanted: Collection[str]) -> dict[str, _Place]:
    """One folder with data.pkl and, uncompressed, data/KEY for each storage."""
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()}
        if entries["data.pkl"].file_size > HEADER_LIMIT_BYTES:
            raise WeightsError("the file's index is too large for a VGG19: give torchvision's vgg19")
        if "byteorder" in entries and archive.read(entries["byteorder"]) != b"little":
            raise WeightsError("the file is big-endian: give torchvision's vgg19")
        with archive.open(entries["data.pkl"]) as index:
            state = _Unpickler(index).load()

    def start_of(storage: _Storage) -> int:
        entry = entries[f"data/{storage.key}"]
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != 4 * storage.values:
            raise WeightsError("the file is a zip, but not as torch writes it: give torchvision's vgg19")
        file.seek(entry.header_offset)
        # The local header has an extra field of its own length, with which torch aligns the data.
        name_bytes, extra_bytes = struct.unpack("<26xHH", file.read(30))
        return entry.header_offset + 30 + int(name_bytes) + int(extra_bytes)

    return _placed(state, wanted, start_of)


def _places_in_safetensors(file: BinaryIO) -> dict[str, _Place]:
    head = file.read(8)
    length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
    if not 2 <= length <= HEADER_LIMIT_BYTES:
        raise WeightsError("the file is no .pth and no .safetensors: give torchvision's vgg19")
    header = json.loads(file.read(length))
    return {
        name: _Place(8 + length + int(tensor["data_offsets"][0]), tuple(tensor["shape"]))
        for name, tensor in header.items()
        if name != "__metadata__" and tensor["dtype"] == "F32"
    }


def write_tensors(tensors: Mapping[str, bytes], shapes: Mapping[str, Shape]) -> bytes:
    """Return a safetensors file of float32 tensors."""
    header: dict[str, object] = {}
    end = 0
    for name, shape in shapes.items():
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [end, end + len(tensors[name])]}
        end += len(tensors[name])
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + b"".join(tensors[name] for name in shapes)
