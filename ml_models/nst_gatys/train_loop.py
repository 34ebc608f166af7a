"""Coarse to fine: the large strokes are laid at a quarter of the size, where an evaluation costs a sixteenth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from ml_models.nst_gatys.build_style_transfer_model import Encoder, build_style_transfer_model
from ml_models.nst_gatys.image_preparation import at_size
from ml_models.nst_gatys.optimizer import minimise
from ml_models.nst_gatys.settings import GatysSettings

OnImage = Callable[[float, Tensor], None]


@dataclass(frozen=True, slots=True)
class Painting:
    """What the loop ends with: the image (1, 3, H, W), the losses of its last stage, evaluations of all stages."""

    image: Tensor
    losses: dict[str, float]
    evaluations: int


def stage_sizes(size_px: int, settings: GatysSettings) -> list[tuple[int, int]]:
    """Return (longer side in pixels, evaluations) of each stage; stages below smallest_stage_px are left out."""
    stages = [
        (round(size_px * scale), evaluations)
        for scale, evaluations in zip(settings.scales, settings.evaluations, strict=True)
    ]
    return [stage for stage in stages[:-1] if stage[0] >= settings.smallest_stage_px] + stages[-1:]


def paint(
    encoder: Encoder,
    content: Image.Image,
    styles: Sequence[Image.Image],
    weights: Sequence[float],
    settings: GatysSettings,
    *,
    size_px: int,
    strength: float,
    stroke_scale: float,
    seed: int,
    on_image: OnImage,
) -> Painting:
    """Paint content in the styles; on_image gets the fraction done, by cost, and the best image so far."""
    stages = stage_sizes(size_px, settings)
    costs = [longer_px**2 * evaluations for longer_px, evaluations in stages]
    total_cost, spent, evaluations_used = sum(costs), 0, 0
    generator = torch.Generator().manual_seed(seed)
    image: Tensor | None = None
    losses: dict[str, float] = {}
    for (longer_px, evaluations), cost in zip(stages, costs, strict=True):
        target = at_size(content, longer_px)
        style_px = max(settings.smallest_stage_px // 2, round(longer_px * stroke_scale))
        model = build_style_transfer_model(
            encoder, target, [at_size(style, style_px) for style in styles], weights, settings, strength
        )
        if image is None:
            image = target + settings.noise * torch.randn(target.shape, generator=generator)
        else:
            image = interpolate(image, size=target.shape[2:], mode="bicubic", align_corners=False)

        def report(
            used: int, best: Tensor, cost: int = cost, evaluations: int = evaluations, spent: int = spent
        ) -> None:
            on_image((spent + cost * used / evaluations) / total_cost, best)

        image, losses, used = minimise(model, image, evaluations, settings.history, report)
        spent += cost
        evaluations_used += used
    assert image is not None  # noqa: S101 - there is always one stage
    return Painting(image, losses, evaluations_used)
