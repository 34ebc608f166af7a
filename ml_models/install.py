"""Weights that others published, by the name of what uses them: `python main.py weights NAME`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ml_models.errors import WeightsError
from ml_models.weights import OnBytes, install_vgg19

#: Name -> what is to be given for it.
GIVEN = {
    "vgg19": "nothing, or --from an address or a file of torchvision's VGG19",
    "adain": "--from the encoder's file --from the decoder's",
    "ultrast": "--from the folder of 1SE to 5SE and 1SD to 5SD",
    "cyclegan": "--from latest_net_G.pth",
}
COUNTS = {"vgg19": (0, 1), "adain": (2, 2), "ultrast": (1, 1), "cyclegan": (1, 1)}


def install(name: str, sources: Sequence[str], on_progress: OnBytes) -> Path:
    """Install the weights of the name and return where they lie.

    Args:
        sources: files, folders or an address, as GIVEN says.
        on_progress: (bytes done, bytes in all; 0 where unknown), for what is fetched.

    Raises:
        WeightsError: what was met, what is allowed, what to do; what was installed before stays then.
    """
    if name not in GIVEN:
        raise WeightsError(f"weights {name!r} are not known: give {', '.join(GIVEN)}")
    fewest, most = COUNTS[name]
    if not fewest <= len(sources) <= most:
        raise WeightsError(f"sources={len(sources)} is not allowed for {name}: give {GIVEN[name]}")
    if name == "vgg19":
        return install_vgg19(sources[0] if sources else None, on_progress)
    paths = [Path(source) for source in sources]
    for path in paths:
        if not path.exists():
            raise WeightsError(f"{path} is not there: give {GIVEN[name]}")
    if name == "adain":
        from ml_models.adain.weights import install_published

        return install_published(*paths)[1]
    if name == "ultrast":
        from ml_models.ultrast.weights import install_published as install_folder

        return install_folder(*paths)
    from ml_models.cyclegan.weights import install_official

    return install_official(*paths)
