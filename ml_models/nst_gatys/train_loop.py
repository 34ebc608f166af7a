"""Coarse to fine: the large strokes are laid where the picture is small and an evaluation costs little."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from ml_models.image_preparation import at_size
from ml_models.images import MIN_SIDE_PX, scaled_size
from ml_models.nst_gatys.build_style_transfer_model import build_style_transfer_model
from ml_models.nst_gatys.custom_layers import FeatureExtractor
from ml_models.nst_gatys.optimizer import minimise
from ml_models.nst_gatys.settings import GatysSettings

#: Takes the fraction done, by cost, the best image so far, which it must not keep, and whether it is the last of its
#: stage; false ends the run with that image.
OnImage = Callable[[float, Tensor, bool], bool]


@dataclass(frozen=True, slots=True)
class Painting:
    """What the loop ends with.

    Attributes:
        image: (1, 3, H, W) at full size.
        losses: of its last stage, and "initial_total" at the start of that; "evaluations" and "recoveries" of all.
        stopped: on_image ended the run.
    """

    image: Tensor
    losses: dict[str, float]
    stopped: bool


def stage_sizes(
    width_px: int, height_px: int, settings: GatysSettings, *, stages: int | None = None
) -> list[tuple[int, int]]:
    """Return (longer side in pixels, evaluations) of each stage, for a result of the size given.

    Each stage has half the side of the next. The coarsest lies between smallest_stage_px and twice that, whatever the
    size of the result: so a small result is the preview of a large one.

    Args:
        stages: only so many of the last.
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
        for size in (sizes[-stages:] if stages else sizes)
    ]


def paint(
    extractor: FeatureExtractor,
    content: Image.Image,
    styles: Sequence[Image.Image],
    weights: Sequence[float],
    settings: GatysSettings,
    *,
    size_px: int,
    on_image: OnImage,
    strength: float = 1.0,
    stroke_scale: float = 1.0,
    seed: int = 0,
    initial: Image.Image | None = None,
    device: torch.device | None = None,
) -> Painting:
    """Paint content in the styles.

    Args:
        initial: a picture to start from, which leaves out the coarse stages; the photo if not given.
    """
    full = scaled_size(content.width, content.height, size_px)
    stages = stage_sizes(*full, settings, stages=None if initial is None else settings.stages_from_initial)
    costs = [longer_px**2 * evaluations for longer_px, evaluations in stages]
    total_cost, spent = sum(costs), 0
    generator = torch.Generator().manual_seed(seed)
    target = at_size(content, stages[0][0])
    image = target if initial is None else enlarged(at_size(initial, stages[0][0]), target)
    image = image + settings.noise * strength * torch.randn(image.shape, generator=generator)
    image, target = image.to(device), target.to(device)
    losses: dict[str, float] = {}
    evaluations_used = recoveries = 0
    stopped = False
    for (longer_px, evaluations), cost in zip(stages, costs, strict=True):
        if longer_px != stages[0][0]:
            coarse, target = target, at_size(content, longer_px).to(device)
            # A picture that is not to be painted in full gets its share of the photo's detail back.
            detail = target - enlarged(coarse, target)
            image = enlarged(image, target) + (1 - strength) * detail
            del coarse, detail
        style_px = min(round(longer_px * stroke_scale), settings.largest_style_px)
        model = build_style_transfer_model(
            extractor,
            target,
            (at_size(style, style_px, MIN_SIDE_PX).to(device) for style in styles),
            weights,
            settings,
            strength,
        )

        def go_on(
            used: int, best: Tensor, cost: int = cost, evaluations: int = evaluations, spent: int = spent
        ) -> bool:
            return on_image((spent + cost * used / evaluations) / total_cost, best, False)

        minimum = minimise(model, image, evaluations, settings.pairs(image[0, 0].numel()), go_on)
        image, spent = minimum.image, spent + cost
        evaluations_used += minimum.evaluations
        recoveries += minimum.recoveries
        losses = {**minimum.losses, "initial_total": minimum.initial_total}
        asked = not on_image(spent / total_cost, image, True)
        # Who asks when all is done has stopped nothing.
        stopped = minimum.stopped or (asked and spent < total_cost)
        if stopped:
            break
    losses |= {"evaluations": float(evaluations_used), "recoveries": float(recoveries)}
    if (image.shape[3], image.shape[2]) != full:
        whole = at_size(content, max(full)).to(device)
        image = enlarged(image, whole) + (1 - strength) * (whole - enlarged(target, whole))
    return Painting(image, losses, stopped)


def enlarged(image: Tensor, like: Tensor) -> Tensor:
    """Return the image (1, 3, h, w) at the height and width of the other."""
    return interpolate(image, size=like.shape[2:], mode="bicubic", align_corners=False)
