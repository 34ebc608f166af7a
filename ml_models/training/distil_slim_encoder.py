"""Distil the slim encoder from the Oxford VGG19.

    python -m ml_models.training.distil_slim_encoder --teacher vgg19_caffe_relu4_1.safetensors \
        --photos PHOTOS --paintings PAINTINGS --held-out KODAK --held-out STYLES --steps 6000

Resumes from its checkpoint. Writes the packaged safetensors file and prints the share of the teacher's variance
explained per layer on the held-out pictures.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import mse_loss
from tqdm import tqdm

from ml_models.encoders.slim import TAPS, SlimEncoder
from ml_models.encoders.teacher import OxfordVGG19
from ml_models.training.pictures import CropSampler, find_pictures, load_picture

BATCH_SIZE = 10
CROP_PX = 128
DISTURBED_SHARE = 0.4
LEARNING_RATE = 2e-3
GRAM_WEIGHT = 0.3
AVERAGE_DECAY = 0.998


def gram_matrix(feature: Tensor) -> Tensor:
    """Return the Gram matrix (B, C, C) of a feature (B, C, H, W), divided by H W; a view of channels-last memory."""
    flat = feature.permute(0, 2, 3, 1).flatten(1, 2)
    return torch.stack([positions.T @ positions for positions in flat]) / flat.shape[1]


@torch.no_grad()
def measure_teacher(teacher: OxfordVGG19, crops: Tensor) -> tuple[dict[str, float], dict[str, float]]:
    """Return the root mean square of each tap, and the variance left after division by it."""
    features = teacher(crops)
    scales = {tap: float(feature.square().mean().sqrt()) for tap, feature in features.items()}
    variances = {tap: float((feature / scales[tap]).var(dim=(0, 2, 3)).mean()) for tap, feature in features.items()}
    return scales, variances


@torch.no_grad()
def evaluate(
    student: SlimEncoder, teacher: OxfordVGG19, scales: dict[str, float], pictures: list[Path]
) -> dict[str, float]:
    """Return {tap: share of variance explained} over whole held-out pictures of 256 px of the shorter side."""
    totals = {tap: [0.0, 0.0] for tap in TAPS}
    for path in pictures:
        image = load_picture(path, 256).float().div(255).unsqueeze(0)
        targets = teacher(image)
        for tap, estimate in student.embed(student(image)).items():
            target = targets[tap] / scales[tap]
            deviation = target - target.mean(dim=(2, 3), keepdim=True)
            totals[tap][0] += float((estimate - target).square().sum())
            totals[tap][1] += float(deviation.square().sum())
    return {tap: 1 - error / variance for tap, (error, variance) in totals.items()}


def train(arguments: argparse.Namespace) -> None:
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    teacher = OxfordVGG19(arguments.teacher)
    teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    student = SlimEncoder()
    earlier_steps = 0
    if arguments.initial:
        student.load_state_dict(load_file(arguments.initial))
        with safe_open(arguments.initial, "pt") as file:
            earlier_steps = int((file.metadata() or {}).get("steps", 0))
    student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = SlimEncoder()
    average.load_state_dict(student.state_dict())
    held_out = find_pictures(arguments.held_out)[:: arguments.held_out_stride]
    excluded = {folder.name for folder in arguments.held_out}

    def load(folders: list[Path]) -> list[Tensor]:
        paths = find_pictures(folders, tuple(excluded))
        return [load_picture(path, 320) for path in tqdm(paths, desc="reading", unit="picture")]

    sampler = CropSampler(
        load(arguments.photos), load(arguments.paintings), load(arguments.passed_through), CROP_PX, arguments.seed
    )
    optimizer = torch.optim.Adam(student.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99))
    scales, variances = measure_teacher(teacher, sampler.batch(48, 0.0))
    step = 0
    seconds = 0.0
    if arguments.checkpoint.exists():
        state = torch.load(arguments.checkpoint, weights_only=True)
        student.load_state_dict(state["student"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        sampler.generator.set_state(state["generator"])
        step, scales, variances = state["step"], state["scales"], state["variances"]
        seconds = state["seconds"]
    log = arguments.checkpoint.with_suffix(".log.jsonl").open("a")
    progress = tqdm(range(step, arguments.steps), initial=step, total=arguments.steps, unit="step")
    for step in progress:
        started = time.perf_counter()
        rate = LEARNING_RATE * min(1.0, (step + 1) / 100)
        rate *= 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / arguments.steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        crops = sampler.batch(BATCH_SIZE, DISTURBED_SHARE).contiguous(memory_format=torch.channels_last)
        # bfloat16 halves the teacher's time; its rounding is far below what the student leaves unexplained.
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            targets = {tap: feature.float() / scales[tap] for tap, feature in teacher(crops).items()}
        losses: dict[str, Tensor] = {}
        grams: dict[str, Tensor] = {}
        for tap, estimate in student.embed(student(crops)).items():
            # relu1_1 is learnt within minutes and costs most: a few crops are enough, and no Gram matrix.
            if tap == "relu1_1":
                losses[tap] = mse_loss(estimate[::4], targets[tap][::4]) / variances[tap]
                continue
            losses[tap] = mse_loss(estimate, targets[tap]) / variances[tap]
            gram = gram_matrix(targets[tap])
            grams[tap] = mse_loss(gram_matrix(estimate), gram) / gram.square().mean()
        loss = torch.stack(list(losses.values())).sum() + GRAM_WEIGHT * torch.stack(list(grams.values())).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        decay = min(AVERAGE_DECAY, (step + 1) / (step + 10))
        with torch.no_grad():
            for mean, value in zip(average.parameters(), student.parameters(), strict=True):
                mean.lerp_(value, 1 - decay)
        seconds += time.perf_counter() - started
        if step % 20 == 0:
            row = {"step": step, "loss": float(loss)} | {
                tap: round(1 - float(value), 4) for tap, value in losses.items()
            }
            row |= {f"gram_{tap}": round(float(value), 4) for tap, value in grams.items()}
            log.write(json.dumps(row) + "\n")
            log.flush()
            progress.set_postfix(loss=f"{float(loss):.3f}")
        if (step + 1) % 250 == 0 or step + 1 == arguments.steps:
            state = {"student": student.state_dict(), "average": average.state_dict(), "seconds": seconds}
            state |= {"optimizer": optimizer.state_dict(), "generator": sampler.generator.get_state()}
            torch.save(state | {"step": step + 1, "scales": scales, "variances": variances}, arguments.checkpoint)
            explained = evaluate(average, teacher, scales, held_out)
            log.write(json.dumps({"step": step + 1, "seconds": round(seconds), "held_out": explained}) + "\n")
            log.flush()
            metadata = {"scales": json.dumps(scales), "steps": str(earlier_steps + step + 1)}
            save_file(
                {name: value.contiguous() for name, value in average.state_dict().items()}, arguments.output, metadata
            )
    print(json.dumps(evaluate(average, teacher, scales, held_out), indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--photos", type=Path, action="append", required=True)
    parser.add_argument("--paintings", type=Path, action="append", required=True)
    parser.add_argument(
        "--passed-through", type=Path, action="append", default=[], help="pictures on an optimiser's way"
    )
    parser.add_argument("--held-out", type=Path, action="append", default=[])
    parser.add_argument("--initial", type=Path, help="start from this safetensors file, its steps counted in")
    parser.add_argument("--held-out-stride", type=int, default=6)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--checkpoint", type=Path, default=Path("data/training/slim_encoder.pt"))
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(__file__).parents[1] / "encoders/pretrained_models/slim_encoder.safetensors",
    )
    arguments = parser.parse_args()
    arguments.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    train(arguments)


if __name__ == "__main__":
    main()
