"""The origin's algorithm, written anew and depending on nothing of ours, so that it stays what it was.

VGG19's first eleven layers with the losses before the ReLU, mean squared error of Gram matrices divided by b c h w,
1e5 : 1, torch's L-BFGS without a line search from the photo, clamped to 0..1 inside the closure.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import mse_loss

STYLE_WEIGHT = 1e5
CONTENT_LAYER = "conv2_2"
STYLE_LAYERS = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1")
#: (name, index in torchvision's Sequential, max pooling before it)
LAYERS = (
    ("conv1_1", 0, False),
    ("conv1_2", 2, False),
    ("conv2_1", 5, True),
    ("conv2_2", 7, False),
    ("conv3_1", 10, True),
)

#: The evaluation, its total loss, and the clamped image it was of, which must not be kept or changed.
OnEvaluation = Callable[[int, float, Tensor], None]


class TorchvisionLayers(nn.Module):
    """Maps RGB in 0..1, shape (1, 3, H, W), to {layer: feature before the ReLU}, edges padded with zeros."""

    mean: Tensor
    std: Tensor

    def __init__(self, path: Path, memory_format: torch.memory_format = torch.channels_last) -> None:
        super().__init__()
        weights = load_file(path)
        self.memory_format = memory_format
        self.register_buffer("mean", torch.tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1))
        self.convolutions = nn.ModuleDict()
        for name, index, _ in LAYERS:
            outputs, inputs = weights[f"{index}.weight"].shape[:2]
            convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
            convolution.load_state_dict({"weight": weights[f"{index}.weight"], "bias": weights[f"{index}.bias"]})
            self.convolutions[name] = convolution
        self.requires_grad_(False)
        self.to(memory_format=memory_format)  # type: ignore[call-overload]

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features: dict[str, Tensor] = {}
        hidden = ((image - self.mean) / self.std).contiguous(memory_format=self.memory_format)
        for name, _, pooled in LAYERS:
            if pooled:
                hidden = nn.functional.max_pool2d(hidden, 2)
            features[name] = self.convolutions[name](hidden)
            hidden = nn.functional.relu(features[name])
        return features


def gram_matrix(feature: Tensor) -> Tensor:
    """Return the Gram matrix (C, C) of a feature (1, C, H, W), divided by C H W."""
    if feature.is_contiguous():
        rows = feature.flatten(0, 1).flatten(1)
        return rows @ rows.T / rows.numel()
    columns = feature.permute(0, 2, 3, 1).flatten(0, 2)
    return columns.T @ columns / columns.numel()


class OriginLoss:
    """The origin's loss of an image (1, 3, H, W) in 0..1 against one photo and one style."""

    @torch.no_grad()
    def __init__(self, layers: TorchvisionLayers, content: Tensor, style: Tensor) -> None:
        self.layers = layers
        self.content = layers(content)[CONTENT_LAYER]
        self.grams = {name: gram_matrix(feature) for name, feature in layers(style).items()}

    def parts(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the style's part, weighted, and the content's; the loss is their sum."""
        features = self.layers(image)
        style = sum((mse_loss(gram_matrix(features[name]), self.grams[name]) for name in STYLE_LAYERS), torch.zeros(()))
        return STYLE_WEIGHT * style, mse_loss(features[CONTENT_LAYER], self.content)

    def __call__(self, image: Tensor) -> Tensor:
        style, content = self.parts(image)
        return style + content


def paint(
    loss: OriginLoss, content: Tensor, evaluations: int, on_evaluation: OnEvaluation = lambda number, total, image: None
) -> Tensor:
    """Run the origin's loop from content (1, 3, H, W) and return what it ends with, clamped to 0..1."""
    image = content.detach().clone(memory_format=torch.contiguous_format).requires_grad_(True)
    optimizer = torch.optim.LBFGS([image])
    used = 0

    def closure() -> float:
        nonlocal used
        with torch.no_grad():
            image.clamp_(0, 1)
        optimizer.zero_grad()
        total = loss(image)
        total.backward()  # type: ignore[no-untyped-call]
        used += 1
        on_evaluation(used, float(total.detach()), image.detach())
        return float(total.detach())

    while used < evaluations:
        before = used
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        if used - before < 2:  # a gradient of nothing, or one that is not finite: every further step would be this one
            break
    return image.detach().clamp(0, 1)
