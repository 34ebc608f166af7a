"""Distil the slim encoder from the Oxford VGG19 and from the first layers of torchvision's.

    python -m ml_models.training.distil_slim_encoder --oxford vgg19_caffe_relu4_1.safetensors \
        --torchvision vgg19_first_11_layers.safetensors --photos PHOTOS --paintings PAINTINGS \
        --held-out KODAK --held-out STYLES --steps 8000

Resumes from its checkpoint. Writes the packaged safetensors file and prints the share of the teachers' variance
explained per layer on the held-out pictures.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from tqdm import tqdm

from ml_models.encoders.slim import OXFORD, TEACHER_TAPS, TORCHVISION, SlimEncoder, student_tap
from ml_models.encoders.teacher import OxfordVGG19
from ml_models.encoders.vgg import MARGIN_PX, shrinkage, window
from ml_models.encoders.vgg19 import VGG19First11Layers
from ml_models.training.log import append_row
from ml_models.training.optimiser import Optimiser, average_into, rate_share
from ml_models.training.pictures import CropSampler, find_pictures, load_picture, load_pictures

BATCH_SIZE = 6
#: With the margin, which only gives the rest its neighbourhood.
CROP_PX = 160 + 2 * MARGIN_PX
#: Of the pictures that are trained on.
SHORT_SIDE_PX = 320
DISTURBED_SHARE = 0.4
GRAM_WEIGHT = 0.5
#: The taps of full size are learnt within minutes and cost most: two crops of a batch are enough.
FULL_SIZE_STRIDE = 3
AVERAGE_DECAY = 0.998
#: Of Muon for the 3x3 convolutions (each seen as a matrix) and of Adam for the rest.
MUON_RATE, ADAM_RATE = 2e-3, 2e-3


class Teachers(nn.Module):
    """Both networks; {teacher tap: feature}, as they are, not yet divided."""

    def __init__(self, oxford: Path, torchvision: Path) -> None:
        super().__init__()
        self.oxford = OxfordVGG19(oxford)
        self.torchvision = VGG19First11Layers(load_file(torchvision))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.no_grad()
    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        features: dict[str, Tensor] = self.oxford(crops, tuple(OXFORD))
        return features | self.torchvision.raw(crops, tuple(TORCHVISION))


def inner(features: dict[str, Tensor]) -> dict[str, Tensor]:
    """Cut the margin off the features of a crop."""
    size = CROP_PX - 2 * MARGIN_PX
    windows = {tap: window(tap, MARGIN_PX, MARGIN_PX, size, size) for tap in features}
    return {tap: feature[:, :, windows[tap][0], windows[tap][1]] for tap, feature in features.items()}


def estimates(student: SlimEncoder, crops: Tensor, full_size_stride: int = 1) -> dict[str, Tensor]:
    """Return {teacher tap: estimate}; of the taps of full size, which cost most, for every n-th crop only."""
    features = student.raw(crops, [*dict.fromkeys(student_tap(tap) for tap in TEACHER_TAPS)])
    strides = {tap: full_size_stride if shrinkage(tap) == 1 else 1 for tap in TEACHER_TAPS}
    return {tap: student.embed(tap, features[student_tap(tap)][:: strides[tap]]) for tap in TEACHER_TAPS}


def gram_matrix(feature: Tensor) -> Tensor:
    """Return the Gram matrix (B, C, C) of a feature (B, C, H, W), divided by H W."""
    flat = feature.permute(0, 2, 3, 1).flatten(1, 2)
    return flat.transpose(1, 2) @ flat / flat.shape[1]


def measure_teachers(teachers: Teachers, crops: Tensor) -> tuple[dict[str, float], dict[str, float]]:
    """Return the root mean square of each tap, and the variance left after division by it."""
    features = inner(teachers(crops))
    scales = {tap: float(features[tap].square().mean().sqrt()) for tap in TEACHER_TAPS}
    variances = {tap: float((f / scales[tap]).var(dim=(0, 2, 3)).mean()) for tap, f in features.items()}
    return scales, variances


@torch.no_grad()
def evaluate(
    student: SlimEncoder, teachers: Teachers, scales: dict[str, float], pictures: list[Path]
) -> dict[str, float]:
    """Return {tap: share of variance explained} over whole held-out pictures of 256 px of the shorter side."""
    totals = {tap: [0.0, 0.0] for tap in TEACHER_TAPS}
    for path in pictures:
        image = load_picture(path, 256).float().div(255).unsqueeze(0)
        targets = teachers(image)
        for tap, estimate in estimates(student, image).items():
            target = targets[tap] / scales[tap]
            deviation = target - target.mean(dim=(2, 3), keepdim=True)
            totals[tap][0] += float((estimate - target).square().sum())
            totals[tap][1] += float(deviation.square().sum())
    return {tap: round(1 - error / variance, 4) for tap, (error, variance) in totals.items()}


def optimiser_of(student: SlimEncoder, *, muon: bool) -> Optimiser:
    """Return Muon for the convolutions but the first, and Adam for embeddings and biases."""
    kernels = [c.weight for name, c in student.convolutions.items() if name != "conv1_1"] if muon else []
    chosen = {id(kernel) for kernel in kernels}
    others = [parameter for parameter in student.parameters() if id(parameter) not in chosen]
    return Optimiser(kernels, others, muon_rate=MUON_RATE, adam_rate=ADAM_RATE)  # type: ignore[arg-type]


def train(arguments: argparse.Namespace) -> None:
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    teachers = Teachers(arguments.oxford, arguments.torchvision)
    student = SlimEncoder()
    for convolution in student.convolutions.values():
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")  # type: ignore[arg-type]
        nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    earlier_steps = 0
    if arguments.initial:
        student.load_state_dict(load_file(arguments.initial))
        with safe_open(arguments.initial, "pt") as file:
            earlier_steps = int((file.metadata() or {}).get("steps", 0))
    average = SlimEncoder()
    average.load_state_dict(student.state_dict())
    held_out = find_pictures(arguments.held_out)[:: arguments.held_out_stride]
    photos, paintings, passed_through = (
        load_pictures(folders, arguments.held_out, SHORT_SIDE_PX, arguments.stride)
        for folders in (arguments.photos, arguments.paintings, arguments.passed_through)
    )
    sampler = CropSampler(photos, paintings, passed_through, CROP_PX, arguments.seed)
    optimiser = optimiser_of(student, muon=arguments.muon)
    scales, variances = measure_teachers(teachers, sampler.batch(24, 0.0))
    if arguments.initial:
        scales = dict(zip(TEACHER_TAPS, student.scales.tolist(), strict=True))
    step = 0
    seconds = 0.0
    if arguments.checkpoint.exists():
        state = torch.load(arguments.checkpoint, weights_only=True)
        student.load_state_dict(state["student"])
        average.load_state_dict(state["average"])
        optimiser.load(state["optimiser"])
        sampler.generator.set_state(state["generator"])
        step, scales, variances = state["step"], state["scales"], state["variances"]
        seconds = state["seconds"]
    for network in (student, average):
        network.scales.copy_(torch.tensor([scales[tap] for tap in TEACHER_TAPS]))
    teachers.to(torch.bfloat16)  # its rounding is far below what the student leaves unexplained
    log = arguments.checkpoint.with_suffix(".log.jsonl")
    progress = tqdm(range(step, arguments.steps), initial=step, total=arguments.steps, unit="step")
    for step in progress:
        started = time.perf_counter()
        share = rate_share(step, step / arguments.steps)
        crops = sampler.batch(BATCH_SIZE, DISTURBED_SHARE).contiguous(memory_format=torch.channels_last)
        targets = inner(teachers(crops.to(torch.bfloat16)))
        losses: dict[str, Tensor] = {}
        grams: dict[str, Tensor] = {}
        with torch.autocast("cpu", torch.bfloat16):
            for tap, estimate in inner(estimates(student, crops, FULL_SIZE_STRIDE)).items():
                target = targets[tap][:: BATCH_SIZE // len(estimate)] / scales[tap]
                losses[tap] = mse_loss(estimate.float(), target.float()) / variances[tap]
                gram = gram_matrix(target).float()
                grams[tap] = mse_loss(gram_matrix(estimate).float(), gram) / gram.square().mean()
        loss = torch.stack(list(losses.values())).sum() + GRAM_WEIGHT * torch.stack(list(grams.values())).sum()
        student.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step(share)
        average_into(average, student, step, AVERAGE_DECAY)
        seconds += time.perf_counter() - started
        if step % 20 == 0:
            row = {tap: round(1 - float(value), 4) for tap, value in losses.items()}
            row |= {f"gram_{tap}": round(float(value), 4) for tap, value in grams.items()}
            append_row(log, {"step": step, "loss": float(loss)} | row)
            progress.set_postfix(loss=f"{float(loss):.3f}")
        if (step + 1) % 250 == 0 or step + 1 == arguments.steps:
            state = {"student": student.state_dict(), "average": average.state_dict(), "seconds": seconds}
            state |= {"optimiser": optimiser.state(), "generator": sampler.generator.get_state()}
            torch.save(state | {"step": step + 1, "scales": scales, "variances": variances}, arguments.checkpoint)
            metadata = {"steps": str(earlier_steps + step + 1)}
            save_file(
                {name: value.contiguous() for name, value in average.state_dict().items()}, arguments.output, metadata
            )
            if (step + 1) % 1000 == 0 or step + 1 == arguments.steps:
                teachers.float()
                explained = evaluate(average, teachers, scales, held_out)
                teachers.to(torch.bfloat16)
                append_row(log, {"step": step + 1, "seconds": round(seconds), "held_out": explained})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oxford", type=Path, required=True, help="the original VGG19 up to relu4_1")
    parser.add_argument("--torchvision", type=Path, required=True, help="the first eleven layers of torchvision's")
    parser.add_argument("--photos", type=Path, action="append", required=True)
    parser.add_argument("--paintings", type=Path, action="append", required=True)
    parser.add_argument(
        "--passed-through", type=Path, action="append", default=[], help="pictures on an optimiser's way"
    )
    parser.add_argument("--held-out", type=Path, action="append", default=[])
    parser.add_argument("--initial", type=Path, help="start from this safetensors file, its steps counted in")
    parser.add_argument("--held-out-stride", type=int, default=6)
    parser.add_argument("--stride", type=int, default=1, help="take every n-th picture, for a trial")
    parser.add_argument("--muon", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--steps", type=int, default=8000)
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
