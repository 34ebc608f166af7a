"""What the losses are computed from: the Gram matrices and content features of a tile."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ml_models.encoders.slim import OXFORD, TORCHVISION, SlimEncoder, student_tap
from ml_models.encoders.vgg import TruncatedVGG
from ml_models.encoders.vgg19 import VGG19First11Layers
from ml_models.losses import embedded_second_moment, second_moment, sums
from ml_models.nst_gatys.tiles import Tile


class FeatureExtractor:
    """The networks of one run, on its device and in its precision.

    Style is compared in the spaces of both VGG19 that the slim encoder knows: torchvision's conv1_1 to conv3_1, which
    are the origin's style layers, and the Oxford network's relu3_1 and relu4_1. Where torchvision's own layers are
    installed, they take the place of their estimates.

    Args:
        vgg19: or None.
        style_taps, content_taps: which Gram matrices and features are made.
    """

    def __init__(
        self,
        slim: SlimEncoder,
        vgg19: VGG19First11Layers | None,
        style_taps: Sequence[str],
        content_taps: Sequence[str],
    ) -> None:
        self.slim = slim
        self.vgg19 = vgg19
        self.style_taps = tuple(style_taps)
        self.content_taps = tuple(content_taps)
        self.measured = tuple(tap for tap in style_taps if vgg19 is not None and tap in TORCHVISION)
        self.estimated = tuple(tap for tap in style_taps if tap not in self.measured)
        #: {tap: (D, C + 1)}: weight and bias in float32, in the teacher's own units.
        self._affine = {tap: self._affine_of(tap) for tap in self.estimated if tap in TORCHVISION}

    def _affine_of(self, tap: str) -> Tensor:
        weight, bias = self.slim.embedding(tap)
        scale = self.slim.scales[[*OXFORD, *TORCHVISION].index(tap)].float()
        return torch.cat([weight.float(), bias.float()[:, None]], dim=1) * scale

    @staticmethod
    def channels(tap: str) -> int:
        """Return how many channels the teacher has at the tap."""
        return (OXFORD | TORCHVISION)[tap]

    def __call__(
        self, image: Tensor, tile: Tile, *, style: bool = True, content: bool = True
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Measure a tile, image (1, 3, h, w) with its neighbourhood.

        Args:
            style, content: what is asked for; the other comes back empty.

        Returns:
            {tap: (D, D) float32}: sums over the positions of the rectangle of the products of channels, divided by D;
                they add up over tiles; and {tap: (N, D)}, the content features.
        """
        grams: dict[str, Tensor] = {}
        if style and self.measured and self.vgg19 is not None:
            for tap, flat in _features(self.vgg19, image, tile, self.measured).items():
                grams[tap] = second_moment(flat) / flat.shape[1]
        estimated, content_taps = self.estimated if style else (), self.content_taps if content else ()
        wanted = [*dict.fromkeys(student_tap(tap) for tap in (*estimated, *content_taps))]
        features = _features(self.slim, image, tile, wanted)
        for tap in estimated:
            flat = features[student_tap(tap)]
            if tap in OXFORD:
                moment = embedded_second_moment(flat, *self.slim.embedding(tap))
            else:
                affine = self._affine[tap]
                moment = affine @ augmented_moment(flat) @ affine.T
            grams[tap] = moment / self.channels(tap)
        contents = {}
        for tap in content_taps:
            weight, bias = self.slim.embedding(tap)
            contents[tap] = torch.addmm(bias, features[student_tap(tap)], weight.T).relu_()
        return grams, contents


def augmented_moment(flat: Tensor) -> Tensor:
    """Return [X 1]^T [X 1] (C + 1, C + 1), float32, of X (N, C): with it an affine map's Gram matrix is exact."""
    total = sums(flat)
    count = torch.full((1,), float(len(flat)), device=flat.device)
    upper = torch.cat([second_moment(flat), total[:, None]], dim=1)
    return torch.cat([upper, torch.cat([total, count])[None]], dim=0)


def _features(network: TruncatedVGG, image: Tensor, tile: Tile, taps: Sequence[str]) -> dict[str, Tensor]:
    return {tap: tile.positions(tap, feature) for tap, feature in network.raw(image, taps).items()}
