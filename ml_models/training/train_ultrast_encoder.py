"""Teach UltraST's encoder to have pictures rebuilt, and decoders to rebuild them.

    python -m ml_models.training.train_ultrast_encoder --oxford vgg19_caffe_relu4_1.safetensors --photos PHOTOS \
        --paintings PAINTINGS --held-out PHOTOS/kodak --held-out PAINTINGS/styleid_sty --minutes 15

The encoder begins as the packaged slim one, and its features, through 1x1 embeddings, are to stay near relu2_1 to
relu4_1 of the Oxford VGG19 (Wang et al. 2020, arXiv:2003.08436, sections 3.1 and 3.2). A part of the crops is enlarged
first: soft, as pictures are that were brought to a larger size. Resumes from its checkpoint. `train_ultrast` goes on
with what it made.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import mse_loss
from tqdm import tqdm

from ml_models.training.log import append_row
from ml_models.training.optimiser import average_into, rate_share
from ml_models.training.pictures import CropSampler, load_pictures
from ml_models.training.ultrast_cascade import extended, inner
from ml_models.training.ultrast_judge import Judge
from ml_models.training.ultrast_networks import TrainedNetworks, optimiser_of
from ml_models.training.ultrast_runs import add_folders, done_share, enlargements
from ml_models.ultrast.custom_layers import GREY
from ml_models.ultrast.settings import SETTINGS

BATCH_SIZE = 6
CROP_PX = 128
DISTURBED_SHARE = 0.2
#: Of the encoder's rates: it has learnt from its teachers for longer than it is trained here.
ENCODER_RATE_SHARE = 0.2
#: Of the roots of the stages' squared errors, against the distillation.
REBUILDING_WEIGHT = 5.0
#: Below this share of the channels' mean variance, a channel counts as having it.
SMALLEST_VARIANCE = 0.1
AVERAGE_DECAY = 0.998
CHECKPOINT_STEPS = 100


def rebuilding_losses(networks: TrainedNetworks, judge: Judge, crops: Tensor) -> dict[str, Tensor]:
    """Return the losses of rebuilding crops (B, 3, H, W) in 0..1 from their features, and of these features."""
    with torch.no_grad():
        oxford = judge.features(crops)
    losses: dict[str, Tensor] = {}
    with torch.autocast("cpu", torch.bfloat16):
        features = networks.encoder(extended(crops - GREY), SETTINGS.stages)
        for stage in SETTINGS.stages:
            target = oxford[f"relu{stage}_1"].float() / networks.scales[stage - 1]
            # Each channel by itself: a few that are seldom active have most of the variance.
            variance = target.var(dim=(0, 2, 3), keepdim=True)
            variance = variance.clamp(min=SMALLEST_VARIANCE * float(variance.mean()))
            estimate = networks.embed(stage, inner(stage, features[stage])).float()
            losses[f"known{stage}"] = ((estimate - target).square() / variance).mean()
            rebuilt = inner(0, networks.decoder_of(stage)(features[stage])).float()
            # The root: the shallow stages, which lose a hundredth of what the deep ones lose, are to learn as much.
            losses[f"lost{stage}"] = REBUILDING_WEIGHT * (mse_loss(rebuilt, crops - GREY) + 1e-6).sqrt()
    return losses


def train(arguments: argparse.Namespace) -> None:
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    networks, average = TrainedNetworks(), TrainedNetworks()
    average.load_state_dict(networks.state_dict())
    judge = Judge(arguments.oxford)
    photos, paintings = (
        load_pictures(folders, arguments.held_out, arguments.short_side, arguments.stride)
        for folders in (arguments.photos, arguments.paintings)
    )
    sampler = CropSampler(photos, paintings, [], arguments.crop, arguments.seed)
    of_decoders, of_encoder = optimiser_of(networks.decoders), optimiser_of(networks.encoder, networks.embeddings)
    optimisers = (of_decoders, of_encoder)
    step, seconds = 0, 0.0
    if arguments.checkpoint.exists():
        state = torch.load(arguments.checkpoint, weights_only=True)
        networks.load_state_dict(state["networks"])
        average.load_state_dict(state["average"])
        for optimiser, one in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load(one)
        sampler.generator.set_state(state["generator"])
        step, seconds = state["step"], state["seconds"]
    log = arguments.checkpoint.with_suffix(".log.jsonl")
    progress = tqdm(range(step, arguments.steps), initial=step, total=arguments.steps, unit="step")
    for step in progress:
        started = time.perf_counter()
        done = done_share(step, arguments.steps, seconds, arguments.minutes)
        factors = enlargements(BATCH_SIZE, sampler.generator)
        crops = sampler.batch(BATCH_SIZE, DISTURBED_SHARE, factors).contiguous(memory_format=torch.channels_last)
        losses = rebuilding_losses(networks, judge, crops)
        loss = torch.stack(list(losses.values())).sum()
        networks.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(networks.parameters(), 1.0)
        of_decoders.step(rate_share(step, done))
        of_encoder.step(ENCODER_RATE_SHARE * rate_share(step, done))
        average_into(average, networks, step, AVERAGE_DECAY)
        seconds += time.perf_counter() - started
        last = done_share(step + 1, arguments.steps, seconds, arguments.minutes) >= 1
        if step % 10 == 0 or last:
            row: dict[str, object] = {name: round(float(value.detach()), 4) for name, value in losses.items()}
            append_row(log, {"step": step, "seconds": round(seconds)} | row)
            progress.set_postfix(loss=f"{float(loss.detach()):.3f}")
        if (step + 1) % CHECKPOINT_STEPS == 0 or last:
            state = {"networks": networks.state_dict(), "average": average.state_dict(), "step": step + 1}
            state |= {"optimisers": [each.state() for each in optimisers], "seconds": seconds}
            torch.save(state | {"generator": sampler.generator.get_state()}, arguments.checkpoint)
            tensors = {name: value.contiguous() for name, value in average.state_dict().items()}
            save_file(tensors, arguments.output, {"steps": str(step + 1), "seconds": str(round(seconds))})
        if last:
            break


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_folders(parser)
    parser.add_argument("--short-side", type=int, default=384, help="pixels of the pictures' shorter side")
    parser.add_argument("--crop", type=int, default=CROP_PX, help="pixels, a multiple of 8")
    parser.add_argument("--stride", type=int, default=1, help="take every n-th picture, for a trial")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="end here if not at the steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoint", type=Path, default=Path("data/training/ultrast/encoder.pt"))
    parser.add_argument("--output", type=Path, default=Path("data/training/ultrast/encoder.safetensors"))
    arguments = parser.parse_args()
    arguments.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    train(arguments)


if __name__ == "__main__":
    main()
