"""Hyper-parameters of the optimisation, one set per encoder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GatysSettings:
    """What one run does.

    Attributes:
        content_layers, style_layers: tap -> weight of its loss within the sum.
        content_weight, style_weight: of the two sums.
        total_variation_weight: of the squared differences of neighbouring pixels.
        range_weight: of the squared distance by which pixels leave 0..1. The origin clamps inside the closure, which
            hides from L-BFGS what it did; a penalty keeps the function that it models smooth.
        evaluations: (longer side of a stage up to, evaluations of the loss and its gradient at most), ascending.
        smallest_stage_px: the coarsest stage's longer side is from this to twice this.
        history: pairs that L-BFGS keeps.
        noise: standard deviation of the seed's noise on the first stage's start, in 0..1 pixels.
        largest_style_px: a style is not enlarged beyond this longer side, whatever the size of the strokes.
        bytes_per_pixel: memory of a run for each pixel of the result, over PROCESS_MB of run_style_transfer.py. The
            peak resident memory of fresh processes was 785 MiB at 512 and 1896 MiB at 1024 px square with slim; 597,
            1139, 2029 and 3313 MiB at 256, 512, 768 and 1024 px with vgg19. The check asks for 7 to 13 percent more.
    """

    content_layers: dict[str, float]
    style_layers: dict[str, float]
    content_weight: float
    style_weight: float
    total_variation_weight: float
    range_weight: float
    evaluations: tuple[tuple[int, int], ...]
    bytes_per_pixel: int
    history: int = 10
    noise: float = 0.01
    smallest_stage_px: int = 96
    largest_style_px: int = 3072


# The origin's layers and weights: content conv2_2, style conv1_1 to conv3_1 taken before the ReLU, mean squared error
# of Gram matrices divided by C H W, 1e5 : 1. Ours are the stages: the origin spends 500 evaluations at one size.
# range_weight: measured, the least power of ten that keeps pixels within 0..1 but for a few thousandths.
VGG19 = GatysSettings(
    content_layers={"conv2_2": 1.0},
    style_layers={"conv1_1": 1.0, "conv1_2": 1.0, "conv2_1": 1.0, "conv2_2": 1.0, "conv3_1": 1.0},
    content_weight=1.0,
    style_weight=1e5,
    total_variation_weight=0.0,
    range_weight=1e3,
    evaluations=((160, 120), (320, 100), (640, 60), (1280, 40), (2048, 25)),
    bytes_per_pixel=3300,
)

# Losses of this encoder are relative (1.0: as far from the style as a black feature is), so the weights are near one.
# The style layers are those of AdaIN (arXiv:1703.06868, section 5). The rest was chosen by eye and by networks that
# were not optimised (benchmarks/gatys.py), on held-out photos and paintings at 512 px:
# - relu3_1 as a second content layer keeps eyes, mouths and windows: scikit-image's astronaut with Starry Night has an
#   Oxford content of 2.92 with 0.5 of it and 3.28 without, at a style of 0.18 and 0.14 (style weight 30);
# - style weights of 10 to 40 give ever stronger strokes: Oxford style 0.178 at 10, 0.155 at 40, content 1.95 and 2.21;
# - 35, 50 and 80 evaluations of the last stage leave an Oxford style of 1.05, 0.91 and 0.85 on the strongest style,
#   after 39, 46 and 59 seconds of processor time for a square;
# - with this total variation the grain stays below or near that of the style itself.
SLIM = GatysSettings(
    content_layers={"relu4_1": 1.0, "relu3_1": 0.3},
    style_layers={"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0},
    content_weight=1.0,
    style_weight=20.0,
    total_variation_weight=2.0,
    range_weight=20.0,
    evaluations=((160, 150), (320, 120), (640, 50), (1280, 40), (2048, 25)),
    bytes_per_pixel=1650,
)

BY_ENCODER: dict[str, GatysSettings] = {"vgg19": VGG19, "slim": SLIM}
