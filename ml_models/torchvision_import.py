"""torchvision, importable beside a build of torch that lacks its compiled operators."""

from __future__ import annotations

from types import ModuleType

import torch

_libraries: list[torch.library.Library] = []


def import_torchvision() -> ModuleType:
    """Return torchvision.

    torch's CPU build with the registry's torchvision fails at import with "operator torchvision::nms does not exist".
    Models and transforms need neither of the two operators: naming them is enough.
    """
    if not _libraries and not hasattr(torch.ops.torchvision, "nms"):
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
        _libraries.append(library)  # the operators live as long as the library object
    import torchvision  # type: ignore[import-untyped]

    return torchvision  # type: ignore[no-any-return]
