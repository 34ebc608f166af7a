"""Where a run takes place, and in what precision."""

from __future__ import annotations

import torch

from ml_models.contract import DEVICES
from ml_models.errors import InvalidRequestError


def choose_device(name: str) -> torch.device:
    """Return the device: of the name, or the fastest that is there for "auto".

    Raises InvalidRequestError for an unknown name and for a device that this machine does not have.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if there[kind]))
    if name not in DEVICES:
        raise InvalidRequestError(f"device={name!r} is not known: give one of {', '.join(DEVICES)}", field="device")
    if not there[name]:
        have = ", ".join(kind for kind, is_there in there.items() if is_there)
        raise InvalidRequestError(f"device={name!r} is not on this machine: it has {have}", field="device")
    return torch.device(name)


def half_precision(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the device computes in it at least twice as fast as in float32, else float32.

    Processors without its instructions emulate it and are slower for it.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return torch.bfloat16
    return torch.float32
