"""Train UltraST's five decoders, and its encoder with them.

    python -m ml_models.training.train_ultrast --encoder data/training/ultrast/encoder.safetensors \
        --oxford vgg_normalised_relu4_1.safetensors --photos PHOTOS --paintings PAINTINGS --held-out PHOTOS/kodak \
        --held-out PAINTINGS/styleid_sty --steps 3000 [--published ultrast_official]

First they learn to rebuild photos and paintings from the encoder's features, and the encoder to have them rebuilt and
to stay near its teachers (Wang et al. 2020, arXiv:2003.08436, sections 3.1 and 3.2). Then, beyond the paper, each is
trained on what it will meet: what the stages before it
made of a photo, its features transported to a painting's statistics, and the picture judged by the Oxford VGG19.
Resumes from its checkpoint; writes the packaged file, a log and sample sheets.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import mse_loss
from tqdm import tqdm

from ml_models.training.optimiser import average_into, rate_share
from ml_models.training.pictures import CropSampler, find_pictures, load_picture
from ml_models.training.train_ultrast_encoder import FULL_SIZE_STRIDE, append_row, initialise
from ml_models.training.ultrast_cascade import extended, inner, stylised
from ml_models.training.ultrast_judge import Judge
from ml_models.training.ultrast_networks import TrainedNetworks
from ml_models.training.ultrast_samples import Samples
from ml_models.ultrast.custom_layers import GREY, STAGES, Encoder
from ml_models.ultrast.published import encoder_shapes, find_file, published_encoder, read_file

BATCH_SIZE = 4
#: Large, for the covariance of relu5_1's 128 channels needs positions: 12 x 12 of them here.
CROP_PX = 192
#: Side of what is rebuilt in the first steps.
REBUILT_PX = 128
#: Of the roots of the stages' squared errors, against the distillation.
REBUILDING_WEIGHT = 5.0
#: Below this share of the channels' mean variance, a channel counts as having it.
SMALLEST_VARIANCE = 0.1
STYLE_WEIGHT, CONTENT_WEIGHT = 6.0, 1.0
#: One stage of each is trained in a step.
TRAINED_TOGETHER = ((5, 4, 3), (2, 1))
PIXEL_WEIGHT = 10.0
COLOUR_WEIGHT = 20.0
#: Of the rates, once decoders paint.
PAINTING_RATE_SHARE = 0.3
AVERAGE_DECAY = 0.998
CHECKPOINT_STEPS = 100
SHEET_STEPS = 200


def rebuilding_losses(
    networks: TrainedNetworks, judge: Judge, published: Encoder | None, crops: Tensor
) -> dict[str, Tensor]:
    """Return the losses of rebuilding crops (B, 3, H, W) in 0..1 from their features, and of these features."""
    with torch.no_grad():
        oxford = judge.features(crops)
        targets = {stage: oxford[f"relu{stage}_1"] for stage in (1, 2, 3, 4)}
        if published:
            targets |= published((crops - GREY).to(published.dtype), [5])
    lost, known = torch.zeros(()), torch.zeros(())
    with torch.autocast("cpu", torch.bfloat16):
        features = networks.student.encoder(extended(crops - GREY), STAGES)
        for stage, target in targets.items():
            stride = FULL_SIZE_STRIDE if stage == 1 else 1
            target = target[::stride].float() / networks.student.scales[stage - 1]
            # Each channel by itself: a few that are seldom active have most of the variance.
            variance = target.var(dim=(0, 2, 3), keepdim=True)
            variance = variance.clamp(min=SMALLEST_VARIANCE * float(variance.mean()))
            estimate = networks.student.embed(stage, inner(stage, features[stage][::stride])).float()
            known = known + ((estimate - target).square() / variance).mean()
        for stage in STAGES:
            rebuilt = inner(0, networks.decoder(stage)(features[stage])).float()
            # The root: the shallow stages, which lose a hundredth of what the deep ones lose, are to learn as much.
            lost = lost + (mse_loss(rebuilt, crops - GREY) + 1e-6).sqrt()
    return {"known": known, "pixel": REBUILDING_WEIGHT * lost}


def colour_loss(images: Tensor, paintings: Tensor) -> Tensor:
    """Return how far images (B, 3, H, W) around 0 are from the paintings' colours, and beyond black and white."""
    wanted_deviation, wanted_mean = torch.std_mean(paintings, dim=(2, 3))
    deviation, mean = torch.std_mean(images, dim=(2, 3))
    beyond = (images.abs() - GREY).clamp(min=0).square().mean()
    return mse_loss(mean, wanted_mean) + mse_loss(deviation, wanted_deviation) + beyond


def cascade_losses(networks: TrainedNetworks, judge: Judge, photos: Tensor, paintings: Tensor) -> dict[str, Tensor]:
    """Return the weighted losses of painting the photos, both (B, 3, H, W) in 0..1, by two of the stages."""
    chosen = [stages[int(torch.randint(len(stages), ()))] for stages in TRAINED_TOGETHER]
    targets = judge.targets(photos, paintings)
    losses: dict[str, Tensor] = {}
    with torch.autocast("cpu", torch.bfloat16):
        made = stylised(networks.encoder, networks.decoder, photos - GREY, paintings - GREY, trained=chosen)
        # What it lost of a photo is what lesser strengths lose.
        with torch.no_grad():
            feature = networks.student.encoder(extended(photos - GREY), chosen[:1])[chosen[0]]
        rebuilt = inner(0, networks.decoder(chosen[0])(feature)).float()
    losses["pixel"] = PIXEL_WEIGHT * mse_loss(rebuilt, photos - GREY)
    for stage in chosen:
        image = made[stage].float()
        style, content = judge.losses(image + GREY, targets)
        # Half of it by the root, for one pair in ten is ten times as far from its style as the others.
        losses[f"style{stage}"] = STYLE_WEIGHT * (style + style.sqrt()).mean()
        losses[f"content{stage}"] = CONTENT_WEIGHT * content.mean()
        losses[f"colours{stage}"] = COLOUR_WEIGHT * colour_loss(image, paintings - GREY)
    return losses


def train(arguments: argparse.Namespace) -> None:
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    networks, average = TrainedNetworks(), TrainedNetworks()
    initialise(networks)
    networks.student.load_state_dict(load_file(arguments.encoder))
    average.load_state_dict(networks.state_dict())
    judge = Judge(arguments.oxford)
    samples = Samples(arguments.held_out, judge, arguments.published)
    excluded = tuple(folder.name for folder in arguments.held_out)

    def load(folders: list[Path]) -> list[Tensor]:
        paths = find_pictures(folders, excluded)[:: arguments.stride]
        return [load_picture(path, arguments.short_side) for path in tqdm(paths, desc="reading", unit="picture")]

    photos = CropSampler(load(arguments.photos), [], [], arguments.crop, arguments.seed)
    paintings = CropSampler([], load(arguments.paintings), [], arguments.crop, arguments.seed + 1)
    published = None
    if arguments.published:
        published = published_encoder(5, read_file(find_file(arguments.published, "5SE"), encoder_shapes(5)))
        published.to(torch.bfloat16, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = networks.optimiser(encoder=True)
    step, seconds = 0, 0.0
    if arguments.checkpoint.exists():
        state = torch.load(arguments.checkpoint, weights_only=True)
        networks.load_state_dict(state["networks"])
        average.load_state_dict(state["average"])
        step, seconds = state["step"], state["seconds"]
        if step > arguments.rebuilding_steps:
            optimiser = networks.optimiser(encoder=False)
        optimiser.load(state["optimiser"])
        for sampler, one in zip((photos, paintings), state["generators"], strict=True):
            sampler.generator.set_state(one)
        torch.set_rng_state(state["random"])
    log = arguments.checkpoint.with_suffix(".log.jsonl")
    progress = tqdm(range(step, arguments.steps), initial=step, total=arguments.steps, unit="step")
    for step in progress:
        started = time.perf_counter()
        last = step + 1 == arguments.steps
        batches = [each.batch(BATCH_SIZE, 0.0) for each in (photos, paintings)]
        contents, styles = (each.contiguous(memory_format=torch.channels_last) for each in batches)
        painted = step - arguments.rebuilding_steps
        if painted == 0:  # other losses: what Adam and Muon know of their sizes is of no use
            networks.load_state_dict(average.state_dict())
            optimiser = networks.optimiser(encoder=False)
        if painted < 0:
            cut = torch.cat([contents, styles])[:, :, :REBUILT_PX, :REBUILT_PX]
            cut = cut.contiguous(memory_format=torch.channels_last)
            losses = rebuilding_losses(networks, judge, published, cut)
            share = rate_share(step, step / arguments.rebuilding_steps)
        else:
            losses = cascade_losses(networks, judge, contents, styles)
            done = painted / (arguments.steps - arguments.rebuilding_steps)
            share = PAINTING_RATE_SHARE * rate_share(painted, done)
        loss = torch.stack(list(losses.values())).sum()
        networks.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(networks.parameters(), 1.0)
        optimiser.step(share)
        average_into(average, networks, step, AVERAGE_DECAY)
        seconds += time.perf_counter() - started
        if step % 10 == 0:
            row: dict[str, object] = {name: round(float(value.detach()), 4) for name, value in losses.items()}
            append_row(log, {"step": step, "seconds": round(seconds)} | row)
            progress.set_postfix(loss=f"{float(loss.detach()):.3f}")
        if (step + 1) % CHECKPOINT_STEPS == 0 or last:
            state = {"networks": networks.state_dict(), "average": average.state_dict(), "step": step + 1}
            state |= {"optimiser": optimiser.state(), "seconds": seconds}
            state |= {"generators": [each.generator.get_state() for each in (photos, paintings)]}
            torch.save(state | {"random": torch.get_rng_state()}, arguments.checkpoint)
            metadata = {"steps": str(step + 1), "seconds": str(round(seconds))}
            save_file(average.packaged(), arguments.output, metadata)
        if (step + 1) % SHEET_STEPS == 0 or last:
            sheet = arguments.checkpoint.with_name(f"sheet_{step + 1:05d}.png")
            append_row(log, {"step": step + 1, "held_out": samples.measure(average, sheet)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", type=Path, required=True, help="what train_ultrast_encoder made")
    parser.add_argument("--oxford", type=Path, required=True, help="vgg_normalised up to relu4_1")
    parser.add_argument("--published", type=Path, help="folder of the published networks, for 5SE and sheets")
    parser.add_argument("--photos", type=Path, action="append", required=True)
    parser.add_argument("--paintings", type=Path, action="append", required=True)
    parser.add_argument(
        "--held-out", type=Path, action="append", default=[], help="photos, then paintings, that are not trained on"
    )
    parser.add_argument("--short-side", type=int, default=384, help="pixels of the pictures' shorter side")
    parser.add_argument("--crop", type=int, default=CROP_PX, help="pixels, a multiple of 16")
    parser.add_argument("--stride", type=int, default=1, help="take every n-th picture, for a trial")
    parser.add_argument("--rebuilding-steps", type=int, default=1200)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoint", type=Path, default=Path("data/training/ultrast/cascade.pt"))
    parser.add_argument("--output", type=Path, default=Path("data/training/ultrast/ultrast.safetensors"))
    arguments = parser.parse_args()
    arguments.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    train(arguments)


if __name__ == "__main__":
    main()
