"""What tells generated pictures from real ones; used in training alone."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu
from torch.nn.utils.parametrizations import spectral_norm

from ml_models.cyclegan.custom_layers import Convolution, InstanceNorm

SLOPE = 0.2
#: Taps of the slim encoder that the projected discriminator looks at -> channels there.
PROJECTED_TAPS = {"relu2_1": 64, "relu3_1": 128, "relu4_1": 256}


class PatchDiscriminator(nn.Module):
    """Maps RGB in -1..1, (B, 3, H, W), to scores (B, 1, H / 8 - 2, W / 8 - 2): 1 where a 70x70 patch looks real.

    The paper's, in the layout of its code (Isola et al. 2017, arXiv:1611.07004, section 6.1.2: C64-C128-C256-C512).
    """

    def __init__(self, ndf: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [Convolution(3, ndf, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE, inplace=True)]
        for channels, stride in ((ndf, 2), (2 * ndf, 2), (4 * ndf, 1)):
            layers += [
                Convolution(channels, 2 * channels, 4, stride=stride, padding=1),
                InstanceNorm(2 * channels, affine=False),
                nn.LeakyReLU(SLOPE, inplace=True),
            ]
        self.model = nn.Sequential(*layers, Convolution(8 * ndf, 1, 4, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image)  # type: ignore[no-any-return]


class ProjectedDiscriminator(nn.Module):
    """Small heads on the features of a frozen encoder (Sauer et al. 2021, arXiv:2111.01007).

    Departing from it, the features are not mixed across channels and scales; each head sees one tap.

    Args:
        width: channels of the heads.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        for tap, channels in PROJECTED_TAPS.items():
            self.register_buffer(f"scale_{tap}", torch.ones(1, channels, 1, 1))
        self.heads = nn.ModuleDict(
            {
                tap: nn.ModuleList(
                    [
                        spectral_norm(nn.Conv2d(channels, width, 3, padding=1)),
                        spectral_norm(nn.Conv2d(width, width, 3, padding=1)),
                        spectral_norm(nn.Conv2d(width, 1, 1)),
                    ]
                )
                for tap, channels in PROJECTED_TAPS.items()
            }
        )

    def scale_by(self, features: Mapping[str, Tensor]) -> None:
        """Divide features from now on by the root mean square that each channel of these has."""
        for tap in PROJECTED_TAPS:
            power = features[tap].float().square().mean(dim=(0, 2, 3), keepdim=True)
            getattr(self, f"scale_{tap}").copy_((power + 1e-4).sqrt())

    def forward(self, features: Mapping[str, Tensor]) -> list[Tensor]:
        """Return the scores of each tap of {tap: feature}, (B, 1, h, w) each."""
        scores = []
        for tap, head in self.heads.items():
            hidden = features[tap] / getattr(self, f"scale_{tap}").to(features[tap].dtype)
            first, second, last = head.children()
            for layer in (first, second):
                hidden = leaky_relu(_as(layer, hidden), SLOPE)
            scores.append(_as(last, hidden).float())
        return scores


def _as(layer: nn.Module, hidden: Tensor) -> Tensor:
    """Apply a convolution in the type of its input."""
    weight: Tensor = layer.weight.to(hidden.dtype)  # type: ignore[assignment]
    bias: Tensor = layer.bias.to(hidden.dtype)  # type: ignore[assignment]
    return conv2d(hidden, weight, bias, padding=weight.shape[2] // 2)
