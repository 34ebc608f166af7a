"""Held-out pictures in UltraST's training: how good it is by now, in figures and to look at."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ml_models.image_preparation import to_image
from ml_models.training.pictures import find_pictures, load_picture
from ml_models.training.ultrast_cascade import stylised
from ml_models.training.ultrast_judge import Judge
from ml_models.training.ultrast_networks import TrainedNetworks
from ml_models.ultrast.custom_layers import GREY, STAGES
from ml_models.ultrast.published import load_published
from ml_models.ultrast.settings import SETTINGS
from ml_models.ultrast.wct import whitening_colouring

#: Names of a photo and a painting of the held-out folders, for sheets and the log.
SAMPLES = (("18", "26"), ("08", "03"), ("17", "09"), ("13", "36"), ("21", "20"), ("12", "22"))
SAMPLE_PX = 512


class Samples:
    """Held-out pairs: their losses, and a sheet of photo, painting, ours and the published models' picture."""

    @torch.no_grad()
    def __init__(self, folders: list[Path], judge: Judge, published: Path | None) -> None:
        self.judge = judge
        found = {(path.parent.name, path.stem): path for path in find_pictures(folders)}
        photos, paintings = (folders[0].name, folders[1].name) if len(folders) > 1 else ("", "")
        self.pairs = [
            (_sample(found[photos, one]), _sample(found[paintings, other]))
            for one, other in SAMPLES
            if (photos, one) in found and (paintings, other) in found
        ]
        self.published: list[Tensor] = []
        if published:
            encoders, decoders = load_published(published)
            for photo, painting in self.pairs:
                made = stylised(
                    encoders.__getitem__,
                    decoders.__getitem__,
                    photo - GREY,
                    painting - GREY,
                    stages=STAGES,
                    transfer=whitening_colouring,
                    epsilon=SETTINGS.published_epsilon,
                    margin_px=0,
                )
                self.published.append(made[1].float() + GREY)

    @torch.no_grad()
    def measure(self, networks: TrainedNetworks, sheet: Path) -> dict[str, list[float]]:
        """Write the sheet and return {whose: [mean style loss, mean content loss]}."""
        rows, losses = [], {"ours": [0.0, 0.0], "published": [0.0, 0.0]}
        for index, (photo, painting) in enumerate(self.pairs):
            with torch.autocast("cpu", torch.bfloat16):
                made = stylised(networks.encoder_of, networks.decoder_of, photo - GREY, painting - GREY)
            cells = {"ours": made[SETTINGS.stages[-1]].float() + GREY}
            if self.published:
                cells["published"] = self.published[index]
            targets = self.judge.targets(photo, painting)
            for whose, image in cells.items():
                for place, loss in enumerate(self.judge.losses(image.clamp(0, 1), targets)):
                    losses[whose][place] += float(loss.mean()) / len(self.pairs)
            steps = [made[stage].float() + GREY for stage in SETTINGS.stages[:2]]
            row = [
                interpolate(each, size=(256, 256), mode="area") for each in (photo, painting, *steps, *cells.values())
            ]
            rows.append(torch.cat(row, dim=3))
        if rows:
            to_image(torch.cat(rows, dim=2)).save(sheet)
        return {whose: [round(value, 4) for value in values] for whose, values in losses.items()}


def _sample(path: Path) -> Tensor:
    image = load_picture(path, SAMPLE_PX * 2 // 3).float().div(255).unsqueeze(0)
    image = image[:, :, : image.shape[2] // 16 * 16, : image.shape[3] // 16 * 16]
    return image.contiguous(memory_format=torch.channels_last)
