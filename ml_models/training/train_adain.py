"""Train AdaIN's decoder, behind the encoder that `distil_adain_encoder` has written.

    python -m ml_models.training.train_adain --encoder encoder.safetensors --judge vgg_normalised_relu4_1.safetensors \
        --photos PHOTOS --paintings PAINTINGS --held-out PHOTOS/kodak --held-out PAINTINGS/styleid_sty --minutes 75

On several processes (python -m torch.distributed.run --standalone --nproc-per-node 2 -m ml_models.training.train_adain)
each draws batches of its own, and they step together.

Resumes from its checkpoint, or goes on from the weights of an earlier run (--from). Writes the packaged safetensors
file, a log of losses, and sheets of held-out pairs.
"""

from __future__ import annotations

import argparse
import copy
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed
from torch.nn.functional import mse_loss
from tqdm import tqdm

from ml_models.adain.build_style_transfer_model import MARGIN_PX, StyleTransferModel, without_margin
from ml_models.adain.custom_layers import Decoder, adaptive_instance_normalisation, flat
from ml_models.adain.statistics import TAPS, mixed, statistics_of
from ml_models.adain.weights import Networks, load_networks, published_model
from ml_models.devices import half_precision
from ml_models.encoders.teacher import OxfordVGG19
from ml_models.losses import total_variation
from ml_models.training.adain_batches import Batch, Batches
from ml_models.training.adain_sheets import HeldOut, painter
from ml_models.training.begin_adain_decoder import set_random, solve
from ml_models.training.log import append_row
from ml_models.training.optimiser import Optimiser, average_into, rate_share
from ml_models.training.pictures import CropSampler, find_pictures, load_pictures

AVERAGE_DECAY = 0.998
#: The style's weight begins with this share of itself and is whole after this share of the run.
STYLE_START, STYLE_RISE = 0.1, 0.3
SHORT_SIDE_PX = 384
#: Side of the crops that the decoder's first weights are found with.
SOLVED_PX = 256
#: Of the squared distance by which colours leave 0..1.
RANGE_WEIGHT = 20.0
#: Which of the processes that train together this one is; the first writes.
RANK = int(os.environ.get("RANK", "0"))
OUTPUT = Path(__file__).parents[1] / "adain/pretrained_models/adain.safetensors"


def optimiser_of(decoder: Decoder, muon_rate: float, adam_rate: float) -> Optimiser:
    """Return Muon for all kernels, the linear ones too, and Adam for the biases."""
    kernels, biases = (
        [each for each in decoder.parameters() if (each.dim() > 1) == wanted] for wanted in (True, False)
    )
    kept = [cast(Tensor, convolution.weight) for convolution in decoder.convolutions.values()][:-1]
    return Optimiser(kernels, biases, muon_rate=muon_rate, adam_rate=adam_rate, kept=kept)


def losses_of(decoder: Decoder, judge: OxfordVGG19, batch: Batch) -> dict[str, Tensor]:
    """Return content and style (equations 12 and 13 of the paper), and those of variation and range."""
    target = mixed([batch.own, batch.style], [1 - batch.strength, batch.strength])
    wanted = mixed([batch.judged_own, batch.judged_style], [1 - batch.strength, batch.strength])
    # Without the margin, as at painting: what is judged but not shown is where statistics are made up for.
    image = without_margin(decoder(batch.photo, batch.own, target), MARGIN_PX)
    judged = judge(image)
    goal = adaptive_instance_normalisation(batch.judged, batch.judged_own["relu4_1"], wanted["relu4_1"])
    losses = {"content": mse_loss(judged["relu4_1"].float(), goal.float())}
    for tap, (mean, deviation) in statistics_of(judged).items():
        losses[tap] = mse_loss(mean, wanted[tap][0]) + mse_loss(deviation, wanted[tap][1])
    losses["variation"] = total_variation(image.float())
    losses["range"] = (image.float() - image.float().clamp(0, 1)).square().mean()
    return losses


def measure_styles(decoder: Decoder, batches: Batches) -> None:
    """Tell the decoder where the statistics of styles lie."""
    if decoder.modulation is None:
        return
    values = torch.cat([flat(batches.draw(8).style) for _ in range(8)])
    spread, centre = torch.std_mean(values, dim=0)
    decoder.modulation.centre.copy_(centre)
    decoder.modulation.spread.copy_(spread + 0.1 * spread.mean())


def stepped_together(parameters: Sequence[Tensor], seconds: float) -> float:
    """Give each parameter the mean of all processes' gradients, and return the mean of their seconds."""
    if not distributed.is_initialized():
        return seconds
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    values = torch.cat([torch.tensor([seconds]), *(gradient.flatten() for gradient in gradients)])
    distributed.all_reduce(values)
    values /= distributed.get_world_size()
    parts = torch.split(values[1:], [gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
    return float(values[0])


class Training:
    """The networks of a run, what they have learnt so far, and how far it is."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        # Half precision rounds far below what the decoder leaves.
        precision = half_precision(torch.device("cpu"))
        self.judge = OxfordVGG19(arguments.judge).to(precision, memory_format=torch.channels_last)  # type: ignore[call-overload]
        photos, paintings = (
            load_pictures(folders, arguments.held_out, SHORT_SIDE_PX, arguments.stride)
            for folders in (arguments.photos, arguments.paintings)
        )
        self.networks = load_networks(arguments.begin) if arguments.begin else Networks()
        if arguments.encoder:
            self.networks.encoder.load_state_dict(load_file(arguments.encoder))
        self.networks.encoder.requires_grad_(False)
        self.decoder = self.networks.decoder.requires_grad_()
        # As at painting.
        encoder = copy.deepcopy(self.networks.encoder).to(precision, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.batches = Batches(encoder, self.judge, photos, paintings, arguments.crop_px, arguments.seed + 10 * RANK)
        self.average = copy.deepcopy(self.networks)
        self.parameters = list(self.decoder.parameters())
        self.steps, self.seconds, self.last_seconds = 0, 0.0, 0.0
        state = torch.load(arguments.checkpoint, weights_only=True) if arguments.checkpoint.exists() else None
        if state:
            self.networks.load_state_dict(state["networks"])
        elif not arguments.begin:
            self._begin(CropSampler(photos, paintings, [], SOLVED_PX, arguments.seed))
        # It keeps the norms that it finds.
        self.optimiser = optimiser_of(self.decoder, arguments.muon_rate, arguments.adam_rate)
        if state:
            self._resume(state)
        self.held_out = HeldOut(
            self.judge, [find_pictures([folder])[:: arguments.held_out_stride] for folder in arguments.held_out]
        )

    def _begin(self, sampler: CropSampler) -> None:
        set_random(self.decoder)
        measure_styles(self.decoder, self.batches)
        if RANK == 0 and self.arguments.solved_crops:
            solve(self.decoder, self.batches.encoder, [sampler.crop() for _ in range(self.arguments.solved_crops)])
        if distributed.is_initialized():
            for value in self.decoder.state_dict().values():
                distributed.broadcast(value, 0)
        self.average.load_state_dict(self.networks.state_dict())

    @property
    def done(self) -> float:
        """How far the run is, 0..1, by steps or by minutes, whichever ends first."""
        return float(max(self.steps / self.arguments.steps, self.seconds / (60 * self.arguments.minutes)))

    @property
    def style_weight(self) -> float:
        """The weight of the style now.

        It rises, for a decoder that is pressed to match statistics before it knows forms learns a relief of strokes
        that covers every photo alike, and keeps it. One that goes on from weights knows them.
        """
        if self.arguments.begin:
            return float(self.arguments.style_weight)
        return float(self.arguments.style_weight * min(1.0, STYLE_START + (1 - STYLE_START) * self.done / STYLE_RISE))

    def step(self) -> dict[str, float]:
        """Take one step and return the losses."""
        started = time.perf_counter()
        losses = losses_of(self.decoder, self.judge, self.batches.draw(self.arguments.batch_size))
        losses["style"] = torch.stack([losses[tap] for tap in TAPS]).sum()
        loss = losses["content"] + self.style_weight * losses["style"]
        loss = loss + self.arguments.variation_weight * losses["variation"] + RANGE_WEIGHT * losses["range"]
        for parameter in self.parameters:
            parameter.grad = None
        loss.backward()
        self.seconds += stepped_together(self.parameters, self.last_seconds)
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step(rate_share(self.steps, self.done))
        average_into(self.average, self.networks, self.steps, AVERAGE_DECAY)
        self.steps += 1
        self.last_seconds = time.perf_counter() - started
        return {name: round(float(value.detach()), 5) for name, value in losses.items()}

    def save(self) -> None:
        """Write the checkpoint and the averaged weights."""
        torch.save(
            {
                "networks": self.networks.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state(),
                "generator": self.batches.generator.get_state(),
                "step": self.steps,
                "seconds": self.seconds + self.last_seconds,
            },
            self.arguments.checkpoint,
        )
        weights = {name: value.to(torch.float16).contiguous() for name, value in self.average.state_dict().items()}
        save_file(weights, self.arguments.output, {"steps": str(self.steps), "seconds": str(round(self.seconds))})

    def evaluate(self, others: list[list[Tensor]]) -> dict[str, float]:
        """Write a sheet of held-out pairs, with columns of others beside ours, and return the losses on them."""
        encoder = self.batches.encoder
        model = StyleTransferModel(lambda image: encoder.raw(image, TAPS), self.average.decoder)
        measured, images = self.held_out.measure(painter(model))
        sheet = self.held_out.sheet([images, *others])
        sheet.save(self.arguments.checkpoint.with_name(f"sheet_{self.steps:05d}.jpg"), quality=90)
        return measured

    def note(self, row: dict[str, object]) -> None:
        """Add a row to the log."""
        log = self.arguments.checkpoint.with_suffix(".log.jsonl")
        append_row(log, {"step": self.steps, "seconds": round(self.seconds)} | row)

    def _resume(self, state: dict[str, Any]) -> None:
        self.average.load_state_dict(state["average"])
        self.optimiser.load(state["optimiser"])
        self.steps, self.seconds = state["step"], state["seconds"]
        if RANK == 0:
            self.batches.generator.set_state(state["generator"])
        else:
            self.batches.generator.manual_seed(self.arguments.seed + 10 * RANK + self.steps)


def train(arguments: argparse.Namespace) -> None:
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    if "RANK" in os.environ:
        distributed.init_process_group("gloo")
    training = Training(arguments)
    others = []
    if arguments.published_decoder and RANK == 0:
        published = published_model(arguments.judge, arguments.published_decoder, torch.device("cpu"))
        measured, images = training.held_out.measure(painter(published))
        tqdm.write(f"published pair on the held-out pairs: {measured}")
        others.append(images)
    with tqdm(total=arguments.steps, initial=training.steps, unit="step", disable=RANK > 0) as progress:
        while training.done < 1:
            losses = training.step()
            progress.update()
            if RANK > 0:
                continue
            if training.steps % 20 == 0:
                training.note(dict(losses))
                progress.set_postfix(style=f"{losses['style']:.3f}", content=f"{losses['content']:.3f}")
            if training.steps % arguments.save_every == 0 or training.done >= 1:
                training.save()
            if training.held_out.pairs and (training.steps % arguments.sheet_every == 0 or training.done >= 1):
                training.note({"held_out": training.evaluate(others)})


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", type=Path, required=True, help="the Oxford VGG19 up to relu4_1, normalised")
    parser.add_argument("--published-decoder", type=Path, help="the judge's own, to be shown beside on the sheets")
    parser.add_argument("--photos", type=Path, action="append", required=True)
    parser.add_argument("--paintings", type=Path, action="append", required=True)
    parser.add_argument("--held-out", type=Path, action="append", default=[], help="photos, then paintings")
    parser.add_argument("--held-out-stride", type=int, default=3)
    parser.add_argument("--from", dest="begin", type=Path, help="weights to go on from, where there is no checkpoint")
    parser.add_argument("--encoder", type=Path, help="a distilled one; needed where there is nothing to go on from")
    parser.add_argument(
        "--solved-crops", type=int, default=240, help="that the first weights are found with, 0 for random ones"
    )
    parser.add_argument("--stride", type=int, default=1, help="take every n-th picture, for a trial")
    parser.add_argument("--crop-px", type=int, default=224, help="without the margin")
    parser.add_argument("--batch-size", type=int, default=3, help="of each process")
    parser.add_argument("--style-weight", type=float, default=10.0, help="against the content's 1; 10 in the paper")
    parser.add_argument("--variation-weight", type=float, default=1.0)
    parser.add_argument("--muon-rate", type=float, default=6e-4)
    parser.add_argument("--adam-rate", type=float, default=5e-4)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--minutes", type=float, default=75.0, help="of steps; the rates fall by whichever ends first")
    parser.add_argument("--save-every", type=int, default=100)
    parser.add_argument("--sheet-every", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoint", type=Path, default=Path("data/training/adain/checkpoint.pt"))
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args(words)
    if not (arguments.encoder or arguments.begin):
        parser.error(
            "give the encoder that distil_adain_encoder has written (--encoder), or what to go on from (--from)"
        )
    return arguments


def main() -> None:
    arguments = parse()
    arguments.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    train(arguments)


if __name__ == "__main__":
    main()
