"""Distil AdaIN's encoder from relu2_1 on: layer by layer it is to give what the Oxford VGG19 gives there.

    python -m ml_models.training.distil_adain_encoder --judge vgg_normalised_relu4_1.safetensors \
        --photos PHOTOS --paintings PAINTINGS --held-out PHOTOS/kodak --held-out PAINTINGS/styleid_sty

Up to relu2_1 it is the packaged slim encoder. Each layer behind it begins as the least squares' solution of what the
layers before it give, and then all learn together, by gradients, what AdaIN needs: relu3_1 and relu4_1. Gradients
alone, from random values, miss more than twice as much after half an hour. Resumes from its checkpoint. Writes the
encoder, which `train_adain --encoder` takes, and a log of what is missed of the pictures kept out.
"""

from __future__ import annotations

import argparse
import copy
import time
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, mse_loss
from tqdm import tqdm

from ml_models.adain.build_style_transfer_model import without_margin
from ml_models.adain.weights import WIDTHS
from ml_models.devices import half_precision
from ml_models.encoders import load_slim
from ml_models.encoders.teacher import OxfordVGG19
from ml_models.encoders.vgg import CONVOLUTIONS, POOLED_BEFORE, TruncatedVGG, shrinkage
from ml_models.training.least_squares import EDGE_PX, Samples
from ml_models.training.log import append_row
from ml_models.training.optimiser import Optimiser, average_into, rate_share
from ml_models.training.pictures import CropSampler, find_pictures, load_picture, load_pictures

#: The last layer that is the slim encoder's, and the convolutions to learn.
GIVEN = "relu2_1"
LEARNT = CONVOLUTIONS[CONVOLUTIONS.index(f"conv{GIVEN[4:]}") + 1 :]
#: What AdaIN needs of them.
NEEDED = ("relu3_1", "relu4_1")
CROP_PX, CROPS = 256, 400
SHORT_SIDE_PX, HELD_OUT_PX = 384, 384
BATCH_SIZE, RATE, AVERAGE_DECAY = 5, 3e-4, 0.99
#: Added to a channel's variance where features are compared normalised, so that nothing is asked of silent ones.
SILENT = 1e-2


def given_encoder() -> TruncatedVGG:
    """Return an encoder that is the slim one up to GIVEN, and random from there."""
    encoder, slim = TruncatedVGG(WIDTHS).requires_grad_(False), load_slim()
    for name in CONVOLUTIONS[: -len(LEARNT)]:
        encoder.convolutions[name].load_state_dict(slim.convolutions[name].state_dict())
    return encoder


@torch.no_grad()
def solve(encoder: TruncatedVGG, features: list[Tensor], answers: list[dict[str, Tensor]], seed: int) -> None:
    """Give the encoder's layers, one after the other, the weights that bring them nearest to the judge's.

    Args:
        features: of crops, at GIVEN.
        answers: of the judge, {convolution of LEARNT: (1, D, H, W) before the ReLU} for each crop.
    """
    before = GIVEN
    for name in tqdm(LEARNT, desc="solving", unit="layer"):
        convolution, tap = cast(nn.Conv2d, encoder.convolutions[name]), f"relu{name[4:]}"
        samples, generator = Samples(convolution.in_channels, convolution.out_channels), torch.Generator()
        generator.manual_seed(seed)
        for feature, answer in zip(features, answers, strict=True):
            pooled = max_pool2d(feature, 2, ceil_mode=True) if name in POOLED_BEFORE else feature
            samples.add(pooled, answer[name], EDGE_PX // shrinkage(tap), generator)
        for parameter, value in zip((convolution.weight, convolution.bias), samples.solution(), strict=True):
            cast(Tensor, parameter).copy_(value)
        features = [encoder.after(before, feature, (tap,))[tap] for feature in features]
        before = tap


def normalised(feature: Tensor) -> Tensor:
    """Return the feature (B, C, H, W) with mean 0 and deviation 1 of each channel; less where it says nothing."""
    variance, mean = torch.var_mean(feature, dim=(2, 3), keepdim=True, correction=0)
    return (feature - mean) / (variance + SILENT).sqrt()


def missed(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the share of a feature's variance (B, C, H, W) that is missed; of a mean in its place it is 1."""
    return mse_loss(found, wanted) / wanted.var(dim=(2, 3), correction=0).mean()


def losses_of(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what is missed at NEEDED, and the squared error of the deepest normalised as AdaIN does."""
    losses = {tap: missed(_inner(found[tap], tap), _inner(wanted[tap], tap)) for tap in NEEDED}
    deepest = NEEDED[-1]
    ours, judges = (normalised(_inner(each[deepest], deepest)) for each in (found, wanted))
    return losses | {"normalised": mse_loss(ours, judges)}


def _inner(feature: Tensor, tap: str) -> Tensor:
    """Return the feature in float32 without what lies within EDGE_PX of the picture's edges."""
    return without_margin(feature.float(), EDGE_PX // shrinkage(tap))


@torch.no_grad()
def evaluate(encoder: TruncatedVGG, judge: OxfordVGG19, paths: list[Path]) -> dict[str, float]:
    """Return the mean losses over pictures."""
    rows = []
    for path in paths:
        image = load_picture(path, HELD_OUT_PX).float().div(255).unsqueeze(0)
        rows.append(losses_of(encoder.raw(image, NEEDED), judge(image.to(judge.colours.weight.dtype), NEEDED)))
    return {name: round(sum(float(row[name]) for row in rows) / len(rows), 4) for name in rows[0]}


class Distillation:
    """An encoder that is distilled, and how far it is."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        precision = half_precision(torch.device("cpu"))
        self.judge = OxfordVGG19(arguments.judge).to(precision, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.held_out = find_pictures(arguments.held_out)[:: arguments.held_out_stride]
        self.encoder = given_encoder()
        photos, paintings = (
            load_pictures(folders, arguments.held_out, SHORT_SIDE_PX, arguments.stride)
            for folders in (arguments.photos, arguments.paintings)
        )
        sampler = CropSampler(photos, paintings, [], arguments.crop_px, arguments.seed)
        crops = [sampler.crop() for _ in range(arguments.crops)]
        self.features = [self.encoder.raw(crop, (GIVEN,))[GIVEN].to(precision) for crop in crops]
        self.generator = torch.Generator().manual_seed(arguments.seed)
        self.steps, self.seconds = 0, 0.0
        state = torch.load(arguments.checkpoint, weights_only=True) if arguments.checkpoint.exists() else None
        wanted = NEEDED if state else (*LEARNT, *NEEDED)
        shown = tqdm(crops, desc="asking the judge", unit="crop")
        answers = [self.judge(crop.to(precision, memory_format=torch.channels_last), wanted) for crop in shown]
        self.wanted = [{tap: answer.pop(tap) for tap in NEEDED} for answer in answers]
        started = time.perf_counter()
        if not state:
            solve(self.encoder, self.features, answers, arguments.seed)
        self.average = copy.deepcopy(self.encoder)
        self.learnt = [
            each for name in LEARNT for each in self.encoder.convolutions[name].requires_grad_().parameters()
        ]
        kernels, others = ([each for each in self.learnt if (each.dim() == 4) == kernel] for kernel in (True, False))
        self.optimiser = Optimiser(kernels, others, muon_rate=arguments.rate, adam_rate=arguments.rate)
        if state:
            self._resume(state)
        else:
            self.note({"solved_s": round(time.perf_counter() - started)})

    @property
    def done(self) -> float:
        """How far the run is, 0..1, by steps or by minutes, whichever ends first."""
        return float(max(self.steps / self.arguments.steps, self.seconds / (60 * self.arguments.minutes)))

    def step(self) -> dict[str, float]:
        """Take one step and return the losses."""
        started = time.perf_counter()
        chosen = torch.randint(len(self.features), (BATCH_SIZE,), generator=self.generator).tolist()
        found = self.encoder.after(GIVEN, torch.cat([self.features[index] for index in chosen]), NEEDED)
        losses = losses_of(found, {tap: torch.cat([self.wanted[index][tap] for index in chosen]) for tap in NEEDED})
        self.encoder.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.learnt, 1.0)
        self.optimiser.step(rate_share(self.steps, self.done))
        average_into(self.average, self.encoder, self.steps, AVERAGE_DECAY)
        self.steps += 1
        self.seconds += time.perf_counter() - started
        return {name: round(float(value.detach()), 4) for name, value in losses.items()}

    def save(self) -> None:
        """Write the checkpoint and the averaged encoder."""
        state = {"encoder": self.encoder.state_dict(), "average": self.average.state_dict(), "steps": self.steps}
        state |= {"optimiser": self.optimiser.state(), "generator": self.generator.get_state(), "seconds": self.seconds}
        torch.save(state, self.arguments.checkpoint)
        weights = {name: value.contiguous() for name, value in self.average.state_dict().items()}
        save_file(weights, self.arguments.output, {"steps": str(self.steps), "seconds": str(round(self.seconds))})

    def note(self, row: dict[str, object]) -> None:
        """Add a row to the log, with the losses on the pictures kept out."""
        if self.held_out:
            row["held_out"] = evaluate(self.average, self.judge, self.held_out)
        row = {"step": self.steps, "seconds": round(self.seconds)} | row
        append_row(self.arguments.checkpoint.with_suffix(".log.jsonl"), row)

    def _resume(self, state: dict[str, Any]) -> None:
        self.encoder.load_state_dict(state["encoder"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load(state["optimiser"])
        self.generator.set_state(state["generator"])
        self.steps, self.seconds = state["steps"], state["seconds"]


def distil(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    distillation = Distillation(arguments)
    if not distillation.steps:
        distillation.save()
    with tqdm(total=arguments.steps, initial=distillation.steps, desc="learning", unit="step") as progress:
        while distillation.done < 1:
            losses = distillation.step()
            progress.update()
            progress.set_postfix(losses)
            if distillation.steps % arguments.save_every == 0 or distillation.done >= 1:
                distillation.note(dict(losses))
                distillation.save()


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", type=Path, required=True, help="the Oxford VGG19 up to relu4_1, normalised")
    parser.add_argument("--photos", type=Path, action="append", required=True)
    parser.add_argument("--paintings", type=Path, action="append", required=True)
    parser.add_argument("--held-out", type=Path, action="append", default=[])
    parser.add_argument("--held-out-stride", type=int, default=6)
    parser.add_argument("--stride", type=int, default=1, help="take every n-th picture, for a trial")
    parser.add_argument("--crop-px", type=int, default=CROP_PX)
    parser.add_argument("--crops", type=int, default=CROPS, help="to learn from; 20 MB each")
    parser.add_argument("--rate", type=float, default=RATE, help="of Muon for the kernels and of Adam for the biases")
    parser.add_argument("--steps", type=int, default=600, help="by gradients, after the solution")
    parser.add_argument("--minutes", type=float, default=15.0, help="of them; the rates fall by whichever ends first")
    parser.add_argument("--save-every", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoint", type=Path, default=Path("data/training/adain/encoder.pt"))
    parser.add_argument("--output", type=Path, default=Path("data/training/adain/encoder.safetensors"))
    return parser.parse_args(words)


def main() -> None:
    arguments = parse()
    arguments.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    distil(arguments)


if __name__ == "__main__":
    main()
