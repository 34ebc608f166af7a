"""The generator, in the layout of the paper's code: `model.1.weight`, `model.10.conv_block.1.weight`, ..."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, conv_transpose2d, pad, pixel_shuffle

from ml_models.cyclegan.settings import GeneratorSettings

#: What both strides of a generator divide a picture's sides by.
STRIDE_PX = 4
NORM_EPSILON = 1e-5
#: Side of the squares whose mean surroundings() takes, twice; odd, and larger than a stroke is.
AROUND_PX = 17


class Convolution(nn.Conv2d):
    """A convolution that computes in its input's type, whatever the type its weights are kept in."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        bias = None if self.bias is None else self.bias.to(input.dtype)
        return conv2d(input, self.weight.to(input.dtype), bias, self.stride, self.padding)


class TransposedConvolution(nn.ConvTranspose2d):
    """Twice the size by a transposed convolution, as in the paper, in its input's type."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, stride=2, padding=1, output_padding=1)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:  # noqa: A002
        bias = None if self.bias is None else self.bias.to(input.dtype)
        return conv_transpose2d(input, self.weight.to(input.dtype), bias, 2, 1, 1)


class ResizeConvolution(nn.Conv2d):
    """Twice the size by nearest neighbour and a 3x3 convolution, in its input's type.

    Both are computed as one: of each 2x2 pixels of the result every one is a 3x3 convolution of the small picture, with
    kernels that follow from the layer's own. The enlarged picture, the largest thing of a generator, never exists.
    Reflection of the enlarged picture is replication of the small one.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        bias = None if self.bias is None else self.bias.to(input.dtype).repeat_interleave(4)
        kernels = small_kernels(self.weight).to(input.dtype)
        return pixel_shuffle(conv2d(pad(input, (1, 1, 1, 1), mode="replicate"), kernels, bias), 2)


def small_kernels(weight: Tensor) -> Tensor:
    """Return the kernels (4 O, I, 3, 3) for the small picture of a kernel (O, I, 3, 3) for the enlarged one.

    In one dimension an even pixel of the result sees the neighbour before by the first value of its kernel and its own
    pixel by the two others, an odd one its own by the first two and the neighbour after by the last.
    """
    even = [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    odd = [[0.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    ways = torch.tensor([even, odd], dtype=weight.dtype, device=weight.device)
    kernels = torch.einsum("prk,qsl,oikl->opqirs", ways, ways, weight)
    return kernels.reshape(-1, *weight.shape[1:]).contiguous(memory_format=torch.channels_last)


class InstanceNorm(nn.Module):
    """Instance normalisation (Ulyanov et al. 2016, arXiv:1607.08022) over the whole picture, computed in float32.

    Args:
        affine: with a scale that begins as given, and a shift.
    """

    def __init__(self, channels: int, *, affine: bool, scale: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), scale)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None

    def forward(self, feature: Tensor) -> Tensor:
        """Return the feature (B, C, H, W), each channel of each picture with mean 0 and deviation 1."""
        if len(feature) > 1:
            return torch.cat([self(one) for one in torch.split(feature, 1)])
        # Batch normalisation of one picture is the same, and unlike torch's instance norm fast in channels-last memory.
        return torch.batch_norm(feature, self.weight, self.bias, None, None, True, 0.0, NORM_EPSILON, False)


class ResnetBlock(nn.Module):
    """The feature and what two convolutions make of it."""

    def __init__(self, channels: int, *, affine: bool) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            Convolution(channels, channels, 3),
            InstanceNorm(channels, affine=affine),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            Convolution(channels, channels, 3),
            # With a scale, a block begins as nothing (Goyal et al. 2017, arXiv:1706.02677, section 5.1).
            InstanceNorm(channels, affine=affine, scale=0.0),
        )

    def forward(self, feature: Tensor) -> Tensor:
        changed: Tensor = self.conv_block(feature)
        return changed.add_(feature)


class Generator(nn.Module):
    """Maps RGB in -1..1, shape (B, 3, H, W), to the same; H and W are multiples of STRIDE_PX.

    It computes in its input's type, float32 or bfloat16, fastest in channels-last memory.
    """

    def __init__(self, settings: GeneratorSettings) -> None:
        super().__init__()
        self.settings = settings
        ngf, everywhere = settings.ngf, settings.normalised == "all"
        enlarge = TransposedConvolution if settings.upsampling == "transposed" else ResizeConvolution

        def then(channels: int) -> list[nn.Module]:
            norm = InstanceNorm(channels, affine=False) if everywhere else nn.Identity()
            return [norm, nn.ReLU(inplace=True)]

        layers: list[nn.Module] = [nn.ReflectionPad2d(3), Convolution(3, ngf, 7), *then(ngf)]
        for channels in (ngf, 2 * ngf):
            layers += [Convolution(channels, 2 * channels, 3, stride=2, padding=1), *then(2 * channels)]
        layers += [ResnetBlock(4 * ngf, affine=not everywhere) for _ in range(settings.blocks)]
        for channels in (4 * ngf, 2 * ngf):
            layers += [enlarge(channels, channels // 2), *then(channels // 2)]
        layers += [nn.ReflectionPad2d(3), Convolution(ngf, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        return self.with_colours(self.model(image), image)

    def with_colours(self, painted: Tensor, image: Tensor) -> Tensor:
        """Return what the layers made of the image, with its light and colours where the settings say so."""
        if self.settings.vividness is None:
            return painted
        around = surroundings(image)
        grey = around.mean(dim=1, keepdim=True)
        around = grey + self.settings.vividness * (around - grey)
        return (painted.float() - surroundings(painted) + around).clamp(-1, 1).to(painted.dtype)

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew: as the paper does where everything is normalised, else after He et al. 2015."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                if self.settings.normalised == "all":
                    nn.init.normal_(layer.weight, 0.0, 0.02, generator=generator)
                else:
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)


def surroundings(image: Tensor) -> Tensor:
    """Return a picture (B, C, H, W), in float32, without its strokes: means of 17 by 17 pixels, twice."""
    image = image.float()
    for _ in range(2):
        for size in ((AROUND_PX, 1), (1, AROUND_PX)):
            around = (size[0] // 2, size[1] // 2)
            image = avg_pool2d(image, size, 1, around, count_include_pad=False)
    return image


def shapes(settings: GeneratorSettings) -> dict[str, tuple[int, ...]]:
    """Return {name: shape} of what a weights file of this generator holds."""
    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in Generator(settings).state_dict().items()}
