"""Coarse to fine: the large strokes are laid where the picture is small and an evaluation costs little."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from ml_models.images import MIN_SIDE_PX, scaled_size
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


def stage_sizes(width_px: int, height_px: int, settings: GatysSettings) -> list[tuple[int, int]]:
    """Return (longer side in pixels, evaluations) of each stage, for a result of the size given.

    Each stage has half the side of the next. The coarsest lies between smallest_stage_px and twice that, whatever the
    size of the result: so a small result is the preview of a large one.
    """
    longer_px, shorter_px = max(width_px, height_px), min(width_px, height_px)
    sizes = [longer_px]
    while sizes[0] >= 2 * settings.smallest_stage_px and shorter_px * sizes[0] >= 2 * MIN_SIDE_PX * longer_px:
        sizes.insert(0, round(sizes[0] / 2))
    return [
        (
            size,
            next((count for up_to_px, count in settings.evaluations if size <= up_to_px), settings.evaluations[-1][1]),
        )
        for size in sizes
    ]


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
    stages = stage_sizes(*scaled_size(content.width, content.height, size_px), settings)
    costs = [longer_px**2 * evaluations for longer_px, evaluations in stages]
    total_cost, spent, evaluations_used = sum(costs), 0, 0
    generator = torch.Generator().manual_seed(seed)
    image = target = at_size(content, stages[0][0])
    image = image + settings.noise * strength * torch.randn(image.shape, generator=generator)
    losses: dict[str, float] = {}
    for (longer_px, evaluations), cost in zip(stages, costs, strict=True):
        if longer_px != stages[0][0]:
            coarse, target = target, at_size(content, longer_px)
            # A picture that is not to be painted in full gets its share of the photo's detail back.
            detail = target - enlarged(coarse, target)
            image = enlarged(image, target) + (1 - strength) * detail
        style_px = min(round(longer_px * stroke_scale), settings.largest_style_px)
        model = build_style_transfer_model(
            encoder,
            target,
            (at_size(style, style_px, MIN_SIDE_PX) for style in styles),
            weights,
            settings,
            strength,
        )

        def report(
            used: int, best: Tensor, cost: int = cost, evaluations: int = evaluations, spent: int = spent
        ) -> None:
            on_image((spent + cost * used / evaluations) / total_cost, best)

        image, losses, used = minimise(model, image, evaluations, settings.history, report)
        spent += cost
        evaluations_used += used
    return Painting(image, losses, evaluations_used)


def enlarged(image: Tensor, like: Tensor) -> Tensor:
    """Return the image (1, 3, h, w) at the height and width of the other."""
    return interpolate(image, size=like.shape[2:], mode="bicubic", align_corners=False)
