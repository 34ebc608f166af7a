"""What the generators are, and the hyper-parameters of their training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Upsampling = Literal["transposed", "resize"]
Normalised = Literal["all", "blocks"]


@dataclass(frozen=True, slots=True)
class GeneratorSettings:
    """The form of one generator.

    Attributes:
        ngf: channels after the first convolution; the residual blocks have four times as many.
        blocks: how many residual blocks.
        upsampling: "transposed" convolutions as in the paper, or "resize": nearest neighbour and a convolution, which
            leaves no checkerboard (Odena et al. 2016, doi:10.23915/distill.00003).
        normalised: instance normalisation after "all" convolutions but the last, as in the paper, or in the "blocks"
            only, there with a scale and a shift.
        vividness: how far from grey the light and colours around each pixel are, as a multiple of the given picture's;
            what the layers make of these is left out. None: all is the layers' own, as in the paper.
        brushed: what it is given has faint strokes added, see brush.py; not in the paper.
    """

    ngf: int
    blocks: int
    upsampling: Upsampling
    normalised: Normalised
    vividness: float | None = None
    brushed: bool = False


#: resnet_9blocks of the paper's code, the form of its published checkpoints.
OFFICIAL = GeneratorSettings(ngf=64, blocks=9, upsampling="transposed", normalised="all")
#: Ours. Normalised after every convolution, a network cannot see how bright its picture is and how much contrast it
#: has: a bare sky comes out as bold as a forest. So its first and last layers see the pixels as they are.
#: Its layers paint strokes; left to find colours too, they lost them all before they could paint.
PACKAGED = GeneratorSettings(ngf=32, blocks=6, upsampling="resize", normalised="blocks", vividness=1.35, brushed=True)
#: The way back is needed in training alone.
PACKAGED_REVERSE = GeneratorSettings(ngf=16, blocks=6, upsampling="resize", normalised="blocks", vividness=0.75)


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """The losses and the optimiser; the defaults are those of the paper (section 4 and 7.1) and of its code.

    Attributes:
        cycle_weight: lambda of the cycle loss, in both directions.
        identity_weight: of the identity loss, as a share of cycle_weight.
        pool_size: generated pictures that the discriminators are shown later.
        learning_rate, beta_1, beta_2: of Adam.
        style_weight: of the distance from the mean covariances of paintings' features; not in the paper.
        content_weight: of the distance of deep features from the photo's; not in the paper.
        tint_weight: of the distance from the photo's colours, seen from afar; not in the paper.
        average_decay: of the average of the generators' weights, which is what is packaged; not in the paper.
    """

    cycle_weight: float = 10.0
    identity_weight: float = 0.5
    pool_size: int = 50
    learning_rate: float = 2e-4
    beta_1: float = 0.5
    beta_2: float = 0.999
    style_weight: float = 0.0
    content_weight: float = 0.0
    tint_weight: float = 0.0
    average_decay: float = 0.998
