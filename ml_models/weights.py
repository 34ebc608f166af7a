"""Weights files: loaded only when they are what they should be, and VGG19's first eleven layers installed."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ml_models.errors import WeightsError
from ml_models.remote_file import open_source
from ml_models.tensor_files import read_tensors, write_tensors

if TYPE_CHECKING:
    import torch
    from torch import Tensor

VGG19_PATH = Path(__file__).parent / "nst_gatys" / "pretrained_models" / "vgg19_first_11_layers.safetensors"
#: Over the little-endian float32 bytes of 0.weight, 0.bias, 2.weight, 2.bias, ... 10.bias, in this order.
VGG19_SHA256 = "0c393469105a46df78d02c545d04afed1b76af12eaafa7f0dd0f0b27a0173a03"
VGG19_SHAPES: dict[str, tuple[int, ...]] = {
    "0.weight": (64, 3, 3, 3),
    "0.bias": (64,),
    "2.weight": (64, 64, 3, 3),
    "2.bias": (64,),
    "5.weight": (128, 64, 3, 3),
    "5.bias": (128,),
    "7.weight": (128, 128, 3, 3),
    "7.bias": (128,),
    "10.weight": (256, 128, 3, 3),
    "10.bias": (256,),
}

OnBytes = Callable[[int, int], None]


def load_verified(
    path: Path, shapes: Mapping[str, tuple[int, ...]], sha256: str | None, stored: torch.dtype | None = None
) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, float32, in the order of shapes.

    Args:
        stored: the type they have in the file, float32 where none is given.
        sha256: over the float32 bytes of the tensors in the order of shapes; None where none is known.

    Raises:
        WeightsError: the file cannot be read, or its names, shapes, type or digest are others.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(path.read_bytes())
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsError(f"{path.name} cannot be read as safetensors ({error}): install it anew") from error
    stored = stored or torch.float32
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items() if tensor.dtype == stored}
    if found != dict(shapes):
        wrong = sorted(name for name in {*found, *shapes, *tensors} if found.get(name) != shapes.get(name))
        raise WeightsError(f"{path.name} has other tensors than expected ({', '.join(wrong[:4])}): install it anew")
    tensors = {name: tensors[name].float().contiguous() for name in shapes}
    if sha256 is not None:
        digest = _digest([tensor.numpy().tobytes() for tensor in tensors.values()])
        if digest != sha256:
            raise WeightsError(f"{path.name} has the SHA-256 {digest[:12]}…, expected {sha256[:12]}…: install it anew")
    return tensors


def install_vgg19(
    source: str | None = None,
    on_progress: OnBytes = lambda done_bytes, total_bytes: None,
    *,
    path: Path = VGG19_PATH,
    sha256: str = VGG19_SHA256,
) -> Path:
    """Obtain the first eleven layers of torchvision's VGG19 and return where they lie.

    Args:
        source: an address or a path of the whole network or of the eleven layers: a .pth in either of torch's formats,
            or safetensors. None: torchvision's own address. Of an address only the bytes of the layers are read
            where its server gives ranges.
        on_progress: (bytes done, bytes in all; 0 where unknown).
        path, sha256: for tests.

    Raises:
        WeightsError: what was met, what is allowed, what to do. Nothing is left behind then, and what was installed
            before stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_source(source or _torchvision_address(), path.parent, on_progress) as file:
        tensors = read_tensors(file, VGG19_SHAPES, on_progress)
    digest = _digest(list(tensors.values()))
    if digest != sha256:
        raise WeightsError(
            f"the VGG19 of {source or 'torchvision'} has the SHA-256 {digest[:12]}…, expected {sha256[:12]}…: "
            "give torchvision's vgg19 IMAGENET1K_V1"
        )
    write_whole(path, write_tensors(tensors, VGG19_SHAPES))
    return path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all; an earlier one stays until then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.stem}-", dir=path.parent)
    try:
        with open(descriptor, "wb") as out:
            out.write(data)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _torchvision_address() -> str:
    from ml_models.torchvision_import import import_torchvision

    return str(import_torchvision().models.VGG19_Weights.IMAGENET1K_V1.url)


def _digest(parts: list[bytes]) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()
