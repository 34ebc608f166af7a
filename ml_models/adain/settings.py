"""Settings of a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AdaINSettings:
    """What one run does.

    Attributes:
        largest_style_px: a style is not measured at a longer side than this, whatever the size of the strokes.
        fade: strength below which the photo itself is mixed in, for the decoder does not return it exactly.
    """

    largest_style_px: int = 2048
    fade: float = 0.25


SETTINGS = AdaINSettings()
