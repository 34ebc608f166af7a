"""From encoded pictures to tensors at the size of a stage, and back."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ml_models.images import scaled_size

# Y of BT.601 and the two colour differences of YIQ.
RGB_TO_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


def to_tensor(image: Image.Image) -> Tensor:
    """Return RGB 0..1 of shape (1, 3, H, W), channels-last in memory."""
    array = np.asarray(image, dtype=np.float32) / 255
    return torch.from_numpy(array).permute(2, 0, 1).unsqueeze(0)


def to_image(tensor: Tensor) -> Image.Image:
    """Return the picture of a tensor (1, 3, H, W); values outside 0..1 are clamped."""
    array = tensor.detach()[0].clamp(0, 1).permute(1, 2, 0).mul(255).round().to(torch.uint8)
    return Image.fromarray(array.contiguous().numpy(), "RGB")


def at_size(image: Image.Image, longer_px: int, shortest_px: int = 1) -> Tensor:
    """Return the picture resampled to the longer side, proportions kept, as a tensor.

    Where the shorter side would fall below shortest_px it gets that, and the longer one what belongs to it.
    """
    needed_px = round(shortest_px * max(image.size) / min(image.size))
    size = scaled_size(image.width, image.height, max(longer_px, needed_px))
    return to_tensor(image if size == image.size else image.resize(size, Image.Resampling.LANCZOS))


def grey(photo: Image.Image) -> Image.Image:
    """Return the lightness of the photo, as three equal channels."""
    return photo.convert("L").convert("RGB")


def grey_like(style: Image.Image, photo: Image.Image) -> Image.Image:
    """Return the lightness of the style at the mean and the deviation of the photo's, as three equal channels.

    Gatys et al. 2016, Preserving Color in Neural Artistic Style Transfer (arXiv:1606.05897), section 3.2, equation 9.
    """
    lightness, wanted = (np.asarray(each.convert("L"), dtype=np.float32) for each in (style, photo))
    matched = (lightness - lightness.mean()) * (wanted.std() / max(1.0, float(lightness.std()))) + wanted.mean()
    return Image.fromarray(matched.round().clip(0, 255).astype(np.uint8), "L").convert("RGB")


def with_colours_of(painted: Tensor, photo: Tensor) -> Tensor:
    """Return the lightness of the first with the colours of the second, both (1, 3, H, W).

    The luminance-only transfer of arXiv:1606.05897, section 3.2.
    """
    forward = torch.tensor(RGB_TO_YIQ)
    yiq = torch.einsum("ij,bjhw->bihw", forward, photo)
    lightness = torch.einsum("j,bjhw->bhw", forward[0], painted.clamp(0, 1))
    yiq = torch.cat([lightness.unsqueeze(1), yiq[:, 1:]], dim=1)
    return torch.einsum("ij,bjhw->bihw", torch.linalg.inv(forward), yiq)


def in_colours_of(painted: Tensor, photo: Image.Image) -> Tensor:
    """Return the lightness of the painting (1, 3, H, W) with the colours of the photo, resampled to its size."""
    size = (painted.shape[3], painted.shape[2])
    return with_colours_of(painted, to_tensor(photo.resize(size, Image.Resampling.LANCZOS)))
