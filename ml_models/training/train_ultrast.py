"""Train UltraST's decoders to paint.

    python -m ml_models.training.train_ultrast --encoder data/training/ultrast/encoder.safetensors \
        --oxford vgg_normalised_relu4_1.safetensors --photos PHOTOS --paintings PAINTINGS --held-out PHOTOS/kodak \
        --held-out PAINTINGS/styleid_sty --minutes 80 [--published ultrast_official]

They begin as `train_ultrast_encoder` leaves them, rebuilding pictures from features (Wang et al. 2020,
arXiv:2003.08436, section 3.2). Beyond the paper, each is trained on what it will meet: what the stages before it made
of a photo, its features transported to a painting's statistics, and the picture judged by the Oxford VGG19. A part of
the photos and paintings is enlarged first, and soft. Resumes from its checkpoint; writes the packaged file, a log and
sample sheets.
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

from ml_models.training.log import append_row
from ml_models.training.optimiser import average_into, rate_share
from ml_models.training.pictures import CropSampler, load_pictures
from ml_models.training.ultrast_cascade import extended, inner, stylised
from ml_models.training.ultrast_judge import Judge
from ml_models.training.ultrast_networks import TrainedNetworks, optimiser_of
from ml_models.training.ultrast_runs import add_folders, done_share, pairs_of_enlargements
from ml_models.training.ultrast_samples import Samples
from ml_models.ultrast.custom_layers import GREY
from ml_models.ultrast.settings import SETTINGS

BATCH_SIZE = 2
#: Large, for the covariance of relu4_1's 256 channels needs positions: 28 x 28 of them here.
CROP_PX = 224
STYLE_WEIGHT, CONTENT_WEIGHT = 6.0, 3.0
PIXEL_WEIGHT = 10.0
COLOUR_WEIGHT = 20.0
#: Of the rates.
PAINTING_RATE_SHARE = 0.5
AVERAGE_DECAY = 0.998
CHECKPOINT_STEPS = 50
SHEET_STEPS = 500


def colour_loss(images: Tensor, paintings: Tensor) -> Tensor:
    """Return how far images (B, 3, H, W) around 0 are from the paintings' colours, and beyond black and white."""
    wanted_deviation, wanted_mean = torch.std_mean(paintings, dim=(2, 3))
    deviation, mean = torch.std_mean(images, dim=(2, 3))
    beyond = (images.abs() - GREY).clamp(min=0).square().mean()
    return mse_loss(mean, wanted_mean) + mse_loss(deviation, wanted_deviation) + beyond


def cascade_losses(networks: TrainedNetworks, judge: Judge, photos: Tensor, paintings: Tensor) -> dict[str, Tensor]:
    """Return the weighted losses of painting the photos, both (B, 3, H, W) in 0..1, by two of the stages.

    One is the last, whose picture is shown.
    """
    *earlier, shown = SETTINGS.stages
    chosen = (earlier[int(torch.randint(len(earlier), ()))], shown)
    targets = judge.targets(photos, paintings)
    losses: dict[str, Tensor] = {}
    with torch.autocast("cpu", torch.bfloat16):
        made = stylised(networks.encoder_of, networks.decoder_of, photos - GREY, paintings - GREY, trained=chosen)
        # What it lost of a photo is what lesser strengths lose.
        rebuilt_stage = chosen[int(torch.randint(2, ()))]
        with torch.no_grad():
            feature = networks.encoder(extended(photos - GREY), [rebuilt_stage])[rebuilt_stage]
        rebuilt = inner(0, networks.decoder_of(rebuilt_stage)(feature)).float()
    losses[f"pixel{rebuilt_stage}"] = PIXEL_WEIGHT * mse_loss(rebuilt, photos - GREY)
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
    networks.load_state_dict(load_file(arguments.encoder))
    average.load_state_dict(networks.state_dict())
    judge = Judge(arguments.oxford)
    samples = Samples(arguments.held_out, judge, arguments.published)
    photo_pictures, painting_pictures = (
        load_pictures(folders, arguments.held_out, arguments.short_side, arguments.stride)
        for folders in (arguments.photos, arguments.paintings)
    )
    photos = CropSampler(photo_pictures, [], [], arguments.crop, arguments.seed)
    paintings = CropSampler([], painting_pictures, [], arguments.crop, arguments.seed + 1)
    decoders = [networks.decoder_of(stage) for stage in SETTINGS.stages]
    networks.requires_grad_(False)
    for decoder in decoders:
        decoder.requires_grad_(True)
    optimiser = optimiser_of(*decoders)
    step, seconds = 0, 0.0
    if arguments.checkpoint.exists():
        state = torch.load(arguments.checkpoint, weights_only=True)
        networks.load_state_dict(state["networks"])
        average.load_state_dict(state["average"])
        step, seconds = state["step"], state["seconds"]
        optimiser.load(state["optimiser"])
        for sampler, one in zip((photos, paintings), state["generators"], strict=True):
            sampler.generator.set_state(one)
        torch.set_rng_state(state["random"])
    log = arguments.checkpoint.with_suffix(".log.jsonl")
    progress = tqdm(range(step, arguments.steps), initial=step, total=arguments.steps, unit="step")
    for step in progress:
        started = time.perf_counter()
        done = done_share(step, arguments.steps, seconds, arguments.minutes)
        factors = pairs_of_enlargements(BATCH_SIZE, photos.generator)
        batches = [each.batch(BATCH_SIZE, 0.0, own) for each, own in zip((photos, paintings), factors, strict=True)]
        contents, styles = (each.contiguous(memory_format=torch.channels_last) for each in batches)
        losses = cascade_losses(networks, judge, contents, styles)
        loss = torch.stack(list(losses.values())).sum()
        networks.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for decoder in decoders:  # each by itself: the shown one's gradients are the smallest
            torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimiser.step(PAINTING_RATE_SHARE * rate_share(step, done))
        average_into(average, networks, step, AVERAGE_DECAY)
        seconds += time.perf_counter() - started
        last = done_share(step + 1, arguments.steps, seconds, arguments.minutes) >= 1
        if step % 10 == 0 or last:
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
        if last:
            break


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", type=Path, required=True, help="what train_ultrast_encoder made")
    add_folders(parser)
    parser.add_argument("--published", type=Path, help="folder of the published networks, for sheets")
    parser.add_argument("--short-side", type=int, default=384, help="pixels of the pictures' shorter side")
    parser.add_argument("--crop", type=int, default=CROP_PX, help="pixels, a multiple of 16")
    parser.add_argument("--stride", type=int, default=1, help="take every n-th picture, for a trial")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="end here if not at the steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoint", type=Path, default=Path("data/training/ultrast/cascade.pt"))
    parser.add_argument("--output", type=Path, default=Path("data/training/ultrast/ultrast.safetensors"))
    arguments = parser.parse_args()
    arguments.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    train(arguments)


if __name__ == "__main__":
    main()
