"""The origin's algorithm beside ours, in one run, on the same square pictures.

    python -m benchmarks.gatys [--size 200] [--assets ../shared/assets] [--photo chelsea] [--style STYLE.jpg]

The origin, written anew: the photo and the style squashed to a square, VGG19's first eleven layers, torch's L-BFGS
without a line search, 500 evaluations from the photo, clamped to 0..1 inside the closure. Ours paints the same squares
with `vgg19` and with `slim`. The columns at the right are measured under networks that judge all three alike: the
origin's own loss under torchvision's eleven layers, and the statistics of AdaIN under the Oxford VGG19. A picture whose
style is further away than the photo's own has gone to noise: without a line search that happens to the origin's.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file
from skimage import data
from torch import Tensor

from ml_models.encoders import load_encoder
from ml_models.encoders.teacher import OxfordVGG19
from ml_models.encoders.vgg19 import VGG19First11Layers
from ml_models.losses import mean_and_deviation
from ml_models.nst_gatys.build_style_transfer_model import Encoder, build_style_transfer_model
from ml_models.nst_gatys.image_preparation import at_size, to_image
from ml_models.nst_gatys.settings import SLIM, VGG19, GatysSettings
from ml_models.nst_gatys.train_loop import paint

PHOTOS = ("chelsea", "astronaut", "coffee")
TORCHVISION = "vgg19_first_11_layers.safetensors"
OXFORD = "vgg_normalised_relu4_1.safetensors"


def origin(encoder: VGG19First11Layers, content: Tensor, style: Tensor, evaluations: int) -> tuple[Tensor, int]:
    model = build_style_transfer_model(encoder, content, [style], [1.0], VGG19)
    image = content.clone().contiguous().requires_grad_(True)
    optimizer = torch.optim.LBFGS([image])
    used = 0

    def closure() -> Tensor:
        nonlocal used
        with torch.no_grad():
            image.clamp_(0, 1)
        optimizer.zero_grad()
        losses = model(image)
        total = losses["style"] * VGG19.style_weight + losses["content"] * VGG19.content_weight
        total.backward()
        used += 1
        return total.detach()  # type: ignore[no-any-return]

    while used < evaluations:
        before = used
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        if used - before < 2:
            break
    return image.detach().clamp(0, 1), used


class Judges:
    """The same measures for every picture, by networks that were not asked to like it."""

    def __init__(self, assets: Path) -> None:
        self.torchvision = VGG19First11Layers(load_file(assets / "weights" / TORCHVISION))
        self.oxford = OxfordVGG19(assets / "weights" / OXFORD)

    @torch.no_grad()
    def __call__(self, image: Tensor, content: Tensor, style: Tensor) -> dict[str, float]:
        image = image.clamp(0, 1)
        own = build_style_transfer_model(self.torchvision, content, [style], [1.0], VGG19)
        losses, photo = own(image), own(content)
        features, contents, styles = self.oxford(image), self.oxford(content), self.oxford(style)
        distance = 0.0
        for tap, feature in features.items():
            for mine, theirs in zip(mean_and_deviation(feature), mean_and_deviation(styles[tap]), strict=True):
                distance += float((mine - theirs).square().mean())
        return {
            "origin's loss": float(losses["total"]),
            "origin's style": float(losses["style"]) * VGG19.style_weight,
            "photo's style": float(photo["style"]) * VGG19.style_weight,
            "Oxford style": distance,
            "Oxford content": float((features["relu4_1"] - contents["relu4_1"]).square().mean()),
        }


def ours(encoder: Encoder, settings: GatysSettings) -> Callable[[Image.Image, Image.Image], tuple[Tensor, int]]:
    def run(content: Image.Image, style: Image.Image) -> tuple[Tensor, int]:
        painting = paint(
            encoder,
            content,
            [style],
            [1.0],
            settings,
            size_px=content.width,
            strength=1.0,
            stroke_scale=1.0,
            seed=0,
            on_image=lambda fraction, image: None,
        )
        return painting.image, painting.evaluations

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=200)
    parser.add_argument("--evaluations", type=int, default=500, help="of the origin")
    parser.add_argument("--assets", type=Path, default=Path(os.environ.get("STYLE_ASSETS", "../shared/assets")))
    parser.add_argument("--photo", choices=PHOTOS, action="append", help="of scikit-image; may be repeated")
    parser.add_argument("--style", type=Path)
    parser.add_argument("--pictures", type=Path, help="a folder for the three results of each photo")
    arguments = parser.parse_args()
    style_path = arguments.style or arguments.assets / "paintings/neural_style_pt/starry_night_google.jpg"
    needed = [style_path, *(arguments.assets / "weights" / name for name in (TORCHVISION, OXFORD))]
    missing = [str(path) for path in needed if not path.exists()]
    if missing:
        print(f"skipped: {missing[0]} is not here; give the folder of the assets with --assets or STYLE_ASSETS")
        return
    torch.set_num_threads(2)
    judges = Judges(arguments.assets)
    side = (arguments.size, arguments.size)
    style = Image.open(style_path).convert("RGB").resize(side, Image.Resampling.LANCZOS)
    table = Table(title=f"{arguments.size}x{arguments.size}, {torch.get_num_threads()} threads")
    for photo in arguments.photo or PHOTOS:
        content = Image.fromarray(getattr(data, photo)()).resize(side, Image.Resampling.LANCZOS)
        content_tensor, style_tensor = at_size(content, arguments.size), at_size(style, arguments.size)

        def run_origin(content: Tensor = content_tensor, style: Tensor = style_tensor) -> tuple[Tensor, int]:
            return origin(judges.torchvision, content, style, arguments.evaluations)

        def run_vgg19(content: Image.Image = content) -> tuple[Tensor, int]:
            return ours(judges.torchvision, VGG19)(content, style)

        def run_slim(content: Image.Image = content) -> tuple[Tensor, int]:
            return ours(load_encoder("slim")[1], SLIM)(content, style)

        for name, run in (("origin", run_origin), ("ours, vgg19", run_vgg19), ("ours, slim", run_slim)):
            started = time.perf_counter()
            image, evaluations = run()
            row = {"seconds": time.perf_counter() - started, "evaluations": float(evaluations)}
            row |= judges(image, content_tensor, style_tensor)
            if not table.columns:
                for column in ("photo", "algorithm", *row):
                    table.add_column(column, justify="left" if column in ("photo", "algorithm") else "right")
            table.add_row(photo, name, *(f"{value:.3g}" for value in row.values()))
            if arguments.pictures:
                arguments.pictures.mkdir(parents=True, exist_ok=True)
                to_image(image).save(arguments.pictures / f"{photo}-{name.replace(', ', '-')}.png")
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
