"""Files of weights that others published, as they are downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ml_models.errors import WeightsError


def read_file(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return the tensors named in shapes, float32, of a safetensors file or of one of torch.save's without code.

    What else is in the file is left out. Raises WeightsError where the file is not what it should be.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            found = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
            found = found.get("model", found)
        tensors = {name: found[name].float().contiguous() for name in shapes}
    except KeyError as error:
        raise WeightsError(f"{path.name} has no {error.args[0]}: give the published file") from error
    except (OSError, SafetensorError, RuntimeError, ValueError, AttributeError, EOFError) as error:
        raise WeightsError(f"{path.name} cannot be read ({error}): give the published file") from error
    except Exception as error:  # a pickle that asks for more than tensors raises errors of its own
        raise WeightsError(f"{path.name} is no file of weights alone: give the published file") from error
    for name, shape in shapes.items():
        if tuple(tensors[name].shape) != shape:
            given = tuple(tensors[name].shape)
            raise WeightsError(f"{path.name}: {name} has the shape {given}, expected {shape}: give the published file")
        if not bool(tensors[name].isfinite().all()):
            raise WeightsError(f"{path.name}: {name} has values that are no numbers: give the published file")
    return tensors
