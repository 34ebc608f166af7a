"""The algorithms of the bot: one line each. Free of torch; keyboards, help, command line and tests read it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import cast

from ml_models.contract import MAX_SIZE_PX, RunStyleTransfer
from ml_models.errors import InvalidRequestError


class Kind(StrEnum):
    """instant: a second or two; painted: the picture grows while the user watches."""

    INSTANT = "instant"
    PAINTED = "painted"


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One algorithm.

    Attributes:
        key: its name in settings, buttons, the database and the command line; at most 16 ASCII characters.
        title: its name for people, the same in every language.
        path: "package.module:function" of its run_style_transfer, imported only in a worker.
        kind: instant or painted.
        min_styles, max_styles: how many style pictures it takes; 0 and 0 where the style is built in.
        seconds_at_512: a first estimate of its time at 512 px on two cores, used until runs were measured here.
        max_size_px: the longest longer side that it paints.
        draft: key of the instant algorithm whose result it is shown as first and starts from, or None.
    """

    key: str
    title: str
    path: str
    kind: Kind
    min_styles: int
    max_styles: int
    seconds_at_512: float
    max_size_px: int = MAX_SIZE_PX
    draft: str | None = None

    def load(self) -> RunStyleTransfer:
        """Import and return the algorithm's run_style_transfer; this imports torch."""
        module, _, name = self.path.partition(":")
        return cast(RunStyleTransfer, getattr(import_module(module), name))


ALGORITHMS: dict[str, Algorithm] = {
    algorithm.key: algorithm
    for algorithm in (
        Algorithm(
            "nst_gatys",
            "Gatys",
            "ml_models.nst_gatys.run_style_transfer:run_style_transfer",
            Kind.PAINTED,
            1,
            4,
            20.0,
            draft="adain",
        ),
        Algorithm("adain", "AdaIN", "ml_models.adain.run_style_transfer:run_style_transfer", Kind.INSTANT, 1, 4, 0.5),
        Algorithm(
            "ultrast",
            "UltraST",
            "ml_models.ultrast.run_style_transfer:run_style_transfer",
            Kind.INSTANT,
            1,
            4,
            0.5,
            max_size_px=10240,
        ),
        Algorithm(
            "cyclegan", "CycleGAN", "ml_models.cyclegan.run_style_transfer:run_style_transfer", Kind.INSTANT, 0, 0, 0.5
        ),
    )
}
DEFAULT_ALGORITHM = "nst_gatys"


def get_algorithm(key: str) -> Algorithm:
    """Return the algorithm; raise InvalidRequestError naming the known keys."""
    try:
        return ALGORITHMS[key]
    except KeyError as error:
        known = ", ".join(ALGORITHMS)
        raise InvalidRequestError(f"unknown algorithm {key!r}; known: {known}", field="algorithm") from error
