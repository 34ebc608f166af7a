"""What the instant algorithms share, shown with renders of our own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from ml_models.contract import Progress, ShouldStop, Stage, Style, StyleTransferRequest, StyleTransferResult
from ml_models.errors import InvalidRequestError
from ml_models.instant import run_instant
from ml_models.registry import Algorithm, Kind
from tests.ml_models.test_contract import distance, photo, style

ALGORITHM = Algorithm("probe", "Probe", "nowhere:at_all", Kind.INSTANT, 1, 4, 1.0)


class Probe:
    """Paints everything in one colour and remembers what it was given."""

    def __init__(self, colour: tuple[float, float, float] = (1.0, 0.5, 0.0)) -> None:
        self.colour = torch.tensor(colour).view(1, 3, 1, 1)
        self.calls: list[dict[str, Any]] = []

    def __call__(
        self,
        content: Tensor,
        styles: Sequence[Tensor],
        shares: Sequence[float],
        strength: float,
        on_fraction: Callable[[float], None],
        should_stop: ShouldStop,
    ) -> Tensor:
        self.calls.append({"content": content, "styles": styles, "shares": shares, "strength": strength})
        for step in range(1, 5):
            on_fraction(step / 4)
            if should_stop():
                break
        return self.colour.expand_as(content)


def run(probe: Probe, seen: list[Progress] | None = None, *, stop: bool = False, **changes: Any) -> StyleTransferResult:
    fields: dict[str, Any] = {"content": photo(), "styles": (Style(style()),), "size_px": 64} | changes
    return run_instant(
        StyleTransferRequest(**fields),
        (seen if seen is not None else []).append,
        lambda: stop,
        algorithm=ALGORITHM,
        encoder="probe",
        device=torch.device("cpu"),
        render=probe,
        needed_mb=lambda width_px, height_px: width_px * height_px // 1000,
        largest_style_px=100,
    )


def opened(result: StyleTransferResult) -> Image.Image:
    return Image.open(BytesIO(result.image))


def test_a_render_is_given_what_the_request_says() -> None:
    probe = Probe()
    result = run(probe, strength=0.5, stroke_scale=2.0, styles=(Style(style(), 3.0), Style(style("crimson"), 1.0)))
    (call,) = probe.calls
    assert call["content"].shape == (1, 3, 43, 64)
    assert [each.shape for each in call["styles"]] == [(1, 3, 100, 100)] * 2  # at most the largest
    assert (call["shares"], call["strength"]) == ([0.75, 0.25], 0.5)
    assert (result.width_px, result.height_px, result.encoder, result.stopped) == (64, 43, "probe", False)
    assert opened(result).getpixel((5, 5)) == (255, 128, 0)


def test_below_the_fade_the_photo_comes_through_and_without_strength_it_is_the_photo() -> None:
    original = Image.open(BytesIO(photo())).resize((64, 43), Image.Resampling.LANCZOS)
    painted = opened(run(Probe()))
    distances = [distance(opened(run(Probe(), strength=strength)), original) for strength in (0.0, 0.0625, 0.125, 0.25)]
    whole = distance(painted, original)
    assert distances == pytest.approx([0.0, whole / 4, whole / 2, whole], abs=0.5)
    unused = Probe()
    run(unused, strength=0.0)
    assert unused.calls == []


def test_kept_colours_are_the_photos_and_only_lightness_is_rendered() -> None:
    probe = Probe((0.5, 0.5, 0.5))
    kept = opened(run(probe, keep_colours=True))
    original = Image.open(BytesIO(photo())).resize((64, 43), Image.Resampling.LANCZOS)
    content, (one,) = probe.calls[0]["content"], probe.calls[0]["styles"]
    for given in (content, one):
        assert torch.equal(given[:, 0], given[:, 2])
    assert distance(kept.convert("YCbCr"), original.convert("YCbCr"), bands=(1, 2)) < 3.0
    # Where colours are in range, the lightness is the grey that was painted.
    lightness = kept.convert("L").getpixel((60, 21))
    assert lightness == pytest.approx(128, abs=4)


def test_progress_rises_from_preparing_to_one() -> None:
    seen: list[Progress] = []
    run(Probe(), seen)
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert list(dict.fromkeys(each.stage for each in seen)) == [Stage.PREPARING, Stage.PAINTING, Stage.FINISHING]


def test_a_wish_to_stop_is_told_and_noted() -> None:
    seen: list[Progress] = []
    assert run(Probe(), seen, stop=True).stopped
    assert sum(progress.stage is Stage.PAINTING for progress in seen) == 2  # the beginning, and one step


def test_a_picture_to_start_from_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="starts from the photo"):
        run(Probe(), initial=photo())
